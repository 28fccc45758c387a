"""Other ways to execute an iteration take the steps of the eager one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gan_runner.training import accelerate
from gan_runner.training.accelerate import AutoStep, CompiledStep, Mode
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit
from gan_runner.training.step import alternating

TERM = "{_target_: gan_runner.objectives.penalties.%s, _partial_: true, weight: %s}"
WORKLOADS = {
    "points": ("dataset=gaussians8", "model=mlp", "model.width=16", "trainer.accelerate=eager"),
    "images": ("model.filters=4", "trainer.accelerate=eager"),
    # data in the generator's step, a term of the weights, random numbers of another kind
    "comparison": (
        "dataset=gaussians8",
        "model=mlp",
        "model.width=16",
        "trainer.accelerate=eager",
        "objective=r3gan",
        "schedule=constant",  # plain SGD has no beta2
        f"+objective.critic_terms.decay={TERM % ('weight_decay', 0.01)}",
        f"+objective.critic_terms.dragan={TERM % ('dragan_penalty', 1)}",
    ),
}


def weights(built: Engine) -> torch.Tensor:
    tensors = [*built.nets.generator.state_dict().values(), *built.nets.critic.parameters()]
    return torch.cat([t.detach().flatten().float() for t in tensors])


def play(built: Engine, iteration: Callable, steps: int) -> tuple[list[dict], torch.Tensor]:
    torch.manual_seed(3)
    logs = [iteration(built.game, built.next_batches()) for _ in range(steps)]
    return [{tag: v.item() for tag, v in its.items()} for its in logs], weights(built)


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
def test_compiled_equals_eager(engine: Callable[..., Engine], workload: str) -> None:
    """Same noise, same losses and weights to the rounding of float32, batch norm included."""
    command = (*WORKLOADS[workload], "objective.n_critic=2", "optimizer=sgd", "optimizer.lr=1e-2")
    eager, start = engine(*command), weights(engine(*command))
    expected, after = play(eager, alternating, 3)
    found, compiled_after = play(engine(*command), CompiledStep(alternating), 3)
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-6)
    moved = (after - start).norm()
    assert moved > 1e-3
    assert (compiled_after - after).norm() < 1e-4 * moved


def test_auto_is_eager_on_a_cpu_and_says_so(engine: Callable[..., Engine], tmp_path: Path) -> None:
    summary = fit(engine("model.filters=4", "trainer.steps=2"), tmp_path)
    assert summary["accelerate"] == {
        "asked": "auto", "mode": "eager", "iterations_per_second": {},
    }  # fmt: skip


GAME: Any = SimpleNamespace(critic_optimizer=None, generator_optimizer=None)


def test_auto_takes_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates of known speed; each is given its warm-up, and no step is lost."""
    mode, taken, now = Mode("auto"), [], [0.0]
    monkeypatch.setattr(accelerate, "perf_counter", lambda: now[0])

    def at(seconds: float, name: str) -> Callable:
        def iteration(game: object, picks: object) -> dict:
            taken.append(name)
            now[0] += seconds
            return {}

        return iteration

    accelerated = AutoStep(mode, torch.device("cpu"))
    accelerated.candidates = ["eager", "cuda_graph"]
    accelerated.iterations = {"eager": at(0.004, "eager"), "cuda_graph": at(0.001, "cuda_graph")}
    for _ in range(45):
        accelerated(GAME, [])
    assert mode.selected == "cuda_graph"
    assert taken == ["eager"] * 20 + ["cuda_graph"] * 25
    assert mode.speeds == {"eager": 250.0, "cuda_graph": 1000.0}
    resumed = Mode("auto")
    resumed.load_state_dict(mode.state_dict())
    assert resumed == mode
    pinned = Mode("eager")
    pinned.load_state_dict(mode.state_dict())
    assert pinned.selected == "eager"


def test_a_graph_needs_a_gpu(engine: Callable[..., Engine]) -> None:
    with pytest.raises(ValueError, match=r"accelerate=cuda_graph: needs an NVIDIA GPU, not cpu"):
        engine("trainer.accelerate=cuda_graph")


def test_auto_goes_on_eagerly_where_capturing_fails() -> None:
    taken = []

    def eager(game: object, picks: object) -> dict:
        taken.append("eager")
        return {}

    def fails(game: object, picks: object) -> dict:
        raise RuntimeError("operation not permitted when stream is capturing\nand so on")

    mode = Mode("auto")
    accelerated = AutoStep(mode, torch.device("cpu"))
    accelerated.candidates = ["eager", "cuda_graph"]
    accelerated.iterations = {"eager": eager, "cuda_graph": fails}
    with pytest.warns(UserWarning, match=r"accelerate=cuda_graph failed \(operation not permitted"):
        for _ in range(30):
            accelerated(GAME, [])
    assert mode.selected == "eager" and len(taken) == 30
    asked = AutoStep(Mode("cuda_graph"), torch.device("cpu"))
    asked.iterations = accelerated.iterations
    with pytest.raises(RuntimeError):  # who asks for it wants to know
        asked(GAME, [])

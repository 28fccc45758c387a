"""What only a GPU can show. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_runner.core import Batch, Critic, Loss
from gan_runner.data import stream
from gan_runner.data.stream import Stream
from gan_runner.objectives.objective import Objective
from gan_runner.runs.checkpoint import checkpoint_path, differences, load_checkpoint, load_latest
from gan_runner.training.accelerate import CUDAGraphStep
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit
from gan_runner.training.replay import diverged_path
from gan_runner.training.step import alternating

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GPU = ("device=cuda",)
WORKLOADS = {
    "points": ("dataset=gaussians8", "model=mlp", "model.width=32"),
    "images": ("model.filters=8",),
    "resnet": ("model=resnet", "model.filters=8"),
    "comparison": ("dataset=gaussians8", "model=mlp", "model.width=32", "objective=r3gan"),
    "rmsprop": ("model.filters=8", "objective=wgan"),
}


def play(built: Any, iteration: Callable, steps: int) -> list[dict[str, float]]:
    torch.cuda.manual_seed(3)
    logs = [iteration(built.game, built.next_batches()) for _ in range(steps)]
    return [{tag: v.item() for tag, v in its.items()} for its in logs]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_captured_graph_takes_the_steps_of_eager(
    engine: Callable[..., Engine], workload: str
) -> None:
    command = (*WORKLOADS[workload], *GPU)
    expected = play(engine(*command), alternating, 12)
    found = play(engine(*command), CUDAGraphStep(alternating), 12)
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)


def test_averages_follow_in_a_captured_graph(engine: Callable[..., Engine]) -> None:
    found = {}
    for mode in ("eager", "cuda_graph"):
        built = engine(
            *WORKLOADS["points"], *GPU, f"trainer.accelerate={mode}",
            "+average=[exponential,uniform]",
        )  # fmt: skip
        torch.cuda.manual_seed(3)
        for _ in range(12):
            built.train_step()
        found[mode] = [next(a.parameters()).detach().clone() for a in built.average_networks]
    torch.testing.assert_close(found["cuda_graph"], found["eager"], rtol=1e-3, atol=1e-5)
    assert not torch.equal(*found["eager"])


def test_a_captured_graph_follows_schedules(engine: Callable[..., Engine]) -> None:
    """Rates, beta2 and the weight of a term move; limits act inside of the graph."""
    cosine = "{_target_: gan_runner.optim.schedules.cosine, _partial_: true, first: %s, last: %s, steps: 12}"
    command = (
        *WORKLOADS["comparison"], *GPU, "schedule=cosine", "schedule.steps=12", "optimizer.lr=1e-2",
        f"+schedule.beta2={cosine % (0.9, 0.99)}", "limits.max_grad_norm=0.5",
        f"+schedule.critic_terms.r1={cosine % (0.5, 0.0)}",
    )  # fmt: skip
    runs = []
    for mode in ("eager", "cuda_graph"):
        built = engine(*command, f"trainer.accelerate={mode}")
        torch.cuda.manual_seed(3)
        logs = [built.train_step()[0] for _ in range(12)]
        runs.append([{tag: value.item() for tag, value in its.items()} for its in logs])
    for one, other in zip(*runs, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)
    assert runs[1][11]["lr/critic"] < 0.02 * runs[1][0]["lr/critic"]


def test_a_graph_is_captured_while_batches_are_read_ahead(
    engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads ahead pins memory at the moment of the capture."""
    command = ("model.filters=8", *GPU)
    expected = play(engine(*command), alternating, 12)
    monkeypatch.setattr(stream, "_fits", lambda x, device: False)
    built, captured = engine(*command), CUDAGraphStep(alternating)
    assert built.stream.ahead is not None
    begin = torch.cuda.graph.__enter__

    def begin_beside_the_thread(self: torch.cuda.graph) -> None:
        begin(self)
        pinned = built.stream.ahead.pool.submit(lambda: torch.empty(2**22).pin_memory())
        pinned.result()

    monkeypatch.setattr(torch.cuda.graph, "__enter__", begin_beside_the_thread)
    found = play(built, captured, 12)
    assert captured.graph is not None
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)


def test_a_run_goes_on_after_a_capture_that_fails(
    engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """auto meets a loss that reads a number: eager it stays, random numbers included."""
    loss = Objective.critic_loss

    def reading(self: Objective, critic: Critic, real: Batch, fake: Batch) -> Loss:
        value = loss(self, critic, real, fake)
        value.total.item()
        return value

    monkeypatch.setattr(Objective, "critic_loss", reading)
    built = engine(*WORKLOADS["points"], *GPU, "trainer.accelerate=auto", "trainer.steps=60")
    with pytest.warns(UserWarning, match="cuda_graph failed"):
        summary = fit(built, tmp_path)
    assert (summary["status"], summary["accelerate"]["mode"]) == ("completed", "eager")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")
def test_a_graph_on_another_than_the_current_gpu(engine: Callable[..., Engine]) -> None:
    """Streams and graphs are made on the current device, or nothing would be captured."""
    command = (*WORKLOADS["points"], "device=cuda:1")
    torch.cuda.manual_seed_all(3)
    built = engine(*command)
    before = [p.detach().clone() for p in built.nets.generator.parameters()]
    captured = CUDAGraphStep(alternating)
    for _ in range(12):
        captured(built.game, built.next_batches())
        after = [p.detach().clone() for p in built.nets.generator.parameters()]
        assert all(p.device.index == 1 for p in after)
        assert not all(map(torch.equal, before, after))
        before = after


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_the_update_never_waits_for_the_device(
    engine: Callable[..., Engine], precision: str
) -> None:
    built = engine("model.filters=8", *GPU, f"trainer.precision={precision}")
    built.step = 0
    built.train_step()  # what libraries set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(25):  # more than an epoch
            built.train_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("accelerate", ["auto", "eager", "cuda_graph"])
def test_a_run_on_the_gpu(engine: Callable[..., Engine], tmp_path: Path, accelerate: str) -> None:
    built = engine("model.filters=8", *GPU, f"trainer.accelerate={accelerate}", "trainer.steps=60")
    summary = fit(built, tmp_path)
    assert summary["status"] == "completed"
    mode = summary["accelerate"]
    assert mode["mode"] in ({"eager", "cuda_graph"} if accelerate == "auto" else {accelerate})
    assert set(mode["iterations_per_second"]) == (
        {"eager", "cuda_graph"} if accelerate == "auto" else set()
    )


@pytest.mark.parametrize("accelerate", ["eager", "cuda_graph"])
def test_a_resumed_run_on_the_gpu(
    engine: Callable[..., Engine], tmp_path: Path, accelerate: str
) -> None:
    command = (
        "model.filters=8", *GPU, f"trainer.accelerate={accelerate}", "deterministic=true",
        "trainer.checkpoint_every=10",
    )  # fmt: skip
    try:
        fit(engine(*command, "trainer.steps=20"), tmp_path / "whole")
        fit(engine(*command, "trainer.steps=10"), tmp_path / "cut")
        states = load_latest([tmp_path / "cut"])
        fit(engine(*command, "trainer.steps=20"), tmp_path / "cut", resume_from=states)
    finally:
        torch.use_deterministic_algorithms(False)
    (one,), (other,) = load_latest([tmp_path / "whole"]), load_latest([tmp_path / "cut"])
    assert differences(one, other) == []


@pytest.mark.parametrize("accelerate", ["eager", "cuda_graph"])
def test_steps_are_repeated_on_the_gpu(
    engine: Callable[..., Engine], tmp_path: Path, accelerate: str
) -> None:
    """A NaN in the data: the steps up to it are taken again, and the run goes on as it was."""
    command = (*WORKLOADS["points"], *GPU, f"trainer.accelerate={accelerate}", "deterministic=true",
               "trainer.steps=40", "trainer.log_every=30", "trainer.on_diverged=continue")  # fmt: skip
    try:
        built = engine(*command)
        start = built.stream.state_dict()
        picks = [built.next_batches() for _ in range(17)][-1]
        built.stream.load_state_dict(start)
        built.stream.table.x[picks[-1][0][0], 0] = torch.nan
        summary = fit(built, tmp_path / "ill")
        fit(engine(*command[:-3], "trainer.steps=16"), tmp_path / "before")
    finally:
        torch.use_deterministic_algorithms(False)
    assert (summary["status"], summary["health"]["incident"]) == ("completed", 17)
    kept = load_checkpoint(diverged_path(tmp_path / "ill"))
    assert kept["step"] == 16 and kept["repeated"]
    assert [bool(its["x"].isnan().any()) for its in kept["batches"]] == [False] * 4 + [True]
    before = load_checkpoint(checkpoint_path(tmp_path / "before", 16))
    assert differences(kept["critic"], before["critic"]) == []


def test_replicas_on_the_gpu(engine: Callable[..., Any], tmp_path: Path) -> None:
    pack = engine(
        *WORKLOADS["points"], *GPU, "trainer.replicas=3", "trainer.accelerate=cuda_graph",
        "trainer.steps=12",
    )  # fmt: skip
    summary = fit(pack, tmp_path)
    assert [its["status"] for its in summary["replicas"].values()] == ["completed"] * 3


def test_a_table_that_does_not_fit_is_streamed() -> None:
    device = torch.device("cuda")
    table = Batch(torch.arange(4096, dtype=torch.uint8).reshape(64, 1, 8, 8), torch.arange(64))
    resident = Stream(Batch(*(t.to(device) for t in table)), batch_size=16, seed=1, device=device)
    streamed = Stream(table, batch_size=16, seed=1, device=device)
    assert resident.ahead is None and streamed.ahead is not None
    for _ in range(9):
        one, other = (s.to_batch(*s.next()) for s in (resident, streamed))
        assert other.x.is_cuda and torch.equal(one.x, other.x) and torch.equal(one.y, other.y)

"""A pack of replicas: each takes the steps of a run by itself, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gan_runner.commands.sample import draw
from gan_runner.commands.verify import verify
from gan_runner.core import Latent
from gan_runner.restore import rebuild_engine, resume_states
from gan_runner.runs.checkpoint import checkpoint_path, fingerprint, load_checkpoint
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit
from gan_runner.training.replicas import StackedEngine

TOY = ("dataset=gaussians8", "model=mlp", "model.width=16", "model.depth=2")
DECAY = "{_target_: gan_runner.objectives.penalties.weight_decay, _partial_: true, weight: 0.1}"
RHYTHM = (
    "trainer.log_every=3", "trainer.evaluate_every=6", "trainer.sample_every=100",
    "trainer.checkpoint_every=4",
)  # fmt: skip


def weights(run: Engine) -> torch.Tensor:
    networks: tuple[nn.Module, ...] = (run.nets.generator, run.nets.critic, run.nets.generator_ema)
    tensors = [t for network in networks for t in network.state_dict().values()]
    return torch.cat([t.detach().flatten().float() for t in tensors])


def fixed_noise(run: Engine) -> Callable[[int], Latent]:
    """Noise that depends on the run alone."""
    source = torch.Generator().manual_seed(run.runs[0].facts["seed"])
    width = int(run.nets.generator.latent_dim)
    return lambda n: Latent(torch.randn(n, width, generator=source))


def with_fixed_noise(run: Engine) -> Callable[[int], Latent]:
    prior = fixed_noise(run)
    object.__setattr__(run.game, "prior", prior)
    return prior


@pytest.mark.parametrize(
    "command",
    [
        (*TOY, "objective=wgan"),  # clipping, RMSProp, five critic steps
        (*TOY, "objective=ns_gan", "optimizer=sgd", "optimizer.lr=1e-2"),
        # another table a seed, batch norm in both players, convolutions
        ("dataset=digits", "model.filters=2", "objective=ns_gan"),
        # random numbers in the objective are switched off by fixing them below
        (*TOY, "objective=wgan_gp", "objective.n_critic=2"),
        # data in the generator's step, and a term of the weights themselves
        (
            *TOY,
            "objective=r3gan",
            "schedule=constant",
            f"+objective.critic_terms.decay={DECAY}",
            "optimizer=sgd",
            "optimizer.lr=1e-2",
        ),
        # rates that move, limits and several averages
        (
            *TOY,
            "objective=ns_gan",
            "schedule=cosine",
            "schedule.steps=6",
            "objective.n_generator=2",
            "limits.max_grad_norm=0.1",
            "limits.radius=3",
            "+average=[uniform,half_life]",
        ),
    ],
    ids=["wgan", "sgd", "images", "penalty", "relativistic", "updates"],
)
def test_a_replica_takes_the_steps_of_a_run(
    engine: Callable[..., Any], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def halves(*shape: int, device: object = None) -> torch.Tensor:
        return torch.full(shape, 0.5)

    if "objective=wgan_gp" in command:  # eps is drawn from a source that replicas share
        monkeypatch.setattr(torch, "rand", halves)
    lrs = [1e-4, 1e-4, 3e-4]
    pack = engine(*command, "trainer.replicas=3", f"trainer.replica_lrs={lrs}")
    assert isinstance(pack, StackedEngine)
    alone = [
        engine(*command, f"seed={k}", f"optimizer.critic.lr={lr}", f"optimizer.generator.lr={lr}")
        for k, lr in enumerate(lrs)
    ]
    starts = [weights(run) for run in pack.engines]
    for run, other in zip(pack.engines, alone, strict=True):
        assert torch.equal(weights(run), weights(other))
    priors = [fixed_noise(run) for run in alone]

    def stacked(n: int) -> Latent:
        return Latent(torch.stack([prior(n).z for prior in priors]))

    object.__setattr__(pack.game, "prior", stacked)
    for _ in range(4):
        logs = pack.train_step()
    for run in alone:
        with_fixed_noise(run)
        for _ in range(4):
            (own,) = run.train_step()
        its = logs[run.runs[0].facts["seed"]]
        assert {k: v.item() for k, v in its.items()} == pytest.approx(
            {k: v.item() for k, v in own.items()}, rel=2e-3, abs=1e-5
        )
    for start, run, other in zip(starts, pack.engines, alone, strict=True):
        moved = (weights(other) - start).norm()
        assert moved > 1e-4
        assert (weights(run) - weights(other)).norm() < 2e-3 * moved


def everything(run_dir: Path, step: int) -> list[Any]:
    found: list[Any] = []
    for folder in sorted(run_dir.glob("replica_*")):
        log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found.append(fingerprint(load_checkpoint(checkpoint_path(folder, step))))
        found.append([{k: v for k, v in p.items() if not k.startswith("speed/")} for p in log])
    return found


def test_a_pack_resumes_bit_for_bit(engine: Callable[..., Any], tmp_path: Path) -> None:
    command = (*TOY, *RHYTHM, "trainer.replicas=3", "trainer.replica_lrs=[1e-4,1e-3,1e-3]")
    summary = fit(engine(*command, "trainer.steps=12"), tmp_path / "whole")
    assert summary["status"] == "completed" and len(summary["replicas"]) == 3
    fit(engine(*command, "trainer.steps=8"), tmp_path / "cut")
    # the process died after it had saved one replica's last step, but not the others'
    for k in (1, 2):
        checkpoint_path(tmp_path / "cut" / f"replica_{k}", 8).unlink()
    again = rebuild_engine(tmp_path / "cut", steps=12)
    states = resume_states(tmp_path / "cut", again)
    assert [state["step"] for state in states] == [4, 4, 4]
    fit(again, tmp_path / "cut", resume_from=states)
    assert everything(tmp_path / "cut", 12) == everything(tmp_path / "whole", 12)
    assert verify(tmp_path / "whole") == (8, 12, [])


def test_a_replica_is_a_run_directory(engine: Callable[..., Any], tmp_path: Path) -> None:
    fit(engine(*TOY, *RHYTHM, "trainer.replicas=2", "trainer.steps=8"), tmp_path)
    folder = tmp_path / "replica_1"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["seed"] == 1 and summary["status"] == "completed"
    samples = draw(folder, 5, device="cpu")
    assert not (samples == draw(tmp_path / "replica_0", 5, device="cpu")).any()
    state = load_checkpoint(checkpoint_path(folder, 8))
    # not the stack of all replicas, of which its tensors are views
    assert all(t.untyped_storage().nbytes() == t.nbytes for t in state["critic"].values())
    with pytest.raises(ValueError, match=r"several replicas; name one, such as .*/replica_0"):
        draw(tmp_path, 5, device="cpu")
    alone = rebuild_engine(
        folder, steps=10
    )  # it would draw other noise, and leave the others behind
    with pytest.raises(ValueError, match=rf"one of the replicas of a run; resume {tmp_path}"):
        resume_states(folder, alone)
    with pytest.raises(ValueError, match=rf"one of the replicas of a run; verify {tmp_path}"):
        verify(folder)


def test_one_replica_diverges_and_the_others_go_on(
    engine: Callable[..., Any], tmp_path: Path
) -> None:
    pack = engine(*TOY, *RHYTHM, "trainer.replicas=3", "trainer.steps=9")
    with torch.no_grad():
        next(pack.engines[1].nets.critic.parameters()).fill_(float("nan"))
    summary = fit(pack, tmp_path)
    assert summary["status"] == "diverged"
    assert [its["status"] for its in summary["replicas"].values()] == [
        "completed", "diverged", "completed",
    ]  # fmt: skip
    assert [its["steps"] for its in summary["replicas"].values()] == [9, 3, 9]
    assert torch.isfinite(weights(pack.engines[0])).all()


def test_refusals(engine: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"replica_lrs=\[0.1\]: should have trainer.replicas=2"):
        engine(*TOY, "trainer.replicas=2", "trainer.replica_lrs=[0.1]")
    with pytest.raises(
        ValueError, match=r"accelerate=compile: does not work with trainer.replicas"
    ):
        engine(*TOY, "trainer.replicas=2", "trainer.accelerate=compile")

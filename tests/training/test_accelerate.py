"""Other ways to execute an iteration take the steps of the eager one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gan_runner.training.accelerate import Compiled
from gan_runner.training.trainer import Trainer
from gan_runner.training.update import alternating

WORKLOADS = {
    "points": ("dataset=gaussians8", "model=mlp", "model.width=16", "trainer.accelerate=eager"),
    "images": ("model.filters=4", "trainer.accelerate=eager"),
}


def weights(built: Trainer) -> torch.Tensor:
    tensors = [*built.nets.generator.state_dict().values(), *built.nets.critic.parameters()]
    return torch.cat([t.detach().flatten().float() for t in tensors])


def play(built: Trainer, iteration: Callable, steps: int) -> tuple[list[dict], torch.Tensor]:
    torch.manual_seed(3)
    logs = [iteration(built.game, built.picks()) for _ in range(steps)]
    return [{tag: v.item() for tag, v in its.items()} for its in logs], weights(built)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_compiled_equals_eager(trainer: Callable[..., Trainer], workload: str) -> None:
    """Same noise, same losses and weights to the rounding of float32, batch norm included."""
    command = (*WORKLOADS[workload], "objective.n_critic=2", "optimizer=sgd", "optimizer.lr=1e-2")
    eager, start = trainer(*command), weights(trainer(*command))
    expected, after = play(eager, alternating, 3)
    found, compiled_after = play(trainer(*command), Compiled(), 3)
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-6)
    moved = (after - start).norm()
    assert moved > 1e-3
    assert (compiled_after - after).norm() < 1e-4 * moved

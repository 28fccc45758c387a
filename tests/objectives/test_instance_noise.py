"""Instance noise: how much, on what, and until when."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gan_runner.core import Batch
from gan_runner.objectives import losses
from gan_runner.objectives.instance_noise import InstanceNoise
from gan_runner.objectives.objective import Objective
from gan_runner.training.engine import Engine

NOISE = "+objective.input_noise={_target_: gan_runner.objectives.instance_noise.InstanceNoise, std: 0.4, until: 4}"


def test_its_level_falls_linearly() -> None:
    noise = InstanceNoise(std=0.4, until=10)
    levels = []
    for step in (0, 5, 10, 99):
        noise.set_step(step)
        levels.append(noise(Batch(torch.zeros(100_000))).x.std().item())
    assert levels == pytest.approx([0.4, 0.2, 0.0, 0.0], abs=0.005)
    constant = InstanceNoise(std=0.3)
    constant.set_step(10**6)
    assert constant.level.item() == pytest.approx(0.3)


def test_both_kinds_of_samples_are_blurred_and_keep_what_they_are() -> None:
    """A critic x^2 sees E x^2 + s^2 of each, in both players' losses."""
    seen = []

    def critic(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        seen.append((x.square().mean().item(), y))
        return x.square().mean(1)

    objective = Objective(
        critic_loss=losses.wasserstein_critic, generator_loss=losses.wasserstein_generator,
        input_noise=InstanceNoise(std=2.0),
    )  # fmt: skip
    y = torch.zeros(2000, dtype=torch.int64)
    real, fake = Batch(torch.ones(2000, 50), y), Batch(3 * torch.ones(2000, 50), y)
    objective.critic_loss(critic, real, fake)
    objective.generator_loss(critic, real, fake)
    assert [value for value, _ in seen] == pytest.approx([5, 13, 13], rel=0.02)
    assert all(labels is y for _, labels in seen)


def test_the_generator_feels_the_critic_through_the_noise() -> None:
    x = torch.randn(10, 2, requires_grad=True)
    InstanceNoise(std=0.5)(Batch(x)).x.sum().backward()
    assert torch.equal(x.grad, torch.ones(10, 2))


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_run_follows_the_schedule(engine: Callable[..., Engine], replicas: int) -> None:
    built = engine(
        "dataset=gaussians8", "model=mlp", "model.width=8", "objective=ns_gan", NOISE,
        f"trainer.replicas={replicas}",
    )  # fmt: skip
    levels = []
    for _ in range(6):
        built.train_step()
        levels.append(built.game.objective.input_noise.level.item())
    assert levels == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0, 0.0])

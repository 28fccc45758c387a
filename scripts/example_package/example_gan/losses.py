"""A loss for each player, and a penalty."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from gan_runner.core import Batch, Critic


def exponential_critic(
    real: Tensor, fake: Tensor, *, temperature: Annotated[float, Gt(0)] = 1.0
) -> Tensor:
    """Return E exp(-f(x)/T) + E exp(f(G(z))/T), AdaBoost's loss, clamped against overflow."""
    return (-real / temperature).clamp(max=20).exp().mean() + (fake / temperature).clamp(
        max=20
    ).exp().mean()


def exponential_generator(fake: Tensor, *, temperature: Annotated[float, Gt(0)] = 1.0) -> Tensor:
    """Return E exp(-f(G(z))/T)."""
    return (-fake / temperature).clamp(max=20).exp().mean()


def centred(
    critic: Critic, real: Batch, fake: Batch, *, weight: Annotated[float, Ge(0)] = 0.1
) -> Tensor:
    """Return weight * (E f(x) + E f(G(z)))^2, which keeps the scores around 0."""
    mean = critic(real.x, real.y).mean() + critic(fake.x, fake.y).mean()
    return weight * mean.square()

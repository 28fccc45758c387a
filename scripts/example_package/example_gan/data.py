"""A ring in the plane."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt

from gan_runner.core import Batch, Dataset, DataSpec


def ring(
    *, n_samples: Annotated[int, Ge(100)] = 10_000, std: Annotated[float, Gt(0)] = 0.05, seed: int
) -> Dataset:
    """Draw points at radius N(1, std^2) and a uniform angle; a tenth as many are held out."""
    train, heldout = (draw(n, std, s) for n, s in ((n_samples, seed), (n_samples // 10, 2**31)))
    return Dataset(DataSpec("ring", (2,)), Batch(train), Batch(heldout))


def draw(n: int, std: float, seed: int) -> torch.Tensor:
    """Return n points of the ring, (n, 2)."""
    random = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(n, generator=random)
    radius = 1 + std * torch.randn(n, generator=random)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)

"""Sine networks for points in the plane."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec


class Sine(nn.Module):
    """The activation sin(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return sin(x)."""
        return torch.sin(x)


class Generator(nn.Module):
    """Noise (N, latent_dim) to points (N, d)."""

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: Annotated[int, Ge(1)] = 2,
        width: Annotated[int, Ge(1)] = 64,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, width),
            Sine(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, spec.shape[0]),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return points (N, d)."""
        return self.layers(z)


class Critic(nn.Module):
    """Points (N, d) to scores (N,)."""

    def __init__(self, spec: DataSpec, *, width: Annotated[int, Ge(1)] = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(spec.shape[0], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return one score per sample, (N,)."""
        return self.layers(x).squeeze(1)

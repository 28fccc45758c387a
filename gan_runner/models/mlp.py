"""Fully connected ReLU networks, for points and for (flattened) images.

With three hidden layers of 512 these are the toy networks of Gulrajani et al. 2017, figure 1.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.blocks import PiecewiseLinear, PositiveInt

_IMAGE_LATENT = 128


class Generator(nn.Module):
    """Noise to samples: `depth` hidden ReLU layers of `width`, then Linear (and tanh for images).

    Args:
        spec: facts about the data.
        latent_dim: size of the noise; "auto": the number of coordinates of points, 128 for images.
        width: of each hidden layer.
        depth: number of hidden layers.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: PositiveInt | Literal["auto"] = "auto",
        width: PositiveInt = 512,
        depth: PositiveInt = 3,
    ) -> None:
        super().__init__()
        default = _IMAGE_LATENT if spec.is_image else spec.shape[0]
        self.latent_dim = default if latent_dim == "auto" else latent_dim
        self.layers = _layers(self.latent_dim, width, depth, prod(spec.shape), nn.ReLU())
        if spec.is_image:
            self.layers.append(nn.Tanh())
        self.layers.append(nn.Unflatten(1, spec.shape))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, latent_dim) noise -> (N, *shape). Labels are not used."""
        return self.layers(z)


class Critic(nn.Module):
    """Samples to one score: `depth` hidden ReLU layers of `width`, then Linear -> 1."""

    def __init__(self, spec: DataSpec, *, width: PositiveInt = 512, depth: PositiveInt = 3) -> None:
        super().__init__()
        self.layers = _layers(prod(spec.shape), width, depth, 1, PiecewiseLinear())

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, *shape) -> scores (N,). Labels are not used."""
        return self.layers(x.flatten(1)).squeeze(1)


def _layers(
    inputs: int, width: int, depth: int, outputs: int, activation: nn.Module
) -> nn.Sequential:
    widths = [inputs] + [width] * depth
    hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), activation)]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))

"""The smallest game: a generator that is one point, and a critic that is one slope.

On data of one number, both have a single parameter: x and y of min_x max_y scale x y, the example
with which Mescheder et al. 2018 and most of the work on games begin.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gan_runner.core import DataSpec


class Generator(nn.Module):
    """A learned point x for every noise: G(z) = x.

    Args:
        spec: facts about the data; the point has the shape of its samples.
        start: each coordinate of x before training.
    """

    latent_dim = 1

    def __init__(self, spec: DataSpec, *, start: float = 1.0) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.full((1, *spec.shape), start))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, 1) noise -> (N, *shape), N times the point."""
        return self.x.expand(len(z), *self.x.shape[1:])


class Critic(nn.Module):
    """A linear critic f(s) = -scale <y, s>.

    With Wasserstein's losses on data at 0, E f(data) - E f(G(z)) = scale x y: the critic's ascent
    and the generator's descent in that value are the two sides of min_x max_y scale x y.

    Args:
        spec: facts about the data.
        start: each coordinate of y before training.
        scale: factor of the score.
    """

    def __init__(self, spec: DataSpec, *, start: float = 1.0, scale: float = 1.0) -> None:
        super().__init__()
        self.y = nn.Parameter(torch.full((1, prod(spec.shape)), start))
        self.scale = scale

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, *shape) -> scores (N,)."""
        return -self.scale * linear(x.flatten(1), self.y).squeeze(1)

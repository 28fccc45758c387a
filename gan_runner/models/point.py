"""The smallest players: a point as the generator; critics that are a constant, linear or a slope.

With them a run is an optimisation problem or a game whose solution is known; see
experiment=sgd_rate, hessian_free and bilinear_game.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gan_runner.core import DataSpec


class Generator(nn.Module):
    """The same sample for any noise: G(z) = theta.

    Args:
        spec: facts about the data.
        start: value of each coordinate of theta at first.
        is_fixed: let no gradient reach theta, so that it stays at `start`.
    """

    latent_dim = 1

    def __init__(self, spec: DataSpec, *, start: float = 0.0, is_fixed: bool = False) -> None:
        super().__init__()
        self.is_fixed = is_fixed
        self.theta = nn.Parameter(torch.full((1, *spec.shape), start))  # a matrix, to be decayed

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map noise (N, 1) to (N, *shape); labels are ignored."""
        theta = self.theta.detach() if self.is_fixed else self.theta
        return theta.expand(len(z), *theta.shape[1:])


class ConstantCritic(nn.Module):
    """f(x) = b: a critic that tells nothing apart, for generators led by terms alone.

    Args:
        spec: facts about the data.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, *shape) to scores (N,); labels are ignored."""
        return self.b.expand(len(x))


class LinearCritic(nn.Module):
    """f(x) = w . x + b, from w = 0 and b = 0.

    Args:
        spec: facts about the data.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.score = nn.Linear(prod(spec.shape), 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, *shape) to scores (N,); labels are ignored."""
        return self.score(x.flatten(1)).squeeze(1)


class SlopeCritic(nn.Module):
    """A linear critic f(s) = -scale <y, s>: the other player of Mescheder et al. 2018, section 2.

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
        """Map (N, *shape) to scores (N,); labels are ignored."""
        return -self.scale * linear(x.flatten(1), self.y).squeeze(1)

"""The smallest players: a point as the generator, and constant and linear critics.

With them a run is an optimisation problem whose solution is known; see experiment=sgd_rate and
experiment=hessian_free.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

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
        self.theta = nn.Parameter(torch.full(spec.shape, start))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map noise (N, 1) to (N, *shape); labels are ignored."""
        theta = self.theta.detach() if self.is_fixed else self.theta
        return theta.expand(len(z), *theta.shape)


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

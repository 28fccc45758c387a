"""Regression of samples to data: an optimisation problem with a known solution."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from gan_runner.core import Batch, Critic

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]


def quadratic(
    critic: Critic,
    real: Batch,
    fake: Batch,
    *,
    weight: NonNegative = 1.0,
    curvature: Positive = 1.0,
    condition: Annotated[float, Ge(1)] = 1.0,
    quartic: NonNegative = 0.0,
) -> Tensor:
    """Mean of 1/2 sum_k c_k u_k^2 + quartic/4 |u|^4, u = G(z) - x, over pairs of sample and data.

    For G(z) = theta and quartic = 0 it is strongly convex in theta with the constant c_1. Its
    gradient at one row of data is c_k (theta_k - x_k), and its minimum theta* is the mean of data.
    The quartic term keeps the constant and, for symmetric data, the minimum. But its gradient grows
    faster than theta, so that steps from far away overshoot.

    Args:
        critic: not called.
        real: data, (N, *shape).
        fake: generated samples, (N, *shape).
        weight: of the term.
        curvature: c_1, the smallest coefficient.
        condition: c_d / c_1; the coefficients grow geometrically over the d coordinates.
        quartic: coefficient of |u|^4 / 4.
    """
    u = (fake.x - real.x).flatten(1)
    exponents = torch.linspace(0, 1, u.shape[1], device=u.device, dtype=u.dtype)
    squares = 0.5 * curvature * (condition**exponents * u.square()).sum(dim=1)
    if quartic:
        squares = squares + quartic / 4 * u.square().sum(dim=1).square()
    return weight * squares.mean()

"""Projections of the critic's weights that follow each of its updates."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn

from gan_runner.objectives.requires import requires


@requires(bounds_slope=True)
@torch.no_grad()
def clip_weights(critic: nn.Module, *, c: Annotated[float, Gt(0)] = 0.01) -> None:
    """Project every parameter onto [-c, c], norm scales too. Arjovsky et al. 2017, Algorithm 1."""
    for parameter in critic.parameters():
        parameter.clamp_(-c, c)


@requires(per_sample_scores=True, no_feature_norm=True, bounds_slope=True)
@torch.no_grad()
def project_frobenius(critic: nn.Module, *, radius: Annotated[float, Gt(0)] = 1.0) -> None:
    """Project each matrix and kernel onto the ball |W|_F <= radius; biases stay as they are.

    A dense layer's Lipschitz constant is its spectral norm, which is at most |W|_F: with a radius
    of 1 and activations that do not stretch, neither does the critic (Cauchy-Schwarz). Norm layers
    would undo it, as they divide by the size of what the matrix made: such critics are refused.
    """
    for parameter in critic.parameters():
        if parameter.ndim > 1:
            norm = parameter.norm()
            parameter.mul_((radius / norm).clamp(max=1))

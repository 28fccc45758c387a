"""Projections of the critic's weights that follow each of its updates."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn


@torch.no_grad()
def clip_weights(critic: nn.Module, *, c: Annotated[float, Gt(0)] = 0.01) -> None:
    """Project every parameter onto [-c, c], norm scales too. Arjovsky et al. 2017, Algorithm 1."""
    for parameter in critic.parameters():
        parameter.clamp_(-c, c)

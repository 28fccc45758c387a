"""Noise on what the critic sees, so that data and samples overlap."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from gan_runner.core import Batch


class InstanceNoise(nn.Module):
    """x + s eps, eps ~ N(0, I), for data and samples alike; s falls linearly to 0.

    Sonderby et al. 2017, section 3.2; Arjovsky & Bottou 2017, section 3. Where data and samples lie
    on surfaces that do not meet, a discriminator can be perfect and teach nothing; blurred, both
    have densities everywhere.

    Args:
        std: s at step 0, in the units of the data.
        until: generator step at which s reaches 0; None: it stays.
    """

    level: Tensor

    def __init__(
        self, *, std: Annotated[float, Ge(0)] = 0.1, until: Annotated[int, Gt(0)] | None = None
    ) -> None:
        super().__init__()
        self.std, self.until = std, until
        self.register_buffer("level", torch.tensor(float(std)))

    def set_step(self, step: int) -> None:
        """Set s for a step; on the device, and without waiting for it."""
        left = 1.0 if self.until is None else max(0.0, 1 - step / self.until)
        self.level.fill_(self.std * left)

    def forward(self, batch: Batch) -> Batch:
        """Return the same batch under fresh noise."""
        return batch._replace(x=batch.x + self.level * torch.randn_like(batch.x))

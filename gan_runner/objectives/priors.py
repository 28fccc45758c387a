"""Distributions of the latent variable."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_runner.core import Latent


def gaussian(
    count: int,
    latent_dim: int,
    *,
    device: torch.device,
    generator: torch.Generator | None = None,
    labels: Tensor | None = None,
) -> Latent:
    """Standard normal noise: z ~ N(0, I), (count, latent_dim), on the device.

    Args:
        count: N.
        latent_dim: coordinates of z.
        device: where z is wanted.
        generator: source of randomness; torch's global one for the device if None.
        labels: those of the data, on the device, of which each sample is given a random one, so
            that classes are as frequent as in the data; None for a generator without labels.
    """
    z = torch.randn(count, latent_dim, device=device, generator=generator)
    if labels is None:
        return Latent(z)
    rows = torch.randint(len(labels), (count,), device=device, generator=generator)
    return Latent(z, labels[rows])

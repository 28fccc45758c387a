"""Distributions of the latent variable."""

from __future__ import annotations

import torch

from gan_runner.core import Latent


def gaussian(
    count: int,
    latent_dim: int,
    *,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> Latent:
    """Standard normal noise: z ~ N(0, I), (count, latent_dim), on the device.

    Args:
        count: N.
        latent_dim: coordinates of z.
        device: where z is wanted.
        generator: source of randomness; torch's global one for the device if None.
    """
    return Latent(torch.randn(count, latent_dim, device=device, generator=generator))

"""Distributions of the latent variable.

A prior is called as `prior(count, latent_dim, device, generator=...)`. Labels are none of its
business: samples are made for those of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from torch.nn.functional import one_hot

from gan_runner.core import Latent


def gaussian(
    count: int,
    latent_dim: int,
    device: torch.device,
    *,
    generator: torch.Generator | None = None,
) -> Latent:
    """Draw standard normal noise z ~ N(0, I), (count, latent_dim), on the device.

    Args:
        count: N.
        latent_dim: coordinates of z.
        device: where z is wanted.
        generator: source of randomness; torch's global one for the device if None.
    """
    return Latent(torch.randn(count, latent_dim, device=device, generator=generator))


def infogan_prior(
    count: int,
    latent_dim: int,
    device: torch.device,
    *,
    generator: torch.Generator | None = None,
    categorical: Annotated[int, Ge(1)] = 10,
    continuous: Annotated[int, Ge(0)] = 2,
) -> Latent:
    """Draw a code and noise, z = [one-hot of c, u, eps]: Chen et al. 2016 (InfoGAN), appendix C.

    c is uniform over `categorical` values, u ~ U[-1, 1]^continuous, and eps ~ N(0, I) takes the
    other coordinates. The arguments are those of `gaussian`.

    Raises:
        ValueError: z is too short for the code.
    """
    size = categorical + continuous
    if latent_dim < size:
        raise ValueError(
            f"model.latent_dim={latent_dim}: the code alone takes {size} numbers; use more, or less"
            " in objective.prior.categorical and objective.prior.continuous"
        )
    c = torch.randint(categorical, (count,), device=device, generator=generator)
    u = 2 * torch.rand(count, continuous, device=device, generator=generator) - 1
    noise = torch.randn(count, latent_dim - size, device=device, generator=generator)
    return Latent(torch.cat([one_hot(c, categorical), u, noise], dim=1))


def categories(prior: Callable[..., Latent]) -> int:
    """Values of the categorical code at the front of a prior's noise; 0 for a prior without."""
    return _of_code(prior, "categorical", 10)


def code_dim(prior: Callable[..., Latent]) -> int:
    """Coordinates that the whole code takes at the front of a prior's noise; 0: it has none."""
    return categories(prior) + _of_code(prior, "continuous", 2)


def _of_code(prior: Callable[..., Latent], key: str, default: int) -> int:
    if getattr(prior, "func", prior) is not infogan_prior:
        return 0
    return int(getattr(prior, "keywords", {}).get(key, default))

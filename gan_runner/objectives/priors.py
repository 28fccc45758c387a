"""Distributions of the latent variable.

A prior is called as `prior(count, latent_dim, device, generator=...)`. Priors do not sample labels:
generated batches reuse the labels of the real batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor
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


def uniform(
    count: int,
    latent_dim: int,
    device: torch.device,
    *,
    generator: torch.Generator | None = None,
) -> Latent:
    """Draw uniform noise z ~ U[-1, 1]^latent_dim, (count, latent_dim), on the device.

    The noise of DCGAN (Radford et al. 2015, section 4), InfoGAN and f-GAN. The arguments are those
    of `gaussian`.
    """
    return Latent(2 * torch.rand(count, latent_dim, device=device, generator=generator) - 1)


def infogan_prior(
    count: int,
    latent_dim: int,
    device: torch.device,
    *,
    generator: torch.Generator | None = None,
    categorical: Annotated[int, Ge(1)] = 10,
    continuous: Annotated[int, Ge(0)] = 2,
    noise: Literal["gaussian", "uniform"] = "gaussian",
) -> Latent:
    """Draw a code and noise, z = [one-hot of c, u, eps]: Chen et al. 2016 (InfoGAN), appendix C.

    c is uniform over `categorical` values, u ~ U[-1, 1]^continuous, and eps takes the other
    coordinates: N(0, I), or U[-1, 1] as in the authors' code. The arguments are those of
    `gaussian`.

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
    draw = {"gaussian": gaussian, "uniform": uniform}[noise]
    eps = draw(count, latent_dim - size, device, generator=generator).z
    return Latent(torch.cat([one_hot(c, categorical), u, eps], dim=1))


def negative_log_density(prior: Callable[..., Latent], z: Tensor) -> Tensor:
    """Compute -log p(z) of each row up to a constant, (N, d) -> (N,).

    |z|^2 / 2 for `gaussian`; for `uniform` 0 in the cube [-1, 1]^d and infinity outside.

    Raises:
        ValueError: the prior is neither.
    """
    function = getattr(prior, "func", prior)
    if function is gaussian:
        return z.square().sum(1) / 2
    if function is uniform:
        inside = (z.abs() <= 1).all(dim=1)
        return torch.where(inside, 0.0, torch.inf).to(z)
    name = getattr(function, "__name__", type(function).__name__)
    raise ValueError(f"objective.prior={name}: its density is not known")


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

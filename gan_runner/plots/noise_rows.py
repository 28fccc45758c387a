"""Noise of related samples: between two of them, or in every class."""

from __future__ import annotations

import torch

from gan_runner.core import Latent
from gan_runner.plots.latent_walks import slerp

STEPS = 10  # samples from one to another


def between_pairs(noise: Latent, *, code: int = 0) -> Latent:
    """Return noise along the great circle between the two of each pair; see `slerp`.

    A pair keeps the code and the label of its first row.

    Args:
        noise: of 2 N samples.
        code: coordinates that the code takes.

    Returns:
        Noise of N rows of `STEPS` samples.
    """
    a, b = noise.z[0::2], noise.z[1::2]
    fractions = torch.linspace(0, 1, STEPS, device=a.device)
    fixed = a[:, None, :code].expand(-1, STEPS, -1)
    z = torch.cat([fixed, slerp(a[:, code:], b[:, code:], fractions)], dim=2)
    y = None if noise.y is None else noise.y[0::2].repeat_interleave(STEPS)
    return Latent(z.flatten(0, 1), y)


def in_every_class(noise: Latent, *, classes: int, codes: int) -> tuple[Latent, int]:
    """Return the first half of the noise with every label, or with every categorical code.

    Args:
        noise: of 2 N samples.
        classes: labels that the generator takes, or 0.
        codes: values of the categorical code that the noise begins with, or 0.

    Returns:
        Noise of N rows with one label or code per column, and the number of columns.

    Raises:
        ValueError: the generator has neither labels nor codes.
    """
    z, columns = noise.z[: len(noise.z) // 2], classes or codes
    if not columns:
        raise ValueError("--grid: this generator has neither labels nor codes; omit it")
    values = torch.arange(columns, device=z.device).repeat(len(z))
    z = z.repeat_interleave(columns, dim=0)
    if classes:
        return Latent(z, values), columns
    return Latent(torch.cat([torch.eye(codes).to(z)[values], z[:, codes:]], dim=1)), columns

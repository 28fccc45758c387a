"""Noise of related samples: between two of them, or in every class."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_runner.core import Latent

STEPS = 10  # samples from one to another


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate on the sphere, from a at t = 0 to b at t = 1 (White 2016; Shoemake 1985).

    slerp(a, b; t) = (sin((1 - t) w) a + sin(t w) b) / sin w, w the angle between a and b. The
    midpoint of the straight line between two Gaussian vectors is only about 0.7 times as long.
    Generators are hardly ever trained on such short noise; the great circle keeps the length. If a
    and b are parallel or antiparallel, the interpolation is linear.

    Args:
        a: (..., d).
        b: (..., d).
        t: (n,), in [0, 1].

    Returns:
        (..., n, d).
    """
    cosine = torch.cosine_similarity(a, b, dim=-1)[..., None].clamp(-1, 1)
    w = torch.arccos(cosine)
    sine = torch.sin(w)
    flat = sine < 1e-3  # a float32 cosine cannot resolve smaller angles
    sine = sine.where(~flat, 1.0)
    first = torch.where(flat, 1 - t, torch.sin((1 - t) * w) / sine)
    second = torch.where(flat, t, torch.sin(t * w) / sine)
    return first[..., None] * a[..., None, :] + second[..., None] * b[..., None, :]


def between_pairs(noise: Latent, *, steps: int = STEPS, code: int = 0) -> Latent:
    """Return noise along the great circle between the two of each pair; see `slerp`.

    A pair keeps the code and the label of its first row.

    Args:
        noise: of 2 N samples.
        steps: samples from one to another, both included.
        code: coordinates that the code takes.

    Returns:
        Noise of N rows of `steps` samples.
    """
    a, b = noise.z[0::2], noise.z[1::2]
    fractions = torch.linspace(0, 1, steps, device=a.device)
    fixed = a[:, None, :code].expand(-1, steps, -1)
    z = torch.cat([fixed, slerp(a[:, code:], b[:, code:], fractions)], dim=2)
    y = None if noise.y is None else noise.y[0::2].repeat_interleave(steps)
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

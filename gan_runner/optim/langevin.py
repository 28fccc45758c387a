"""Metropolis-adjusted Langevin sampling of an energy's distribution exp(-E)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad_and_value

Energy = Callable[[Tensor], Tensor]


def langevin(
    energy: Energy, z: Tensor, *, steps: int, step_size: float, random: torch.Generator
) -> Tensor:
    """Independent chains, a row each, towards exp(-E): Roberts & Tweedie 1996 (MALA).

    z' = z - a / 2 grad E(z) + sqrt(a) N(0, I), accepted with probability
    min(1, exp(E(z) - E(z')) q(z | z') / q(z' | z)), q the density of such a proposal.

    Args:
        energy: (N, d) -> (N,), differentiable, each row by itself.
        z: (N, d), where the chains begin.
        steps: of each chain.
        step_size: a.
        random: source of randomness on the CPU.

    Returns:
        (N, d), where the chains end.
    """
    at = _look(energy, z)
    for _ in range(steps):
        z, e, slope = at
        noise = torch.randn(z.shape, generator=random).to(z)
        new = _look(energy, z - step_size / 2 * slope + step_size**0.5 * noise)
        there = _log_proposal(new[0], z, slope, step_size)
        back = _log_proposal(z, new[0], new[2], step_size)
        chance = (e - new[1] + back - there).exp()
        accept = torch.rand(len(z), generator=random).to(chance) < chance
        rows = accept[:, None]
        at = (
            torch.where(rows, new[0], z),
            torch.where(accept, new[1], e),
            torch.where(rows, new[2], slope),
        )
    return at[0]


def _look(energy: Energy, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A place, its energy (N,) and the slope (N, d) there."""

    def total(at: Tensor) -> tuple[Tensor, Tensor]:
        each = energy(at)
        return each.sum(), each.detach()

    slope, (_, each) = grad_and_value(total, has_aux=True)(z)
    return z, each, slope


def _log_proposal(new: Tensor, old: Tensor, slope: Tensor, step_size: float) -> Tensor:
    """log q(new | old) but for a constant: a Gaussian of variance a around the drift."""
    return -(new - old + step_size / 2 * slope).square().sum(1) / (2 * step_size)

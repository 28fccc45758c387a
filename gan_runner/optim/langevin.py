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
    """Run one independent chain per row towards exp(-E): Roberts & Tweedie 1996 (MALA).

    z' = z - a / 2 grad E(z) + sqrt(a) N(0, I), accepted with probability
    min(1, exp(E(z) - E(z')) q(z | z') / q(z' | z)); q is the density of the proposal.

    Args:
        energy: differentiable function (N, d) -> (N,), per-sample.
        z: (N, d), initial state of each chain.
        steps: number of steps of each chain.
        step_size: a.
        random: random generator on the CPU.

    Returns:
        (N, d), final state of each chain.
    """
    state = _look(energy, z)
    for _ in range(steps):
        z, e, slope = state
        noise = torch.randn(z.shape, generator=random).to(z)
        new = _look(energy, z - step_size / 2 * slope + step_size**0.5 * noise)
        there = _log_proposal(new[0], z, slope, step_size)
        back = _log_proposal(z, new[0], new[2], step_size)
        chance = (e - new[1] + back - there).exp()
        accept = torch.rand(len(z), generator=random).to(chance) < chance
        rows = accept[:, None]
        state = (
            torch.where(rows, new[0], z),
            torch.where(accept, new[1], e),
            torch.where(rows, new[2], slope),
        )
    return state[0]


def _look(energy: Energy, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a state (N, d), the energy (N,) and the energy's gradient (N, d) there."""

    def total(rows: Tensor) -> tuple[Tensor, Tensor]:
        each = energy(rows)
        return each.sum(), each.detach()

    slope, (_, each) = grad_and_value(total, has_aux=True)(z)
    return z, each, slope


def _log_proposal(new: Tensor, old: Tensor, slope: Tensor, step_size: float) -> Tensor:
    """Compute log q(new | old) up to a constant: a Gaussian of variance a around the drift."""
    return -(new - old + step_size / 2 * slope).square().sum(1) / (2 * step_size)

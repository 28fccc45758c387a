"""Langevin sampling against distributions that are known."""

from __future__ import annotations

import pytest
import torch

from gan_runner.optim.langevin import langevin


def test_it_samples_a_gaussian_exactly() -> None:
    """Metropolis' correction leaves no bias, even with a large step: N(1, 0.5^2)."""
    random = torch.Generator().manual_seed(0)
    z = torch.zeros(20_000, 1)
    ends = langevin(
        lambda at: ((at - 1) / 0.5).square().sum(1) / 2, z, steps=200, step_size=0.3, random=random
    )
    assert ends.mean().item() == pytest.approx(1.0, abs=0.015)
    assert ends.std().item() == pytest.approx(0.5, rel=0.02)


def test_it_finds_the_weights_of_two_wells() -> None:
    """exp(-E) with wells of weights 1 : 3 at -1 and 1, between which chains can cross."""
    random = torch.Generator().manual_seed(0)

    def energy(at: torch.Tensor) -> torch.Tensor:
        x = at[:, 0]
        wells = torch.stack(
            [-((x + 1) ** 2) / 0.5, -((x - 1) ** 2) / 0.5 + torch.log(torch.tensor(3.0))]
        )
        return -torch.logsumexp(wells, dim=0)

    ends = langevin(energy, torch.zeros(10_000, 1), steps=400, step_size=0.5, random=random)
    assert (ends > 0).float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_no_step_is_where_it_began() -> None:
    z = torch.randn(3, 2)
    assert torch.equal(
        langevin(lambda at: at.sum(1), z, steps=0, step_size=1.0, random=torch.Generator()), z
    )

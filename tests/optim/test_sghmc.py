"""SGHMC against the distribution that it samples, and against momentum."""

from __future__ import annotations

import pytest
import torch

from gan_runner.optim.sghmc import SGHMC


def test_it_samples_a_gaussian() -> None:
    """L = theta^2 / (2 s) gives exp(-L / T) = N(0, s T), by many chains at once."""
    s, temperature = 2.0, 0.3
    theta = torch.nn.Parameter(torch.zeros(20_000))
    chain = SGHMC([theta], lr=1e-2, friction=0.1, temperature=temperature)
    for _ in range(3000):
        theta.grad = theta.detach() / s
        chain.step()
    assert theta.mean().item() == pytest.approx(0.0, abs=0.02)
    assert theta.var().item() == pytest.approx(s * temperature, rel=0.05)
    kurtosis = (theta**4).mean() / theta.var() ** 2
    assert kurtosis.item() == pytest.approx(3.0, abs=0.15)


def test_without_temperature_it_is_momentum() -> None:
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    one = SGHMC([ours], lr=0.1, friction=0.25, temperature=0.0)
    other = torch.optim.SGD([theirs], lr=0.1, momentum=0.75)
    for _ in range(10):
        ours.grad, theirs.grad = ours.detach().clone(), theirs.detach().clone()
        one.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_by_hand() -> None:
    """v1 = -0.1 * 3, theta1 = 2 - 0.3; v2 = 0.5 * v1 - 0.1 * 1, theta2 = theta1 + v2."""
    theta = torch.nn.Parameter(torch.tensor([2.0]))
    chain = SGHMC([theta], lr=0.1, friction=0.5, temperature=0.0)
    for gradient in (3.0, 1.0):
        theta.grad = torch.tensor([gradient])
        chain.step()
    assert theta.item() == pytest.approx(2 - 0.3 + (-0.15 - 0.1))

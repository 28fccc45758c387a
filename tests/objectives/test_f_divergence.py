"""The f-GAN table against calculus, and trained critics against closed forms."""

from __future__ import annotations

from math import exp, log
from typing import get_args

import pytest
import torch
from closed_forms import CLOSED_FORMS, P, Q, discriminator, js, variational_scores
from scipy.optimize import minimize_scalar
from torch import Tensor

from gan_runner.objectives import f_divergence
from gan_runner.objectives.f_divergence import TABLE, Name
from gan_runner.objectives.losses import jensen_shannon, logistic_critic

NAMES = get_args(Name)


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_critic_proves_the_divergence(name: Name) -> None:
    row = TABLE[name]
    scores, bound = variational_scores(name)
    assert bound == pytest.approx(CLOSED_FORMS[name], rel=0.05)
    assert bound <= CLOSED_FORMS[name] + 1e-6  # a bound from below
    # and T is f'(p / q) where both have mass (equation 5 of the paper)
    u = (P / Q).requires_grad_()
    (slope,) = torch.autograd.grad(row.generator(u).sum(), u)
    error = (P + Q) / 2 * (row.activation(scores) - slope).abs()
    assert error.sum() < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_of_the_divergence(name: Name) -> None:
    """E_Q f(p / q) is the divergence that the row is named after, times its multiple."""
    row = TABLE[name]
    assert (Q * row.generator(P / Q)).sum().item() / row.multiple == pytest.approx(
        CLOSED_FORMS[name], rel=1e-4
    )
    start = log(2) if name == "gan" else 0.0  # the row of GAN is shifted by log 4
    assert row.generator(torch.ones(())).item() == pytest.approx(-2 * start, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_conjugate(name: Name) -> None:
    """f*(t) = sup_u (u t - f(u)), found by searching; the activation maps into its domain."""
    row = TABLE[name]
    v = torch.linspace(-2, 2, 9, dtype=torch.float64)
    t = row.activation(v)
    assert (t < row.bound).all() and (t.diff() > 0).all()
    torch.testing.assert_close(row.conjugate(t), row.penalty(v))
    for at in t:

        def falls_short(log_u: float, at: Tensor = at) -> float:
            u = torch.tensor(exp(log_u), dtype=torch.float64)
            return (row.generator(u) - u * at).item()

        found = minimize_scalar(falls_short, bounds=(-12, 6), method="bounded")
        assert -found.fun == pytest.approx(row.conjugate(at).item(), abs=1e-3)


def test_pearsons_conjugate_is_that_of_the_whole_line() -> None:
    """Below t = -2 it is above -1 = sup_{u > 0} (u t - (u - 1)^2), so that F is a smaller bound."""
    row, u = TABLE["pearson"], torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    for t in (-8.0, -3.0, -2.0, 0.0, 5.0):
        values, found = u * t - row.generator(u), row.conjugate(torch.tensor(t)).item()
        assert values.max().item() == pytest.approx(found, abs=1e-6)
        positive = values[u > 0].max().item()
        assert positive == pytest.approx(max(t, -2.0) ** 2 / 4 + max(t, -2.0), abs=1e-2)
        assert found >= positive - 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_penalty_stays_finite_where_the_composition_does_not(name: Name) -> None:
    v = torch.tensor([-60.0, 60.0])
    assert torch.isfinite(TABLE[name].penalty(v)).all()
    if name in {"reverse_kl", "jensen_shannon", "gan"}:
        assert TABLE[name].penalty(v)[1].item() == pytest.approx(60, abs=1.01)


def test_scores_by_hand() -> None:
    r, f = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    # Pearson: T = v, f* = v^2 / 4 + v: E T = 2, E f* = (0 + 3) / 2
    critic_loss = f_divergence.variational_critic(r, f, divergence="pearson")
    assert critic_loss.item() == pytest.approx(1.5 - 2)
    assert f_divergence.variational_bound(r, f, divergence="pearson").item() == pytest.approx(0.5)
    assert f_divergence.variational_generator(f, divergence="pearson").item() == pytest.approx(-1.5)
    other = f_divergence.variational_generator(f, divergence="pearson", nonsaturating=True)
    assert other.item() == pytest.approx(-1.0)
    # the GAN row is the game of Goodfellow et al. 2014
    assert f_divergence.variational_critic(r, f, divergence="gan").item() == pytest.approx(
        logistic_critic(r, f).item()
    )
    # and the bound on Jensen-Shannon the one that a classifying discriminator proves
    assert f_divergence.variational_bound(
        r, f, divergence="jensen_shannon"
    ).item() == pytest.approx(jensen_shannon(r, f).item(), abs=1e-6)


def test_discriminator_between_known_densities() -> None:
    """D = p / (p + q), and the game's value is 2 JS - log 4 (Goodfellow et al. 2014, prop. 1)."""
    error, value = discriminator()
    assert error < 0.02
    assert value == pytest.approx(2 * js() - log(4), rel=0.01)
    bound = log(2) + value / 2  # on Jensen-Shannon
    assert bound == pytest.approx(js(), rel=0.05)


def test_label_smoothing_bounds_the_discriminator() -> None:
    """With a target a for data the optimum is D = a p / (p + q) (Salimans et al. 2016, sec. 3.4)."""
    p, q, a = 0.7, 0.3, 0.9
    sure = torch.tensor([1e9])  # a batch that contributes nothing
    v = torch.zeros(1, requires_grad=True)
    for _ in range(300):  # one point, at which data has the mass p and samples have q
        on_data = logistic_critic(v, -sure, real_target=a)
        loss = p * on_data + q * logistic_critic(sure, v)
        (g,) = torch.autograd.grad(loss, v)
        v = (v - 2 * g).detach().requires_grad_()
    assert v.sigmoid().item() == pytest.approx(a * p / (p + q), abs=1e-4)

"""Scores against numbers computed by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from gan_runner.objectives import losses

# Scores of two real and two generated samples; sigmoid(log 3) = 3/4, sigmoid(0) = 1/2.
R = torch.tensor([log(3), 0.0])
F = torch.tensor([-log(3), 0.0])

CRITICS = {
    # -E log D(x) = -(log 3/4 + log 1/2) / 2, and the same for the generated ones by symmetry
    "logistic_critic": (losses.logistic_critic, -(log(3 / 4) + log(1 / 2))),
    # 1/2 ((log 3 - 1)^2 + 1) / 2 + 1/2 (log^2 3 + 0) / 2
    "least_squares_critic": (
        losses.least_squares_critic,
        ((log(3) - 1) ** 2 + 1) / 4 + log(3) ** 2 / 4,
    ),
    # max(0, 1 - log 3) = 0 and max(0, 1 - 0) = 1, twice: 1/2 + 1/2
    "hinge_critic": (losses.hinge_critic, 1.0),
    # mean(f) - mean(r) = -log 3 / 2 - log 3 / 2
    "wasserstein_critic": (losses.wasserstein_critic, -log(3)),
    # E f = -log 3 / 2, E r = log 3 / 2: differences of 3/2 log 3 and 1/2 log 3, for both kinds
    "relativistic_average_critic": (
        losses.relativistic_average_critic,
        log(1 + 3**-1.5) + log(1 + 3**-0.5),
    ),
    # -log sigmoid of 2 log 3 and of 0
    "relativistic_pairing_critic": (
        losses.relativistic_pairing_critic,
        (log(1 + 1 / 9) + log(2)) / 2,
    ),
    "wasserstein_estimate": (losses.wasserstein_estimate, log(3)),
    # log 2 + (log 3/4 + log 1/2) / 2
    "jensen_shannon": (losses.jensen_shannon, log(2) + (log(3 / 4) + log(1 / 2)) / 2),
}

GENERATORS = {
    # E log(1 - D) with 1 - D = 3/4, 1/2
    "saturating_generator": (losses.saturating_generator, (log(3 / 4) + log(1 / 2)) / 2),
    # -E log D with D = 1/4, 1/2
    "nonsaturating_generator": (losses.nonsaturating_generator, -(log(1 / 4) + log(1 / 2)) / 2),
    "least_squares_generator": (losses.least_squares_generator, ((log(3) + 1) ** 2 + 1) / 4),
    "hinge_generator": (losses.hinge_generator, log(3) / 2),
    "wasserstein_generator": (losses.wasserstein_generator, log(3) / 2),
}


RELATIVISTIC_GENERATORS = {
    "relativistic_average_generator": (
        losses.relativistic_average_generator,
        log(1 + 3**1.5) + log(1 + 3**0.5),
    ),
    "relativistic_pairing_generator": (
        losses.relativistic_pairing_generator,
        (log(1 + 9) + log(2)) / 2,
    ),
}


@pytest.mark.parametrize("name", CRITICS)
def test_critic_score(name: str) -> None:
    score, value = CRITICS[name]
    assert score(R, F).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_score(name: str) -> None:
    score, value = GENERATORS[name]
    assert score(F).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", RELATIVISTIC_GENERATORS)
def test_relativistic_generator_score(name: str) -> None:
    score, value = RELATIVISTIC_GENERATORS[name]
    assert score(R, F).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("kind", ["average", "pairing"])
def test_relativistic_scores_ignore_a_constant(kind: str) -> None:
    r, f = torch.randn(2, 50, dtype=torch.float64)
    for player in ("critic", "generator"):
        score = getattr(losses, f"relativistic_{kind}_{player}")
        assert score(r + 7, f + 7).item() == pytest.approx(score(r, f).item(), abs=1e-12)
        assert abs(score(r + 7, f).item() - score(r, f).item()) > 0.1


def test_label_smoothing() -> None:
    # a softplus(-r) + (1 - a) softplus(r) at a = 0.9: D(x) = 3/4, 1/2
    on_data = -(0.9 * log(3 / 4) + 0.1 * log(1 / 4) + log(1 / 2)) / 2
    on_samples = -(log(3 / 4) + log(1 / 2)) / 2
    smoothed = losses.logistic_critic(R, F, real_target=0.9)
    assert smoothed.item() == pytest.approx(on_data + on_samples, abs=1e-6)
    assert torch.equal(losses.logistic_critic(R, F, real_target=1.0), losses.logistic_critic(R, F))


def test_least_squares_other_coding() -> None:
    # Mao et al. 2017, equation 8: a = -1, b = 1, c = 0, which minimises Pearson's chi squared
    critic = losses.least_squares_critic(R, F, fake_target=-1.0, real_target=1.0)
    assert critic.item() == pytest.approx(((log(3) - 1) ** 2 + 1) / 2, abs=1e-6)
    generator = losses.least_squares_generator(F, target=0.0)
    assert generator.item() == pytest.approx(log(3) ** 2 / 4, abs=1e-6)


def test_gradients_where_the_discriminator_is_sure() -> None:
    # The lectures' example: at D(G(z)) = 0.01 the saturating slope is -D, the other -(1 - D).
    f = torch.tensor([log(0.01 / 0.99)], requires_grad=True)
    (saturating,) = torch.autograd.grad(losses.saturating_generator(f), f)
    (other,) = torch.autograd.grad(losses.nonsaturating_generator(f), f)
    assert saturating.item() == pytest.approx(-0.01, abs=1e-7)
    assert other.item() == pytest.approx(-0.99, abs=1e-6)
    assert losses.nonsaturating_generator(f).item() == pytest.approx(4.60517, abs=1e-4)
    assert losses.saturating_generator(f).item() == pytest.approx(-0.01005, abs=1e-5)


def test_jensen_shannon_bounds() -> None:
    zero, sure = torch.zeros(3), torch.full((3,), 50.0)
    assert losses.jensen_shannon(zero, zero).item() == pytest.approx(0.0, abs=1e-7)
    assert losses.jensen_shannon(sure, -sure).item() == pytest.approx(log(2), abs=1e-7)
    assert losses.jensen_shannon(-sure, sure).item() < -10


def test_logistic_stays_finite_for_large_scores() -> None:
    r = torch.tensor([-1e4])
    assert losses.logistic_critic(r, -r).item() == pytest.approx(2e4)
    assert exp(-losses.logistic_critic(-r, r).item()) == 1.0

"""The rate of SGD with steps alpha / j on a strongly convex quadratic, and why it needs a projection.

a_j = E |theta_j - theta*|^2 / 2 is at most Q / j, Q = alpha^2 M^2 / (2 (2 c alpha - 1)), where c is
the constant of strong convexity and M^2 bounds E |G|^2 over the ball that is projected onto.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from gan_runner.builder import build
from gan_runner.core import Batch
from gan_runner.objectives.regression import quadratic

CHAINS, DIM = 4000, 2


def chains(
    steps: int, *, alpha: float, radius: float = math.inf, start: float = 1.0, **options: float
) -> Tensor:
    """Return E |theta_j - theta*|^2 at j = 1 .. steps, by many chains at once; theta* = 0.

    theta_1 = (start, ...); theta_{j + 1} follows from one row of data, x ~ N(0, I), at rate alpha / j.
    """
    torch.manual_seed(0)
    theta = nn.Parameter(torch.full((CHAINS, DIM), start, dtype=torch.float64))
    optimizer = torch.optim.SGD([theta], lr=1.0)
    moments = []
    for j in range(1, steps + 1):
        moments.append(theta.detach().square().sum(dim=1).mean())
        optimizer.param_groups[0]["lr"] = alpha / j
        optimizer.zero_grad()
        x = torch.randn(CHAINS, DIM, dtype=torch.float64)
        (CHAINS * quadratic(None, Batch(x), Batch(theta), **options)).backward()  # type: ignore[arg-type]
        optimizer.step()
        with torch.no_grad():
            theta.mul_((radius / theta.norm(dim=1, keepdim=True)).clamp(max=1))
    return torch.stack(moments)


def exponent(moments: Tensor, first: int) -> float:
    """The slope of log moment over log j, from j = first on."""
    j = torch.arange(first, len(moments) + 1, dtype=torch.float64).log()
    y = moments[first - 1 :].log()
    return float(((j - j.mean()) * (y - y.mean())).sum() / (j - j.mean()).square().sum())


@pytest.mark.parametrize("alpha", [1.0, pytest.param(2.0, marks=pytest.mark.slow)])
def test_one_over_j(alpha: float) -> None:
    """With c = 1 and 2 c alpha = 2 or 4; j a_j tends to d alpha^2 / (2 c alpha - 1) / 2."""
    moments = chains(2000, alpha=alpha)
    assert exponent(moments, 50) == pytest.approx(-1.0, abs=0.1)
    assert 2000 * float(moments[-1]) == pytest.approx(DIM * alpha**2 / (2 * alpha - 1), rel=0.1)


def test_slower_with_small_steps() -> None:
    """With 2 c alpha = 0.4 the start is forgotten like j^-0.4 only."""
    assert exponent(chains(2000, alpha=0.2), 50) == pytest.approx(-0.4, abs=0.1)


@pytest.mark.parametrize("alpha", [0.75, 1.0, pytest.param(2.0, marks=pytest.mark.slow)])
def test_the_bound_is_above_the_curve(alpha: float) -> None:
    radius, c = 3.0, 1.0
    second = c**2 * (radius**2 + DIM)  # E |c (theta - x)|^2 on the sphere, its largest value
    largest = max(second, 2.0)  # |theta_1|^2 = 2
    q = 0.5 * alpha**2 * largest / (2 * c * alpha - 1)
    moments = chains(1000, alpha=alpha, radius=radius)
    j = torch.arange(1, 1001, dtype=torch.float64)
    assert (0.5 * moments <= q / j).all()
    assert (0.5 * moments >= 0.01 * q / j).all()  # a bound that is far away would prove nothing


def test_without_the_projection_the_second_moment_is_unbounded() -> None:
    """A quartic term keeps c and theta*, but its gradient grows faster than theta.

    A step from |theta| = r ends near alpha r^3 / j: beyond r = sqrt(j / alpha) it leads away.
    """
    free = chains(8, alpha=1.0, quartic=1.0)
    assert (free[1:5] > 10 * free[:4]).all() and not free[-1] < 1e100
    held = chains(1000, alpha=1.0, quartic=1.0, radius=3.0)
    assert exponent(held, 100) == pytest.approx(-1.0, abs=0.1) and held[-1] < 0.1


# In the runner


@pytest.fixture
def run(config: Callable[..., DictConfig]) -> Callable[..., Any]:
    return lambda *overrides: build(config("device=cpu", *overrides))


def test_the_experiment_averages_its_data(run: Callable[..., Any]) -> None:
    """With c = 1 and steps 1 / j, theta_j is the mean of the rows so far, whatever the start."""
    engine = run("experiment=sgd_rate")
    rows = []
    to_batch = engine.game.to_batch
    object.__setattr__(
        engine.game, "to_batch", lambda *pick: rows.append(to_batch(*pick)) or rows[-1]
    )
    for j in range(1, 101):
        engine.optimizers["generator"].param_groups[0]["lr"] = 1 / j
        engine.train_step()
    mean = torch.cat([batch.x for batch in rows]).mean(dim=0)
    assert len(rows) == 100
    torch.testing.assert_close(engine.nets.generator.theta[0].detach(), mean)


def test_replicas_are_realisations_of_the_noise(run: Callable[..., Any]) -> None:
    """E |theta_j|^2 = d / j after j steps; 64 runs of 4 coordinates: a standard error of 9%."""
    engine = run("experiment=sgd_rate", "trainer.replicas=64", "dataset.n_samples=500")
    for j in range(1, 101):
        for group in engine.optimizers[1].stacked.param_groups:
            group["lr"] = 1 / j
        engine.train_step()
    thetas = torch.cat([nets.generator.theta.detach() for nets in engine.networks()])
    assert 100 * float(thetas.square().sum(dim=1).mean()) == pytest.approx(4.0, rel=0.27)


def test_its_tag_is_the_distance(run: Callable[..., Any]) -> None:
    engine = run("experiment=sgd_rate")
    engine.train_step()
    from gan_runner.training.recorder import measure

    values = measure(engine.runs[0], engine.networks()[0])
    expected = engine.nets.generator.theta.detach().square().sum().item()
    assert values["convergence/squared_distance_raw"] == pytest.approx(expected)

"""Wasserstein distances against closed forms and the lectures' examples."""

from __future__ import annotations

from math import gamma, pi, sqrt

import numpy as np
import pytest
import torch
from eval_contexts import context_of, snapshot_of

from gan_runner.core import Batch, DataSpec
from gan_runner.data.toy import gaussians8
from gan_runner.metrics import rows, transport
from gan_runner.metrics.rows import floors_of
from gan_runner.metrics.transport import (
    ExactWasserstein,
    SlicedWasserstein,
    assignment_w1,
    directions,
    sliced,
)
from gan_runner.plots.nearest_neighbours import TransportPlan, optimal_plan

RNG = np.random.default_rng(0)
LINE = RNG.normal(size=(2, 50, 1))


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


@pytest.mark.parametrize("dimensions", [2, 300])
def test_shifted_points_are_the_shift_apart(dimensions: int) -> None:
    x, shift = RNG.normal(size=(60, dimensions)), RNG.normal(size=dimensions)
    y = RNG.permutation(x + shift)
    assert assignment_w1(x, y) == pytest.approx(np.linalg.norm(shift), abs=1e-6)
    assert transport.transport(x, y).value == pytest.approx(np.linalg.norm(shift), abs=1e-6)


def test_on_a_line_sorted_points_are_matched() -> None:
    x, y = LINE
    truth = np.abs(np.sort(x[:, 0]) - np.sort(y[:, 0])).mean()
    assert assignment_w1(x, y) == pytest.approx(truth, abs=1e-6)
    assert transport.transport(x, y).value == pytest.approx(truth, abs=1e-6)


def test_weights_on_a_line_against_the_distribution_functions() -> None:
    """On a line W1 is the area between the distribution functions."""
    x, y = column(0, 1, 5), column(2, 3)
    a, b = np.array([0.2, 0.5, 0.3]), np.array([0.75, 0.25])
    # F - G is .2 on [0, 1], .7 on [1, 2], -.05 on [2, 3] and -.3 on [3, 5]
    truth = 0.2 + 0.7 + 0.05 + 0.6
    assert transport.transport(x, y, a=a, b=b).value == pytest.approx(truth, abs=1e-6)


def proven(
    found: transport.Transport, x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray
) -> None:
    """Feasible on both sides with one value: by duality both are optimal."""
    cost = np.abs(x - y.T)
    np.testing.assert_allclose(found.plan.sum(axis=1), a, atol=1e-6)
    np.testing.assert_allclose(found.plan.sum(axis=0), b, atol=1e-6)
    slack = cost - found.phi[:, None] - found.psi[None]
    assert found.plan.min() >= 0 and slack.min() > -1e-6
    assert (found.plan * slack).max() < 1e-6  # mass goes only where the constraint is tight
    assert found.value == pytest.approx((cost * found.plan).sum(), abs=1e-6)
    assert found.value == pytest.approx(a @ found.phi + b @ found.psi, abs=1e-6)


def test_the_piles_of_the_lectures() -> None:
    """Piles (3, 2, 1, 4) to (1, 2, 4, 3): 2 (step 1) + 2 (step 2) + 1 (step 3) = 5.

    The steps move 2 from the first pile to the second, 2 from the second to the third and 1 from
    the fourth to the third, so that the potential falls by 1, by 1, and rises by 1 between them.
    """
    x, p, q = column(1, 2, 3, 4), np.array([3.0, 2, 1, 4]), np.array([1.0, 2, 4, 3])
    found = transport.transport(x, x, a=p, b=q)
    assert found.value == pytest.approx(5, abs=1e-6)
    proven(found, x, x, p, q)
    f = -found.psi  # on one line of points f(x) - f(y) <= |x - y|, and E_p f - E_q f = W1
    np.testing.assert_allclose(f - f[0], [0, -1, -2, -1], atol=1e-6)
    assert (p - q) @ f == pytest.approx(5, abs=1e-6)


def test_the_boxes_of_the_lectures() -> None:
    """Boxes at 1, 2, 3 to 7, 8, 9, 10 and the two plans shown: both cost 42, which is optimal."""
    x, y = column(1, 2, 3), column(7, 8, 9, 10)
    plans = (
        np.array([[1.0, 0, 0, 2], [0, 1, 0, 0], [0, 0, 2, 0]]),
        np.array([[1.0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1]]),
    )
    a, b = plans[0].sum(axis=1), plans[0].sum(axis=0)
    found = transport.transport(x, y, a=a, b=b)
    assert found.value == pytest.approx(42, abs=1e-6)
    proven(found, x, y, a, b)
    for plan in plans:
        shown = found._replace(plan=plan)
        proven(shown, x, y, a, b)


def test_the_cheaper_of_two_plans() -> None:
    """The lectures' two boxes: 1 + 1 = 2 for one plan, 3 + 3 = 6 for the other."""
    x, y = column(0, 4), column(1, 3)
    found = transport.transport(x, y, a=np.ones(2), b=np.ones(2))
    assert found.value == pytest.approx(2, abs=1e-6)
    np.testing.assert_allclose(found.plan, np.eye(2), atol=1e-6)
    proven(found, x, y, np.ones(2), np.ones(2))
    assert assignment_w1(x, y) == 1.0


def test_small_masses_are_as_exact_as_large_ones() -> None:
    x, y = LINE
    unit = transport.transport(x, y).value
    masses = np.full(50, 1e-9 / 50)
    assert transport.transport(x, y, a=masses, b=masses).value == pytest.approx(1e-9 * unit)


def test_masses_that_cannot_be_moved_are_refused() -> None:
    x, ones = column(0, 1), np.ones(2)
    for a, b, words in (
        (ones, 2 * ones, "one sum"),
        (np.array([2.0, -1.0]), ones / 2, "at least 0"),
        (np.array([np.nan, 1.0]), ones, "finite"),
        (0 * ones, 0 * ones, "not all 0"),
    ):
        with pytest.raises(ValueError, match=words):
            transport.transport(x, x, a=a, b=b)
    with pytest.raises(ValueError, match="2 rows against 3"):
        assignment_w1(x, column(0, 1, 2))
    with pytest.raises(ValueError, match="2 rows against 3"):
        sliced(x, column(0, 1, 2), theta=np.ones((1, 1)))


@pytest.mark.parametrize("dimensions", [2, 10])
def test_sliced_distances_of_a_shift(dimensions: int) -> None:
    """SW1 of a shift is |shift| E|theta_1|, SW2 is |shift| / sqrt(d)."""
    x, shift = RNG.normal(size=(40, dimensions)), np.zeros(dimensions)
    shift[1] = 3.0
    theta = directions(20_000, dimensions, rng=np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1)
    mean_cosine = gamma(dimensions / 2) / (sqrt(pi) * gamma((dimensions + 1) / 2))
    y = RNG.permutation(x + shift)
    assert sliced(x, y, theta=theta) == pytest.approx(3 * mean_cosine, rel=0.01)
    assert sliced(x, y, theta=theta, p=2) == pytest.approx(3 / sqrt(dimensions), rel=0.01)


def test_sliced_distances_of_gaussians_of_two_widths() -> None:
    """Quantiles of N(0, s^2) are s times those of N(0, 1): W1 = (s - 1) sqrt(2 / pi)."""
    x, y = RNG.normal(size=(2, 20_000, 2))
    theta = directions(50, 2, rng=np.random.default_rng(1))
    assert sliced(x, 3 * y, theta=theta) == pytest.approx(2 * sqrt(2 / pi), rel=0.02)
    assert sliced(x, 3 * y, theta=theta, p=2) == pytest.approx(2, rel=0.02)


def test_in_one_dimension_sliced_is_exact() -> None:
    x, y = LINE
    theta = directions(3, 1, rng=RNG)
    assert sliced(x, y, theta=theta) == pytest.approx(assignment_w1(x, y), abs=1e-12)


def points(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(size=shape).astype(np.float32))


def test_evaluators_give_values_and_floors() -> None:
    heldout = points(60, 2)
    train = Batch(heldout + torch.tensor([0.0, 0.5]))
    context = context_of(heldout, train=train)
    snapshot = snapshot_of(context, heldout + torch.tensor([3.0, 4.0]), raw=heldout.flip(0))
    exact = ExactWasserstein(context)
    values = exact(snapshot)
    assert values == {
        "wasserstein/exact": pytest.approx(5, abs=1e-6),
        "wasserstein/exact_raw": pytest.approx(0, abs=1e-6),
        "wasserstein/exact_floor": pytest.approx(0.5, abs=1e-6),
        "wasserstein/exact_floor_std": pytest.approx(0, abs=1e-6),
    }
    measure = SlicedWasserstein(context, projections=2000)
    values |= measure(snapshot)
    assert values["wasserstein/sliced"] == pytest.approx(5 * 2 / pi, rel=0.02)
    assert values["wasserstein/sliced_w2"] == pytest.approx(5 / sqrt(2), rel=0.02)
    assert values["wasserstein/sliced_floor"] == pytest.approx(0.5 * 2 / pi, rel=0.02)
    assert values["wasserstein/sliced_w2_floor"] == pytest.approx(0.5 / sqrt(2), rel=0.02)
    assert values["wasserstein/sliced_raw"] == pytest.approx(0, abs=1e-6)
    assert set(values) == {*exact.provenance, *measure.provenance}
    assert {entry.get("beside", "") for entry in measure.provenance.values()} == {
        "wasserstein/sliced", "wasserstein/sliced_w2", "",
    }  # fmt: skip
    assert measure(snapshot) == SlicedWasserstein(context, projections=2000)(snapshot)


def test_samples_of_the_data_measure_as_the_floor() -> None:
    dataset = gaussians8(seed=0, n_samples=10_000)
    heldout = dataset.heldout.x[:1000]
    context = context_of(heldout, train=dataset.train, spec=dataset.spec)
    draws = [gaussians8(seed=seed, n_samples=1000).train.x for seed in range(1, 9)]
    for measure, tag in (
        (ExactWasserstein(context, samples=200), "wasserstein/exact"),
        (SlicedWasserstein(context), "wasserstein/sliced"),
    ):
        values = [measure(snapshot_of(context, x)) for x in draws]
        mean = np.mean([its[tag] for its in values])
        assert values[0][f"{tag}_floor"] == pytest.approx(mean, rel=0.35)
        assert 0 < values[0][f"{tag}_floor_std"] < mean


def test_floors_are_means_of_draws_with_their_spread() -> None:
    assert floors_of([{"a": 1.0, "b": 4.0}, {"a": 3.0, "b": 4.0}]) == {
        "a": 2.0, "a_std": pytest.approx(2**0.5), "b": 4.0, "b_std": 0.0,
    }  # fmt: skip


def test_the_spread_of_a_floor_is_that_of_its_draws() -> None:
    dataset = gaussians8(seed=0, n_samples=1000)
    context = context_of(dataset.heldout.x[:50], train=dataset.train, spec=dataset.spec)
    values = ExactWasserstein(context)(snapshot_of(context, dataset.train.x[:50]))
    draws = [assignment_w1(*half) for half in rows.real_halves(context, 50)]
    assert len(draws) == 5
    assert values["wasserstein/exact_floor"] == pytest.approx(np.mean(draws))
    assert values["wasserstein/exact_floor_std"] == pytest.approx(np.std(draws, ddof=1))
    assert values["wasserstein/exact_floor_std"] > 0


def test_pixels_are_compared_as_the_players_see_them() -> None:
    """Stored bytes 0 and 255 are -1 and 1: white and black images of 4 pixels are 4 apart."""
    black, white = torch.full((20, 1, 2, 2), -1.0), torch.full((20, 1, 2, 2), 1.0)
    stored = Batch(torch.full((20, 1, 2, 2), 255, dtype=torch.uint8))
    context = context_of(black, train=stored)
    values = ExactWasserstein(context)(snapshot_of(context, white))
    assert values["wasserstein/exact"] == pytest.approx(4)
    assert values["wasserstein/exact_floor"] == pytest.approx(4)


def test_samples_that_are_not_finite_have_no_distance() -> None:
    context = context_of(points(20, 2))
    snapshot = snapshot_of(context, torch.full((20, 2), float("nan")), raw=points(20, 2))
    assert set(ExactWasserstein(context)(snapshot)) == {
        "wasserstein/exact_raw", "wasserstein/exact_floor", "wasserstein/exact_floor_std",
    }  # fmt: skip
    assert "wasserstein/sliced" not in SlicedWasserstein(context)(snapshot)
    assert TransportPlan(context)(snapshot) is None


def test_distances_in_many_dimensions() -> None:
    x, y = RNG.normal(size=(30, 100)), RNG.normal(size=(40, 100))
    truth = np.linalg.norm(x[:, None] - y[None], axis=2)
    np.testing.assert_allclose(rows.distances(x, y), truth, rtol=1e-10)


def test_a_plan_between_unequal_numbers_of_rows() -> None:
    """Three points to one: a third of the mass comes from each."""
    x, y = np.array([[0.0, 1], [0, 2], [0, 3]]), np.zeros((1, 2))
    plan, value = optimal_plan(x, y)
    np.testing.assert_allclose(plan, np.full((3, 1), 1 / 3))
    assert value == pytest.approx(2)


def test_the_picture_of_a_plan_has_its_lines() -> None:
    """Grey lines from (-1, y) to (1, y): across the middle of the picture, and nowhere else."""
    ends = torch.tensor([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0]])
    context = context_of(ends, spec=DataSpec("ends", (2,)))
    picture = TransportPlan(context)(snapshot_of(context, ends * torch.tensor([-1.0, 1.0])))
    assert picture is not None and picture.shape == (500, 500, 3)
    middle = picture[60:440, 262].astype(int)  # inside of the frame, where x is about 0
    grey = (np.ptp(middle, axis=1) < 8) & (np.abs(middle.mean(axis=1) - 0.6 * 255) < 30)
    starts = np.flatnonzero(np.diff(grey.astype(int)) == 1)
    assert len(starts) == 3 and np.diff(starts).min() > 100


def test_images_are_shown_beside_where_they_go() -> None:
    """Samples in reverse order: each must stand beside the real image of its own grey."""
    greys = torch.linspace(-1, 1, 10)[:, None, None, None].expand(10, 1, 24, 24)
    context = context_of(greys)
    picture = TransportPlan(context)(snapshot_of(context, greys.flip(0)))
    assert picture is not None
    side = 48 + 2  # enlarged twice: 14 columns of 24 pixels are fewer than 400
    assert picture.shape == (2 * side + 2, 14 * side + 2, 3)
    left = picture[2 + 24 :: side, 2 + 24 :: 3 * side, 0]
    right = picture[2 + 24 :: side, 2 + 24 + side :: 3 * side, 0]
    assert (left == right).all() and left[0, 0] == 255 and left[1, -1] == 0


@pytest.mark.parametrize(("metric", "expected"), [("l1", 7.0), ("l2", 5.0), ("linf", 4.0)])
def test_ground_metrics(metric: str, expected: float) -> None:
    """All points move by (3, -4), whose norms are 7, 5 and 4."""
    x = RNG.normal(size=(30, 2))
    y = RNG.permutation(x + np.array([3.0, -4.0]))
    assert assignment_w1(x, y, metric=metric) == pytest.approx(expected)
    assert transport.transport(x, y, metric=metric).value == pytest.approx(expected)


def test_the_plan_depends_on_the_ground_metric() -> None:
    """From 0 it is nearer to (2, 2) in the largest difference, to (3, 0) in the sum of both."""
    zero, ends = np.zeros((1, 2)), np.array([[2.0, 2.0], [3.0, 0.0]])
    for metric, nearest in (("l1", 1), ("l2", 0), ("linf", 0)):
        plan = transport.transport(np.repeat(zero, 2, 0), ends, metric=metric)
        costs = rows.distances(zero, ends, metric=metric)[0]
        assert costs.argmin() == nearest and plan.value == pytest.approx(costs.mean())


def test_the_metric_of_exact_is_configured() -> None:
    context = context_of(torch.randn(64, 2))
    values = {}
    for metric in ("l1", "l2", "linf"):
        exact = ExactWasserstein(context, samples=50, metric=metric)
        values[metric] = exact(snapshot_of(context, torch.zeros(64, 2)))["wasserstein/exact"]
    assert values["linf"] < values["l2"] < values["l1"]
    points = context.heldout.x[:50]
    assert values["l1"] == pytest.approx(points.abs().sum(1).mean().item(), rel=1e-6)

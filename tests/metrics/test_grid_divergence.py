"""Divergences on a grid against quadrature and hand-computed numbers."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from closed_forms import js
from eval_contexts import context_of, snapshot_of
from scipy.stats import norm

from gan_runner.core import Batch, DataSpec
from gan_runner.data.toy import gaussians8, gaussians25, swiss_roll
from gan_runner.metrics.grid_divergence import (
    Grid,
    GridDivergences,
    divergences,
    grid_over,
    jensen_shannon,
    kl,
    mixture_masses,
    shares,
    skewed_kl,
    total_variation,
)

CENTRES = np.array(
    [[0.0, 0.0], [2.0, 0.0]]
)  # of two Gaussians that only the first axis tells apart
FINE = grid_over(np.array([-6.0, -6.0]), np.array([8.0, 6.0]), side=0.1)


def test_grid_of_two_densities_against_quadrature() -> None:
    p, q = (mixture_masses(centre[None], 1.0, FINE) for centre in CENTRES)
    assert p.sum() == pytest.approx(1)
    assert jensen_shannon(p, q) == pytest.approx(js(2.0), rel=0.01)
    assert kl(p, q) == pytest.approx(2.0, rel=0.01)  # |shift|^2 / 2
    assert total_variation(p, q) == pytest.approx(2 * norm.cdf(1) - 1, rel=0.01)


def test_grid_of_many_samples_against_quadrature() -> None:
    rng = np.random.default_rng(0)
    coarse = grid_over(np.array([-6.0, -6.0]), np.array([8.0, 6.0]), side=0.4)
    p, q = (shares(rng.normal(size=(1_000_000, 2)) + centre, coarse) for centre in CENTRES)
    assert jensen_shannon(p, q) == pytest.approx(js(2.0), rel=0.01)


def test_masses_of_a_mixture_are_what_its_samples_show() -> None:
    spec = gaussians25(n_samples=1, seed=0).spec
    x = gaussians25(n_samples=400_000, seed=1).train.x.numpy()
    grid = grid_over(np.array([-2.0, -2.0]), np.array([2.0, 2.0]), side=0.5)
    assert spec.modes is not None and spec.mode_std is not None
    masses = mixture_masses(spec.modes, spec.mode_std, grid)
    np.testing.assert_allclose(masses, shares(x, grid), atol=5 * np.sqrt(0.04 / 400_000))


def test_divergences_by_hand() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.25, 0.25])
    assert kl(p, q) == pytest.approx(0.5 * log(2))
    assert kl(q, p) == np.inf
    assert total_variation(p, q) == pytest.approx(0.25)
    # m = (1/2, 3/8, 1/8)
    by_hand = 0.5 * (0.5 * log(4 / 3) + 0.25 * log(2 / 3) + 0.25 * log(2))
    assert jensen_shannon(p, q) == pytest.approx(by_hand)
    assert skewed_kl(q, p, skew=0.5) == pytest.approx(0.25 * log(2 / 3) + 0.25 * log(2))
    assert skewed_kl(p, q, skew=0.1) < kl(p, q)


def test_disjoint_masses_have_the_largest_values() -> None:
    p, q = np.eye(2)
    values = divergences(p, q, n=99)
    assert values == {
        "jsd/grid": pytest.approx(log(2)),
        "divergence/kl": pytest.approx(log(100)),  # instead of infinity: log(n + 1)
        "divergence/reverse_kl": pytest.approx(log(100)),
        "divergence/total_variation": pytest.approx(1),
    }
    assert set(divergences(p, p, n=99).values()) == {0.0}


def test_the_smallest_numbers_do_no_harm() -> None:
    p, q = np.array([5e-324, 1.0]), np.array([0.0, 1.0])
    assert jensen_shannon(p, q) == 0.0
    far = mixture_masses(np.array([[0.0, 0.0], [30.0, 0.0]]), 1.0, FINE)
    assert np.isfinite(list(divergences(far, np.roll(far, 1), n=10).values())).all()


def test_cells_and_what_lies_outside() -> None:
    grid = Grid(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0]))
    inside = [[0.5, 0.5], [0.1, 0.9], [1.5, 0.5]]
    outside = [[3.0, 0.5], [0.5, -0.1], [np.nan, 0.5], [np.inf, 0.5], [0.5, -np.inf]]
    np.testing.assert_allclose(shares(np.array(inside + outside), grid), [2 / 8, 1 / 8, 5 / 8])


def test_cells_are_centred_on_a_mixture_and_not_too_many() -> None:
    """Where centres are a whole number of cells apart, each lies in the middle of one."""
    measure = GridDivergences(
        context_of(torch.zeros(8, 2), spec=gaussians25(n_samples=1, seed=0).spec)
    )
    assert len(measure.grid.x) - 1 == len(measure.grid.y) - 1 == 85  # 2 * 40 + 5 cells
    masses = measure.data[:-1].reshape(85, 85)
    one = (norm.cdf(1) - norm.cdf(-1)) ** 2 / 25  # of a component, within one std on either side
    np.testing.assert_allclose(masses[2::20, 2::20], one)
    assert measure.data[-1] < 1e-6
    many = grid_over(np.zeros(2), np.ones(2), side=1e-9)
    assert len(many.x) - 1 == 512


def measured(fake: torch.Tensor, name: str = "gaussians8") -> dict[str, float]:
    dataset = {"gaussians8": gaussians8, "swiss_roll": swiss_roll}[name](seed=0)
    context = context_of(dataset.heldout.x[:1000], train=dataset.train, spec=dataset.spec)
    measure = GridDivergences(context)
    values = measure(snapshot_of(context, fake))
    assert set(values) == set(measure.provenance)
    return values


@pytest.mark.parametrize("name", ["gaussians8", "swiss_roll"])
def test_samples_of_the_data_measure_as_the_floor(name: str) -> None:
    make = {"gaussians8": gaussians8, "swiss_roll": swiss_roll}[name]
    values = measured(make(seed=5, n_samples=1000).train.x, name)
    for tag in ("jsd/grid", "divergence/kl", "divergence/reverse_kl", "divergence/total_variation"):
        assert values[tag] == pytest.approx(values[f"{tag}_floor"], rel=0.35)
    assert values["jsd/grid_floor"] < 0.045


def test_half_of_the_modes() -> None:
    """Without 4 of 8: JS = 0.2158 by hand, reverse KL = log 2, TV = 1/2, and KL has no bound."""
    x = gaussians8(seed=5, n_samples=200_000).train.x
    upper = x[x[:, 1] > 0.1]
    right = torch.cat([upper, x[(x[:, 1].abs() < 0.1) & (x[:, 0] > 0)]])  # 3 and 1 of the circle
    js = 0.5 * (0.5 * log(2 / 3) + 0.5 * log(2)) + 0.5 * log(4 / 3)
    values = measured(right)
    assert values["jsd/grid"] == pytest.approx(js, rel=0.01)
    assert values["divergence/reverse_kl"] == pytest.approx(log(2), rel=0.01)
    assert values["divergence/total_variation"] == pytest.approx(0.5, rel=0.02)
    n = len(right)  # the skewed KL: half of the mass at log(2 - ...), half at log(n + 1)
    assert values["divergence/kl"] == pytest.approx(0.5 * log(n + 1) - 0.5 * log(2), rel=0.01)


def test_samples_that_are_not_finite_are_told_apart() -> None:
    values = measured(torch.full((100, 2), float("nan")))
    assert values["jsd/grid"] == pytest.approx(log(2), abs=1e-4)
    assert values["divergence/total_variation"] == pytest.approx(1, abs=1e-4)
    assert np.isfinite(list(values.values())).all()


def test_only_in_the_plane() -> None:
    for shape in ((8, 3), (8, 1, 4, 4)):
        assert GridDivergences(context_of(torch.zeros(shape))).provenance == {}


def test_points_on_a_line_or_in_a_point() -> None:
    """Data without an area: one cell, or a row of cells."""
    spec = DataSpec("flat", (2,))
    for x in (torch.zeros(8, 2), torch.linspace(0, 1, 8)[:, None] * torch.tensor([1.0, 0.0])):
        context = context_of(x, spec=spec, train=Batch(x))
        values = GridDivergences(context)(snapshot_of(context, x, raw=x + 5))
        assert values["jsd/grid"] == pytest.approx(0, abs=1e-12)
        assert values["jsd/grid_raw"] == pytest.approx(log(2))

"""The probe's lower bound on the Jensen-Shannon divergence, against closed forms and samples."""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from closed_forms import js
from eval_contexts import context_of, snapshot_of
from small_probe import SMALL, set_probe

from gan_runner.core import Batch, DataSpec
from gan_runner.data.digits import digits
from gan_runner.metrics import probe_bound as bounds
from gan_runner.metrics.probe_bound import CLIP, bound, gain, probe_bound
from gan_runner.metrics.probe_classifiers import (
    balanced,
    boosted_trees,
    convolutional_network,
    quadratic_logistic,
)
from gan_runner.metrics.probe_divergence import ProbeJensenShannon, nearest
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit

pytestmark = pytest.mark.usefixtures("whole_probe")
RNG = np.random.default_rng(0)
TREES = {"boosted trees": boosted_trees}
TAGS = {
    "jsd/probe", "jsd/probe_raw", "jsd/probe_se", "jsd/probe_se_raw", "jsd/probe_floor",
    "jsd/probe_floor_std",
}  # fmt: skip


def of_points(real: np.ndarray, fake: np.ndarray) -> bounds.ProbeBound:
    candidates = {"quadratic logistic": quadratic_logistic, **TREES}
    return probe_bound(real.astype(np.float32), fake.astype(np.float32), candidates, seed=0)


def uniform(count: int, low: float) -> np.ndarray:
    return np.stack([RNG.uniform(low, low + 1, count), RNG.uniform(size=count)], axis=1)


@pytest.mark.parametrize("count", [360, 2000])
def test_equal_distributions(count: int) -> None:
    value, se, _ = of_points(RNG.normal(size=(count, 2)), RNG.normal(size=(2000, 2)))
    assert value == pytest.approx(0, abs=0.02) and 0 <= se < 0.01


def test_separated_distributions() -> None:
    value, se, _ = of_points(RNG.normal(size=(360, 2)), RNG.normal(size=(2000, 2)) + 20)
    assert value == pytest.approx(log(2), abs=0.02) and se < 1e-3


def test_half_overlapping_distributions() -> None:
    """Two unit squares, half of one over the other: half of the mass proves log 2."""
    value, se, _ = of_points(uniform(4000, 0.0), uniform(8000, 0.5))
    assert value == pytest.approx(log(2) / 2, abs=0.02) and 0.001 < se < 0.01


def test_two_gaussians() -> None:
    value, se, _ = of_points(RNG.normal(size=(2000, 1)), RNG.normal(size=(4000, 1)) + 2)
    assert js(2.0) - 0.02 - 2 * se < value < js(2.0) + 2 * se


def test_modes_that_a_linear_classifier_cannot_see() -> None:
    angles = np.arange(8) * np.pi / 4
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    all_modes = centres[RNG.integers(8, size=1000)] + 0.02 * RNG.normal(size=(1000, 2))
    every_second = centres[2 * RNG.integers(4, size=2000)] + 0.02 * RNG.normal(size=(2000, 2))
    # m = 3/16 on the shared modes and 1/16 on the others
    truth = 0.5 * (0.5 * log(2 / 3) + 0.5 * log(2)) + 0.5 * log(4 / 3)
    assert truth - 0.04 < of_points(all_modes, every_second).value < truth + 0.02


def test_the_bound_by_hand() -> None:
    is_real = np.array([1, 1, 0])
    logits = np.array([0.0, log(3), log(1 / 3)])  # D = 1/2, 3/4, 1/4
    assert gain(logits, is_real) == pytest.approx([0, log(1.5), log(1.5)])
    assert bound(logits, is_real) == pytest.approx((log(1.5) / 2 + log(1.5)) / 2)
    wrong = bound(np.array([-99.0, -99.0, 99.0]), is_real)
    assert wrong == pytest.approx(log(2) + log(CLIP))  # clipped away from infinity
    weights = balanced(is_real)
    assert weights == pytest.approx([0.75, 0.75, 1.5]) and weights.mean() == 1


def test_the_standard_error_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that always says x: gains are known, whatever the folds."""
    monkeypatch.setattr(bounds, "_SCALES", np.array([1.0]))
    real, fake = RNG.normal(size=(40, 1)) + 1, RNG.normal(size=(90, 1)) - 1
    itself = {"x": lambda x, y, test, *, seed: test[:, 0]}
    value, se, chosen = probe_bound(real, fake, itself, seed=3)
    sides = [log(2) - np.log1p(np.exp(-np.clip(side[:, 0], -6.2, 6.2))) for side in (real, -fake)]
    assert value == pytest.approx((sides[0].mean() + sides[1].mean()) / 2)
    variance = sides[0].var(ddof=1) / 40 + sides[1].var(ddof=1) / 90
    assert se == pytest.approx(sqrt(variance) / 2) and set(chosen) == {"x"}


def test_the_better_classifier_is_chosen_without_a_bias() -> None:
    """Of thirty that guess, the one that looks best on the validation rows proves nothing."""

    def guess(k: int) -> Callable[..., np.ndarray]:
        def classify(x, is_real, test, *, seed):
            return 3 * np.random.default_rng([k, seed]).normal(size=len(test))

        return classify

    real, fake = RNG.normal(size=(2, 300, 2)).astype(np.float32)
    guesses = {str(k): guess(k) for k in range(30)}
    value, se, _ = probe_bound(real, fake, guesses, seed=0)
    assert value < 2 * se
    apart, _, chosen = probe_bound(real, fake + 3, {**guesses, **TREES}, seed=0)
    assert apart > 0.5 and set(chosen) == {"boosted trees"}


@pytest.mark.slow
def test_the_network_sees_texture() -> None:
    """Blocks of equal pixels in one set, in the other such pixels in random order."""
    coarse = RNG.choice([-1.0, 1.0], size=(2, 300, 1, 4, 4)).astype(np.float32)
    smooth = coarse.repeat(2, axis=3).repeat(2, axis=4)
    order = RNG.permuted(np.tile(np.arange(64), (300, 1)), axis=1)
    noise = np.take_along_axis(smooth[1].reshape(300, 64), order, axis=1).reshape(300, 1, 8, 8)
    candidates = {"quadratic": of_flat, "convolutional network": convolutional_network}
    value, _, chosen = probe_bound(smooth[0], noise, candidates, seed=0)
    assert value > 0.6 and set(chosen) == {"convolutional network"}


def of_flat(x: np.ndarray, is_real: np.ndarray, test: np.ndarray, *, seed: int) -> np.ndarray:
    return quadratic_logistic(
        x.reshape(len(x), -1), is_real, test.reshape(len(test), -1), seed=seed
    )


def test_images_of_any_size() -> None:
    """Trees see large images in blocks; the network sees at most 32 pixels a side."""
    is_real = np.repeat([1, 0], 20)
    for shape in ((1, 5, 5), (3, 40, 40), (1, 100, 70)):
        x = RNG.normal(size=(40, *shape)).astype(np.float32) + is_real[:, None, None, None]
        for classifier in (boosted_trees, convolutional_network):
            logits = classifier(x, is_real, x, seed=0)
            assert logits.shape == (40,)
            assert logits[is_real == 1].mean() > logits[is_real == 0].mean()


@pytest.mark.parametrize("fits", ["few", pytest.param("whole", marks=pytest.mark.slow)])
def test_grey_levels_alone_tell_nothing(fits: str) -> None:
    """Samples are the data's own images, but between its grey levels."""
    if fits == "few":
        set_probe(SMALL)
    data = digits()
    heldout, train = data.heldout.x.float() / 127.5 - 1, data.train.x[:1000].float() / 127.5 - 1
    context = context_of(heldout, train=data.train, spec=data.spec)
    unrounded = train + 0.05 * torch.rand(train.shape)  # the levels are 0.125 apart
    probe = ProbeJensenShannon(context)
    values = {**probe(snapshot_of(context, train, raw=unrounded))}
    assert values["jsd/probe"] == values["jsd/probe_raw"] == pytest.approx(0, abs=0.02)
    assert values["jsd/probe_floor"] == pytest.approx(0, abs=0.02)
    assert values.keys() == probe.provenance.keys() == TAGS
    about = probe.provenance["jsd/probe"]
    assert about["classifiers"] == ["boosted trees", "convolutional network"]
    assert (about["levels"], about["folds"], about["rows"]) == (17, bounds.FOLDS, 359)
    unquantised = probe_bound(heldout.numpy(), unrounded.numpy(), TREES, seed=0)
    assert unquantised.value > (0.6 if fits == "whole" else 0.05)
    before = torch.get_rng_state()
    again = ProbeJensenShannon(context).bound(unrounded)
    assert (again.value, again.se) == (values["jsd/probe_raw"], values["jsd/probe_se_raw"])
    assert torch.equal(torch.get_rng_state(), before)


def test_nearest_levels() -> None:
    levels = np.array([-1.0, 0.0, 0.5])
    values = np.array([-9.0, -0.6, -0.4, 0.3, 9.0, np.nan])
    assert nearest(values, levels)[:5].tolist() == [-1, -1, 0, 0.5, 0.5]
    assert np.isnan(nearest(values, levels)[5])
    assert nearest(np.array([3.0]), levels[:1]).tolist() == [-1]


def test_samples_that_are_not_finite_are_told_apart() -> None:
    real = torch.randn(40, 2)
    context = context_of(real)
    values = ProbeJensenShannon(context)(snapshot_of(context, torch.full((40, 2), float("nan"))))
    assert values["jsd/probe"] == values["jsd/probe_raw"] == log(2)
    few = context_of(torch.randn(9, 2))
    assert ProbeJensenShannon(few).provenance == {}


def test_float_images_are_not_rounded() -> None:
    spec = DataSpec("float images", (1, 4, 4))
    x = torch.randn(50, 1, 4, 4)
    assert ProbeJensenShannon(context_of(x, train=Batch(x), spec=spec)).provenance[
        "jsd/probe"
    ]["levels"] == 0  # fmt: skip


@pytest.mark.slow
def test_it_proves_half_of_what_all_data_prove(
    engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """Trees prove 0.36 nats on 1,797 rounded samples of the default run; this run is shorter."""
    steps = ("trainer.steps=400", "trainer.evaluate_every=400", "plots=none")
    summary = fit(engine(*steps, "trainer.num_eval_samples=1000"), tmp_path)
    assert summary["final"]["jsd/probe"] > 0.18 + 2 * summary["final"]["jsd/probe_se"]
    assert summary["final"]["jsd/probe_floor"] == pytest.approx(0, abs=0.02)

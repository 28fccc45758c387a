"""Modes counted by hand, duplicates planted."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from eval_contexts import context_of, snapshot_of

from gan_runner.core import Batch
from gan_runner.data.toy import gaussians8
from gan_runner.metrics.coverage import (
    Coverage,
    ModesFound,
    NearDuplicates,
    closest_pairs,
    coverage,
    fair,
    modes_reverse_kl,
    support_size,
)
from gan_runner.plots.nearest_neighbours import ClosestPairs, NearestNeighbours, nearest_rows

RNG = np.random.default_rng(0)
MODES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def test_coverage_by_hand() -> None:
    std = 0.1
    at_first = [[0.29, 0.0]] * 3  # within 3 standard deviations
    at_second = [[1.0, 0.0]] * 2
    outside = [[0.31, 0.0], [0.5, 0.5], [np.nan, 0.0], [np.inf, 0.0], [9.0, 9.0]]
    samples = np.array(at_first + at_second + outside)
    assert coverage(samples, MODES, std, enough=3) == Coverage(1, 2, 0.5)
    assert coverage(samples, MODES, std, enough=2) == Coverage(2, 2, 0.5)
    assert coverage(np.full((4, 2), np.nan), MODES, std, enough=1) == Coverage(0, 0, 0.0)


def test_a_fair_share() -> None:
    assert fair(2500, 25) == 20  # a fifth of 100
    assert fair(1000, 8) == 25
    assert fair(10, 25) == 1
    assert fair(1000, 8, share=0.01) == 2  # 1.25, rounded up


def test_reverse_kl_of_modes_by_hand() -> None:
    assert modes_reverse_kl(np.repeat(MODES, 5, axis=0), MODES) == pytest.approx(0)
    assert modes_reverse_kl(MODES[[0, 0, 0, 0]], MODES) == pytest.approx(log(3))
    off = MODES[[0, 0, 0, 1]] + 0.3  # of no quality, but nearest to its mode
    entropy = -(0.75 * log(0.75) + 0.25 * log(0.25))
    assert modes_reverse_kl(off, MODES) == pytest.approx(log(3) - entropy)


def test_modes_of_a_view() -> None:
    """500 samples of 5 of 8 modes, of which one has 6: a tenth of its fair share of 62.5."""
    dataset = gaussians8(seed=0, n_samples=100)
    centres = torch.from_numpy(dataset.spec.modes.astype(np.float32))
    fake = torch.cat([centres[:4].repeat_interleave(100, dim=0), centres[4:5].repeat(6, 1)])
    fake = torch.cat([fake, torch.full((94, 2), 7.0)])
    raw = torch.full((500, 2), float("nan"))
    context = context_of(dataset.heldout.x[:500], spec=dataset.spec)
    measure = ModesFound(context)
    values = measure(snapshot_of(context, fake, raw=raw))
    assert values["modes/found"] == 4 and values["modes/touched"] == 5
    assert values["modes/high_quality"] == pytest.approx(406 / 500)
    assert values["modes/found_raw"] == values["modes/high_quality_raw"] == 0
    assert "modes/reverse_kl_raw" not in values and values["modes/reverse_kl"] > 0.4
    assert ModesFound(context, share=0.09)(snapshot_of(context, fake))["modes/found"] == 5
    better = {tag for tag, entry in measure.provenance.items() if entry.get("better") == "higher"}
    assert better == {tag for tag in measure.provenance if "reverse_kl" not in tag}
    assert ModesFound(context_of(torch.zeros(8, 2))).provenance == {}


def test_support_of_a_generator_that_repeats_itself() -> None:
    """Draws from N values: N = s (s - 1) / (2 pairs), here against every N known."""
    for size in (10, 100, 1000):
        draws = RNG.integers(size, size=2000)
        _, counts = np.unique(draws, return_counts=True)
        pairs = int((counts * (counts - 1) // 2).sum())
        assert support_size(pairs, rows=2000) == pytest.approx(size, rel=0.1)
    assert support_size(0, rows=100) == 4950  # no more can be seen


def images(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.uniform(-1, 1, size=shape).astype(np.float32))


def test_planted_duplicates_are_counted() -> None:
    """200 different images, then 50 of them four times each with a little noise."""
    heldout, fake = images(200, 1, 4, 4), images(200, 1, 4, 4)
    repeated = fake[:50].repeat(4, 1, 1, 1) + 0.001 * images(200, 1, 4, 4)
    context = context_of(heldout, train=Batch(images(5000, 1, 4, 4)))
    measure = NearDuplicates(context)
    values = measure(snapshot_of(context, repeated, raw=fake))
    assert values["coverage/near_duplicates"] == 1
    # 50 groups of 4 have 6 pairs each: 200 * 199 / 2 / 300, where draws would be 50 on average
    assert values["coverage/support"] == pytest.approx(200 * 199 / 2 / 300)
    for which in ("raw", "floor"):
        assert values[f"coverage/near_duplicates_{which}"] < 0.05
        assert values[f"coverage/support_{which}"] > 2000
    assert set(values) == set(measure.provenance)


def test_the_threshold_is_met_by_the_share_that_it_says() -> None:
    heldout = images(400, 2)
    context = context_of(
        heldout
    )  # the training rows are the same, so that their share is the share
    values = NearDuplicates(context, real_share=0.05)(snapshot_of(context, heldout + 3))
    assert values["coverage/near_duplicates_floor"] == pytest.approx(0.05, abs=0.01)
    assert values["coverage/near_duplicates"] == pytest.approx(0.05, abs=0.01)


def test_copies_in_the_data_do_not_hide_copies_of_a_generator() -> None:
    heldout = images(100, 1, 8, 8).repeat(2, 1, 1, 1)
    context = context_of(heldout)
    values = NearDuplicates(context)(
        snapshot_of(context, images(1, 1, 8, 8).expand(200, -1, -1, -1))
    )
    assert values["coverage/near_duplicates"] == values["coverage/near_duplicates_floor"] == 1
    assert values["coverage/support"] == 1


def test_too_few_or_not_finite() -> None:
    assert NearDuplicates(context_of(images(99, 2))).provenance == {}
    context = context_of(images(100, 2))
    values = NearDuplicates(context)(snapshot_of(context, torch.full((100, 2), float("inf"))))
    assert set(values) == {"coverage/near_duplicates_floor", "coverage/support_floor"}


def test_closest_pairs_by_hand() -> None:
    x = np.array([[0.0], [10.0], [10.5], [0.2], [30.0]])
    assert closest_pairs(x, count=2).tolist() == [[0, 3], [1, 2]]
    assert len(closest_pairs(x, count=99)) == 10


def test_nearest_rows_are_those_that_were_copied() -> None:
    table = torch.from_numpy(RNG.integers(0, 256, size=(20_000, 1, 4, 4), dtype=np.uint8))
    picked = torch.tensor([19_999, 5, 8192])
    x = table[picked].float() / 127.5 - 1 + 0.01
    assert nearest_rows(x, table, count=3)[:, 0].tolist() == picked.tolist()
    assert nearest_rows(x, table[:2], count=9).shape == (3, 2)


@pytest.mark.usefixtures("small_grids")
def test_neighbours_stand_in_the_order_of_their_distance() -> None:
    """Training images of five greys; a sample of the second has it, then the first, the third."""
    greys = torch.tensor([0, 50, 110, 180, 250], dtype=torch.uint8)
    train = Batch(greys[:, None, None, None].expand(5, 1, 24, 24))
    sample = torch.full((2, 1, 24, 24), 50 / 127.5 - 1)
    context = context_of(sample, train=train)
    picture = NearestNeighbours(context, rows=2, neighbours=3)(snapshot_of(context, sample))
    assert picture is not None and picture.shape == (2 * 26 + 2, 5 * 26 + 2, 3)
    row = picture[2 + 12, 2 + 12 :: 26, 0].tolist()
    assert row == [50, 127, 50, 0, 110]
    flat = context_of(torch.zeros(4, 2))
    assert NearestNeighbours(flat)(snapshot_of(flat, torch.zeros(4, 2))) is None


@pytest.mark.usefixtures("small_grids")
def test_the_nearest_pairs_are_shown_for_samples_and_for_data() -> None:
    """Samples in pairs of one grey, data too, but other greys."""
    greys = torch.linspace(-1, 1, 8)
    fake = greys[[0, 1, 2, 2, 4, 5, 6, 7]][:, None, None, None].expand(8, 1, 24, 24)
    real = greys[[0, 1, 2, 3, 5, 5, 6, 7]][:, None, None, None].expand(8, 1, 24, 24)
    context = context_of(real)
    picture = ClosestPairs(context, pairs=1)(snapshot_of(context, fake))
    assert picture is not None
    upper, lower = picture[2 + 12, :, 0], picture[2 * 14 + 6 + 2 + 12, :, 0]
    for row, value in ((upper, greys[2]), (lower, greys[5])):
        assert row[2 + 12] == row[2 + 12 + 26] == round((value.item() + 1) * 127.5)
    few = ClosestPairs(context, pairs=1, samples=4)(snapshot_of(context, fake))
    assert few is not None and few[2 + 12, 2 + 12, 0] == round((greys[2].item() + 1) * 127.5)
    assert few[2 * 14 + 6 + 2 + 12, 2 + 12, 0] != lower[2 + 12]  # data's pair is not among four
    flat = context_of(torch.zeros(4, 2))
    assert ClosestPairs(flat)(snapshot_of(flat, torch.zeros(4, 2))) is None

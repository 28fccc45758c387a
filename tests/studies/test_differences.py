"""Paired differences and seeds, against published and hand-computed examples."""

from __future__ import annotations

import numpy as np
import pytest

from gan_runner.studies.differences import bootstrap, differences, intraclass_correlation

# Darwin's maize: cross- and self-fertilised heights in inches (1876), as in Fisher 1935, chapter 3.
CROSSED = [23.5, 12, 21, 22, 19.125, 21.5, 22.125, 20.375, 18.25, 21.625, 23.25, 21, 22.125, 23, 12]
SELFED = [
    17.375, 20.375, 20, 20, 18.375, 18.625, 18.625, 15.25, 16.5, 18, 16.25, 18, 12.75, 15.5, 18,
]  # fmt: skip


def test_darwins_maize() -> None:
    found = differences(SELFED, CROSSED)
    assert (found.pairs, found.positive) == (15, 13)
    assert found.mean == pytest.approx(2.6167, abs=5e-5)  # Fisher: 20.933 eighths
    assert found.median == 3.0
    assert found.p_value == pytest.approx(0.0413, abs=5e-5)  # V = 96 of R's wilcox.test
    low, high = found.mean_interval
    assert 0.0 < low < 1.0 and 4.0 < high < 5.2  # Fisher's t interval: 0.004 to 5.23


def test_wilcoxon_by_hand() -> None:
    # ranks 1 to 5, all positive: 2 of the 32 sign patterns are as extreme
    assert differences([0] * 5, [1, 2, 3, 4, 5]).p_value == pytest.approx(2 / 32)
    # only rank 1 is negative: W = 1 is reached by 2 patterns a side
    assert differences([0] * 5, [-1, 2, 3, 4, 5]).p_value == pytest.approx(4 / 32)
    assert differences([1, 2], [1, 2]).p_value == 1.0
    with pytest.raises(ValueError, match="no architecture"):
        differences([], [])


def test_the_bootstrap_of_a_mean_is_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    error = 1.96 * values.std() / 20
    assert bootstrap(values, np.mean) == pytest.approx(
        (values.mean() - error, values.mean() + error), abs=0.02
    )


def test_the_intraclass_correlation_is_shrout_and_fleiss() -> None:
    # Shrout & Fleiss 1979, table 2: six targets, four judges; ICC(1, 1) = .17
    targets = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert intraclass_correlation(targets) == pytest.approx(0.17, abs=0.005)
    assert intraclass_correlation([[1, 1], [2, 2], [3, 3]]) == 1.0
    assert intraclass_correlation([[1, 2]]) is None
    assert intraclass_correlation([[1], [2]]) is None

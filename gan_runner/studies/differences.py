"""Paired comparison of two arms on the same architectures: differences, not thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

Values = NDArray[np.float64]

_RESAMPLES = 10_000
_SEED = 1797
_LEVEL = 0.95


@dataclass(frozen=True)
class Differences:
    """Second minus first over pairs.

    Attributes:
        pairs: number of them.
        positive: pairs on which the second is larger.
        mean: of the differences.
        mean_interval: 95% bootstrap interval of the mean.
        median: of the differences.
        median_interval: 95% bootstrap interval of the median.
        p_value: two-sided, of Wilcoxon's signed-rank test (H0: symmetric about 0).
    """

    pairs: int
    positive: int
    mean: float
    mean_interval: tuple[float, float]
    median: float
    median_interval: tuple[float, float]
    p_value: float


_huge = np.errstate(over="ignore", invalid="ignore")  # scores of a stranger, at a float's limit


@_huge
def differences(first: Sequence[float], second: Sequence[float]) -> Differences:
    """Compare two arms pair by pair.

    Args:
        first: a value per architecture.
        second: values of the same architectures, in the same order.

    Raises:
        ValueError: there is no pair.
    """
    if not first:
        raise ValueError("no architecture has both values yet")
    gaps = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return Differences(
        pairs=len(gaps),
        positive=int((gaps > 0).sum()),
        mean=float(gaps.mean()),
        mean_interval=bootstrap(gaps, np.mean),
        median=float(np.median(gaps)),
        median_interval=bootstrap(gaps, np.median),
        p_value=signed_rank(gaps),
    )


def bootstrap(values: Values, statistic: Callable[..., Values]) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic over resampled architectures (Efron 1979).

    Args:
        values: one per architecture.
        statistic: numpy's, such as `np.mean`, with an argument `axis`.
    """
    rows = np.random.default_rng(_SEED).integers(len(values), size=(_RESAMPLES, len(values)))
    tail = 50 * (1 - _LEVEL)
    low, high = np.percentile(statistic(values[rows], axis=1), [tail, 100 - tail])
    return float(low), float(high)


def signed_rank(gaps: Values) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; zeros are dropped.

    It is exact for 50 pairs or fewer without ties, else normal; 1 without a difference.
    """
    gaps = gaps[gaps != 0]
    return float(wilcoxon(gaps).pvalue) if len(gaps) else 1.0


@_huge
def intraclass_correlation(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the share of variance that lies between groups: ICC(1) of Shrout & Fleiss 1979.

    (B - W) / (B + (k - 1) W) of the mean squares between and within groups of k values. 1: seeds
    do not matter; 0 or less: an architecture's mean tells nothing about its next seed.

    Args:
        groups: scores of one architecture each, equally many.

    Returns:
        None for fewer than two groups, fewer than two values in each, or constant or huge values.
    """
    if len(groups) < 2 or len(groups[0]) < 2:
        return None
    table = np.asarray(groups, dtype=np.float64)
    count, size = table.shape
    means = table.mean(axis=1)
    between = size * ((means - table.mean()) ** 2).sum() / (count - 1)
    within = ((table - means[:, None]) ** 2).sum() / (count * (size - 1))
    total = between + (size - 1) * within
    correlation = float((between - within) / total) if total > 0 else nan
    return correlation if isfinite(correlation) else None

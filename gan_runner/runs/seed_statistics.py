"""Statistics over the seeds of a group: mean and standard error; a paired test of two groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isfinite, log10, sqrt

from gan_runner.runs.tags import Better

ROUNDING = 1e-12  # share of a value below which differences are errors of float64


@dataclass(frozen=True)
class Spread:
    """The values of one tag over the runs of a group.

    Attributes:
        n: number of values.
        mean: of the values.
        standard_error: s / sqrt(n) with the sample standard deviation s; None for one value, and
            0 for values that are equal up to rounding.
        best: by the tag's direction; None without a direction.
        worst: likewise.
    """

    n: int
    mean: float
    standard_error: float | None
    best: float | None
    worst: float | None

    def __str__(self) -> str:
        return plus_minus(self.mean, self.standard_error)


@dataclass(frozen=True)
class PairedTest:
    """Comparison of two groups on the seeds that both have.

    Attributes:
        n: number of pairs.
        difference: mean of second minus first.
        p_value: two-sided, of Student's paired t-test; None where all differences are equal.
    """

    n: int
    difference: float
    p_value: float | None


def spread(values: Sequence[float], better: Better) -> Spread | None:
    """Return mean, standard error of the mean, best and worst of values; None without any."""
    if not values:
        return None
    n, mean = len(values), _mean(values)
    ends = (min(values), max(values))
    is_equal = ends[1] - ends[0] <= ROUNDING * max(map(abs, ends))
    error = None if n < 2 else 0.0 if is_equal else _standard_error(values, mean)
    best, worst = {"lower": ends, "higher": ends[::-1]}.get(better, (None, None))
    return Spread(n, mean, error, best, worst)


def _mean(values: Sequence[float]) -> float:
    """Return the mean, also of values whose sum is too large for a float."""
    mean = sum(values) / len(values)
    return mean if isfinite(mean) else fsum(value / len(values) for value in values)


def _standard_error(values: Sequence[float], mean: float) -> float | None:
    """Return the standard error of a mean; None where the variance is too large for a float."""
    n = len(values)
    try:
        return sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    except OverflowError:
        return None


def paired_test(first: Mapping[str, float], second: Mapping[str, float]) -> PairedTest | None:
    """Compare two groups by Student's paired t-test over common seeds.

    Returns:
        None below two pairs, or where their differences are too large for a float.
    """
    common = [key for key in first if key in second]
    if len(common) < 2:
        return None
    gaps = [second[key] - first[key] for key in common]
    if not all(map(isfinite, gaps)):
        return None
    mean = _mean(gaps)
    size = max(abs(group[key]) for group in (first, second) for key in common)
    if max(gaps) - min(gaps) <= ROUNDING * size:  # the t statistic is 0/0 or infinite
        return PairedTest(len(gaps), mean if abs(mean) > ROUNDING * size else 0.0, None)
    from scipy.stats import ttest_rel

    test = ttest_rel([second[key] for key in common], [first[key] for key in common])
    return PairedTest(len(gaps), mean, float(test.pvalue))


def plus_minus(mean: float, error: float | None) -> str:
    """Return "mean +- error": two significant digits of the error, as many decimals of the mean.

    The mean is alone without an error, and with one of the size of rounding errors.
    """
    if error is None or not isfinite(error) or error <= ROUNDING * abs(mean):
        return f"{mean:.4g}"
    decimals = 1 - int(log10(error) // 1)
    if not -3 <= decimals <= 8:
        return f"{mean:.4g} \u00b1 {error:.2g}"
    rounded = round(error, decimals), round(mean, decimals)
    return f"{rounded[1]:.{max(0, decimals)}f} \u00b1 {rounded[0]:.{max(0, decimals)}f}"

"""Outcomes of two objectives on the same architectures, at one threshold of the score.

The question and its 17 published rows are those of Gulrajani et al. 2017, "Improved Training of
Wasserstein GANs", section 5.1 and tables 2 and 5: 200 random architectures, each trained with the
GAN and the WGAN-GP objective; a training succeeds at a threshold if its score is above it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

Pair = tuple[float, float]
"""The scores of an architecture under the first and the second objective."""


@dataclass(frozen=True)
class Outcome:
    """On how many architectures the first objective, the second, both or neither succeeded."""

    only_first: int
    only_second: int
    both: int
    neither: int

    @property
    def pairs(self) -> int:
        """All architectures."""
        return self.only_first + self.only_second + self.both + self.neither

    @property
    def differs(self) -> bool:
        """Return True if the objectives succeed on different architectures."""
        return self.only_first + self.only_second > 0

    @property
    def first(self) -> int:
        """Successes of the first objective."""
        return self.only_first + self.both

    @property
    def second(self) -> int:
        """Successes of the second objective."""
        return self.only_second + self.both

    @property
    def difference(self) -> float:
        """Share of successes of the second objective minus the first's, in [-1, 1]."""
        return (self.only_second - self.only_first) / self.pairs

    @property
    def p_value(self) -> float:
        """Two-sided mid-p value of McNemar's test (H0: equal success rates)."""
        return mcnemar(self.only_first, self.only_second)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of `difference`."""
        return newcombe(self)


def outcome(pairs: Iterable[Pair], threshold: float) -> Outcome:
    """Count successes, which are scores strictly above the threshold; -inf never succeeds.

    A score that exceeds it by rounding alone does not count: that of constant images is 1, computed
    as 1 within 1e-13.
    """
    least = threshold + ROUNDING
    won = [(first > least, second > least) for first, second in pairs]
    kinds = ((True, False), (False, True), (True, True), (False, False))
    return Outcome(*(won.count(kind) for kind in kinds))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided mid-p value of McNemar's test (Fagerland et al. 2013).

    Under equal chances each discordant pair falls to either side with probability 1/2 (McNemar
    1947). The exact p-value counts the observed split whole and is conservative; the mid-p value
    counts half of it: p - P(X = only_first), X ~ Binomial(discordant, 1/2). At equal counts, where
    the exact p-value is cut at 1, it is 1 - P(X = only_first) / 2. Without discordant pairs it is
    1.
    """
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    from scipy.stats import binom, binomtest  # takes a second, which gan-table would wait for

    observed = float(binom.pmf(only_first, discordant, 0.5))
    if only_first == only_second:
        return 1 - observed / 2
    return float(binomtest(only_first, discordant, 0.5).pvalue) - observed


def newcombe(counts: Outcome, *, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a difference of paired proportions, by Newcombe's score method.

    Method 10 of Newcombe 1998 (Statistics in Medicine 17, 2635-2650): the Wilson intervals
    (l, u) of both proportions p1 (here the second objective's) and p2 are put together as

        D - sqrt((p1 - l1)^2 - 2 phi (p1 - l1) (u2 - p2) + (u2 - p2)^2),  D = p1 - p2,
        D + sqrt((u1 - p1)^2 - 2 phi (u1 - p1) (p2 - l2) + (p2 - l2)^2)

    with the correlation phi = c / sqrt(product of the four marginal counts), where c = b - n/2 if
    b > n/2, 0 if 0 <= b <= n/2, b if b < 0, and b = both * neither - only_first * only_second.
    """
    n = counts.pairs
    p1, p2 = counts.second / n, counts.first / n
    (low1, high1), (low2, high2) = (wilson(k, n, level) for k in (counts.second, counts.first))
    phi = _correlation(counts)

    def length(one: float, other: float) -> float:
        return sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))

    difference = p1 - p2
    below, above = length(p1 - low1, high2 - p2), length(high1 - p1, p2 - low2)
    return difference - below, difference + above


def wilson(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion."""
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def _correlation(counts: Outcome) -> float:
    n, first, second = counts.pairs, counts.first, counts.second
    margins = first * (n - first) * second * (n - second)
    if not margins:
        return 0.0
    surplus = counts.both * counts.neither - counts.only_first * counts.only_second
    corrected = max(surplus - n / 2, 0.0) if surplus > 0 else surplus
    return corrected / sqrt(margins)


ROUNDING = 1e-6  # of a score

PAPER_BASELINE = 7.24
"""Score of the paper's DCGAN baseline (section 5.1)."""

PUBLISHED = {
    1.0: Outcome(0, 8, 192, 0),
    1.5: Outcome(0, 50, 150, 0),
    2.0: Outcome(0, 60, 140, 0),
    2.5: Outcome(0, 74, 125, 1),
    3.0: Outcome(1, 88, 110, 1),
    3.5: Outcome(0, 111, 86, 3),
    4.0: Outcome(1, 126, 67, 6),
    4.5: Outcome(0, 136, 55, 9),
    5.0: Outcome(0, 147, 42, 11),
    5.5: Outcome(0, 148, 32, 20),
    6.0: Outcome(0, 145, 21, 34),
    6.5: Outcome(1, 131, 11, 57),
    7.0: Outcome(1, 104, 5, 90),
    7.5: Outcome(2, 67, 3, 128),
    8.0: Outcome(1, 34, 0, 165),
    8.5: Outcome(0, 6, 0, 194),
    9.0: Outcome(0, 0, 0, 200),
}
"""By minimum inception score: only GAN, only WGAN-GP, both, neither, of 200 (table 5)."""

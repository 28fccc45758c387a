"""Every number of the published study, from its results.csv alone and by other formulas."""

from __future__ import annotations

import csv
from itertools import pairwise
from math import comb, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f_oneway

from gan_runner.studies import table
from gan_runner.studies.comparison import Comparison, comparisons, progress, seed_correlations
from gan_runner.studies.study_files import read

PUBLISHED = Path(__file__).parents[2] / "outputs" / "reference" / "robustness"
COLUMNS = {"score": "score", "Frechet distance": "frechet", "diversity": "diversity"}
QUANTILE = 1.959963984540054  # of the standard normal distribution at 97.5%


def rows() -> list[dict[str, str]]:
    with (PUBLISHED / "results.csv").open() as file:
        return list(csv.DictReader(file))


def values(arm: str, column: str) -> dict[str, float]:
    """Return the values of an arm's completed runs with seed 0, by architecture; a score from 1."""
    found = {}
    for row in rows():
        if row["architecture"] == "baseline" or row["arm"] != arm or row["seed"] != "0":
            continue
        if row["status"] == "completed":
            found[row["architecture"]] = float(row[column])
        elif row["status"] == "diverged" and column == "score":
            found[row["architecture"]] = 1.0
    return found


def test_the_published_tables_are_what_the_results_give() -> None:
    study = read(PUBLISHED)
    assert (PUBLISHED / "table.md").read_text() == table.markdown(study)
    assert (PUBLISHED / "table.csv").read_text() == table.csv_text(study)


def test_the_p_values_and_intervals_of_every_threshold() -> None:
    for line in csv.DictReader((PUBLISHED / "table.csv").open()):
        for prefix in ("", "paper_"):
            names = ("only_first", "only_second", "both", "neither")
            if not line[f"{prefix}both"]:
                continue  # the paper has no row here
            b, c, both, neither = (int(line[prefix + name]) for name in names)
            fewer, n = min(b, c), b + c
            mid_p = 2 * sum(comb(n, k) for k in range(fewer)) / 2**n + comb(n, fewer) / 2**n
            expected = 1 - comb(n, b) / 2**n / 2 if b == c and n else mid_p if n else 1.0
            assert float(line[f"{prefix}p_value"]) == pytest.approx(expected, rel=1e-4)
            found = [float(line[f"{prefix}interval_{end}"]) for end in ("low", "high")]
            assert found == pytest.approx(newcombe(b, c, both, neither), abs=1e-5)


def wilson(count: int, n: int) -> tuple[float, float]:
    p, z2 = count / n, QUANTILE**2
    half = QUANTILE * sqrt(p * (1 - p) / n + z2 / (4 * n**2))
    return (p + z2 / (2 * n) - half) / (1 + z2 / n), (p + z2 / (2 * n) + half) / (1 + z2 / n)


def newcombe(b: int, c: int, both: int, neither: int) -> list[float]:
    """Return the interval of second minus first, Newcombe 1998, method 10."""
    n = b + c + both + neither
    first, second = (both + b) / n, (both + c) / n
    (l1, u1), (l2, u2) = wilson(both + b, n), wilson(both + c, n)
    surplus = both * neither - b * c
    margins = (both + b) * (neither + c) * (both + c) * (neither + b)
    phi = (max(surplus - n / 2, 0) if surplus > 0 else surplus) / sqrt(margins) if margins else 0.0
    low = (second - l2) ** 2 - 2 * phi * (second - l2) * (u1 - first) + (u1 - first) ** 2
    high = (u2 - second) ** 2 - 2 * phi * (u2 - second) * (first - l1) + (first - l1) ** 2
    return [second - first - sqrt(low), second - first + sqrt(high)]


def exact_signed_rank(gaps: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's test, by counting all 2^n signs of the ranks."""
    gaps = gaps[gaps != 0]
    order = np.abs(gaps).argsort()
    ranks = np.empty(len(gaps), dtype=int)
    ranks[order] = np.arange(1, len(gaps) + 1)
    total = len(gaps) * (len(gaps) + 1) // 2
    ways = [1] + [0] * total
    for rank in range(1, len(gaps) + 1):
        for size in range(total, rank - 1, -1):
            ways[size] += ways[size - rank]
    smaller = min(int(ranks[gaps > 0].sum()), int(ranks[gaps < 0].sum()))
    return min(1.0, 2 * sum(ways[: smaller + 1]) / 2 ** len(gaps))


def gaps_of(row: Comparison) -> np.ndarray:
    if row.quantity in COLUMNS:
        first, second = (values(arm, COLUMNS[row.quantity]) for arm in (row.first, row.second))
    else:  # WGAN-GP makes five critic updates an iteration
        assert row.quantity == "score at equal critic updates"
        first, second = values("ns_gan", "score_at_2000"), values("wgan_gp", "score_at_400")
    return np.array([second[name] - first[name] for name in first if name in second])


def test_every_paired_difference() -> None:
    found = comparisons(read(PUBLISHED))
    assert len(found) == 6
    for row in found:
        gaps, result = gaps_of(row), row.result
        assert (result.pairs, result.positive) == (len(gaps), int((gaps > 0).sum()))
        assert result.mean == pytest.approx(sum(gaps) / len(gaps))
        ordered, half = sorted(gaps), (len(gaps) - 1) / 2
        assert result.median == pytest.approx((ordered[int(half)] + ordered[int(half + 0.5)]) / 2)
        assert result.p_value == pytest.approx(exact_signed_rank(gaps), rel=1e-6)
        draws = np.random.default_rng(1).choice(gaps, (20_000, len(gaps)))
        for interval, means in (
            (result.mean_interval, draws.mean(axis=1)),
            (result.median_interval, np.median(draws, axis=1)),
        ):
            width = interval[1] - interval[0]
            assert interval == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.1 * width)


def test_seeds_against_architectures() -> None:
    found = seed_correlations(read(PUBLISHED))
    assert set(found) == {"ns_gan", "wgan_gp"}
    for arm, (count, size, correlation) in found.items():
        groups: dict[str, list[float]] = {}
        for row in rows():
            if row["arm"] == arm and row["architecture"] != "baseline" and row["score"]:
                groups.setdefault(row["architecture"], []).append(float(row["score"]))
        seeded = [group for group in groups.values() if len(group) == 3]
        ratio = float(f_oneway(*seeded).statistic)
        assert (count, size) == (len(seeded), 3) == (8, 3)
        assert correlation == pytest.approx((ratio - 1) / (ratio + 2))


def test_scores_over_time() -> None:
    both = values("ns_gan", "score").keys() & values("wgan_gp", "score").keys()
    for row in progress(read(PUBLISHED)):
        scores = values(row.arm, f"score_at_{row.step}")
        kept = [score for name, score in scores.items() if name in both]
        assert (row.runs, row.score) == (len(kept), pytest.approx(np.mean(kept)))
    times = {arm: [r.seconds for r in progress(read(PUBLISHED)) if r.arm == arm]
             for arm in ("ns_gan", "wgan_gp")}  # fmt: skip
    assert all(one < other for series in times.values() for one, other in pairwise(series))

"""The result of a study, for pages and as JSON: endpoint, pairs, seeds, scores over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gan_runner.runs.text_tables import Block
from gan_runner.studies.comparison import (
    LEAST,
    Comparison,
    Endpoint,
    Progress,
    comparisons,
    endpoint,
    progress,
    seed_correlations,
)
from gan_runner.studies.study_files import SHOWN, Study

DEMONSTRATION = "A demonstration without a conclusion: its runs are too few and too short for one."


def as_json(study: Study) -> dict[str, Any]:
    """Return the result as plain values, for study.json."""
    found = endpoint(study)
    fixed: dict[str, Any] = {}
    if found is not None:
        low, high = found.counts.interval
        fixed = {
            **asdict(found),
            "difference": found.counts.difference,
            "interval": [low, high],
            "p_value": found.counts.p_value,
        }
    return {
        "endpoint": fixed,
        "pairs": [asdict(comparison) for comparison in comparisons(study)],
        "seeds": {
            arm: {"architectures": count, "seeds": seeds, "intraclass_correlation": value}
            for arm, (count, seeds, value) in seed_correlations(study).items()
        },
        "progress": [asdict(row) for row in progress(study)],
    }


def blocks(study: Study) -> Iterator[Block]:
    """Yield the parts of the result for a page; none before the first pair."""
    found = endpoint(study)
    if found is not None:
        yield from ["## Endpoint", endpoint_text(study, found)]
    compared = comparisons(study)
    if compared:
        yield from ["## Paired differences", PAIRS, [PAIRS_HEAD, *map(cells, compared)]]
    if correlations := seed_correlations(study):
        yield "## Seeds against architectures"
        yield from (f"- {seed_text(arm, *values)}" for arm, values in correlations.items())
    if rows := progress(study):
        yield from ["## Scores over time", _TIME, [_TIME_HEAD, *map(_time_cells, rows)]]


PAIRS = (
    "Second minus first on the same architectures; brackets are 95% bootstrap intervals over"
    f" architectures, p is Wilcoxon's signed-rank test. A diverged run has the score {LEAST:.0f}."
    " A smaller Frechet distance is better."
)
PAIRS_HEAD = ("quantity", "second - first", "pairs", "second larger", "mean", "median", "p")
_TIME_HEAD = ("arm", "iterations", "runs", "mean score", "mean seconds")
_TIME = "Means over completed runs of architectures on which both objectives have ended."


def endpoint_text(study: Study, found: Endpoint) -> str:
    """Return the endpoint's sentences."""
    first, second = study.labels
    counts = found.counts
    low, high = (100 * bound for bound in counts.interval)
    rescued = f" ({', '.join(found.rescued)})" if found.rescued else ""
    lost = f" ({', '.join(found.lost)})" if found.lost else ""
    return (
        f"Fixed before the runs: success is a score above {found.threshold:.2f},"
        f" {found.share:.0%} of the way from 1 to real data. {second} succeeds on"
        f" {counts.second} of {counts.pairs} architectures, {first} on {counts.first}:"
        f" {100 * counts.difference:+.0f} percentage points (95% interval {low:+.0f} to"
        f" {high:+.0f}, mid-p McNemar p = {counts.p_value:.2g})."
        f" {second} rescues {counts.only_second}{rescued} and loses"
        f" {counts.only_first}{lost}."
    )


def seed_text(arm: str, architectures: int, seeds: int, correlation: float) -> str:
    """Return the sentence on how much of an arm's variance architectures explain."""
    return (
        f"{label(arm)}: {correlation:.0%} of the variance of scores lies between architectures"
        f" (intraclass correlation, {architectures} architectures with {seeds} seeds each)."
    )


def label(arm: str) -> str:
    """Return an arm's name as people write it."""
    return SHOWN.get(arm, arm)


def cells(row: Comparison) -> list[str]:
    """Return the cells of a comparison's line."""
    result = row.result
    return [
        row.quantity,
        f"{label(row.second)} - {label(row.first)}",
        str(result.pairs),
        str(result.positive),
        _interval(result.mean, result.mean_interval),
        _interval(result.median, result.median_interval),
        f"{result.p_value:.2g}",
    ]


def _time_cells(row: Progress) -> list[str]:
    numbers = (f"{row.step:,}", str(row.runs), f"{row.score:.2f}", f"{row.seconds:.0f}")
    return [label(row.arm), *numbers]


def for_report(study: Study) -> dict[str, Any]:
    """Return the result's sentences and tables for a page: title, note, head, and rows of each."""
    found = endpoint(study)
    compared, rows = comparisons(study), progress(study)
    tables = [
        ("Paired differences", PAIRS, PAIRS_HEAD, [cells(row) for row in compared]),
        ("Scores over time", _TIME, _TIME_HEAD, [_time_cells(row) for row in rows]),
    ]
    return {
        "demonstration": DEMONSTRATION if study.is_demonstration else "",
        "endpoint": endpoint_text(study, found) if found else "",
        "seeds": [seed_text(arm, *values) for arm, values in seed_correlations(study).items()],
        "tables": [table for table in tables if table[3]],
    }


def _interval(value: float, bounds: tuple[float, float]) -> str:
    return f"{value:+.2f} ({bounds[0]:+.2f} to {bounds[1]:+.2f})"

"""The result of a study: its endpoint first, then paired differences, arm by arm.

Everything is computed from results.csv and study.json, so that a published study can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import mean

from gan_runner.studies.differences import Differences, differences, intraclass_correlation
from gan_runner.studies.paired_statistics import Outcome, outcome
from gan_runner.studies.study_files import BASELINE, Study, StudyRun, number

LEAST = 1.0
"""The score of a diverged run in paired differences: the least that a classifier score can be."""

_SCORE_AT = "score_at_"
_STEP_COLUMN = re.compile(rf"{_SCORE_AT}([0-9]{{1,15}})")
_Value = Callable[[StudyRun], float | None]


@dataclass(frozen=True)
class Endpoint:
    """Success at the one threshold that the recipe fixes before the runs.

    Attributes:
        share: of the way from 1 to the score of real data.
        threshold: success is a score strictly above it.
        counts: architectures by who succeeds.
        rescued: architectures on which the second objective alone succeeds.
        lost: architectures on which the first alone succeeds.
    """

    share: float
    threshold: float
    counts: Outcome
    rescued: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Second arm minus first in one quantity.

    Attributes:
        first: name of an arm.
        second: name of an arm.
        quantity: compared, as people write it.
        result: over the architectures that both arms have it for.
    """

    first: str
    second: str
    quantity: str
    result: Differences


@dataclass(frozen=True)
class Progress:
    """Mean score of an arm at one time of its runs.

    Attributes:
        arm: its name.
        step: generator iterations.
        runs: that the means are over.
        score: mean over architectures.
        seconds: mean time to that step, training and evaluation.
    """

    arm: str
    step: int
    runs: int
    score: float
    seconds: float


def endpoint(study: Study) -> Endpoint | None:
    """Count successes at the study's endpoint; None without a pair or a score of real data."""
    share = number(study.facts.get("endpoint"))
    if study.real is None or share is None or not study.pairs:
        return None
    threshold = 1 + share * (study.real - 1)
    won = {
        name: [run.outcome is not None and run.outcome > threshold for run in pair]
        for name, pair in _paired(study, *study.objectives).items()
    }
    return Endpoint(
        share,
        threshold,
        outcome(study.pairs, threshold),
        rescued=tuple(name for name, success in won.items() if success == [False, True]),
        lost=tuple(name for name, success in won.items() if success == [True, False]),
    )


def comparisons(study: Study) -> list[Comparison]:
    """Compare score, Frechet distance and diversity of both objectives, then every further arm."""
    first, second = study.objectives
    results = [
        _compare(study, (first, second), "score", _score),
        _compare(study, (first, second), "Frechet distance", _column("frechet")),
        _compare(study, (first, second), "diversity", _column("diversity")),
    ]
    for arm in study.arms[2:]:
        results.append(_compare(study, (first, arm), "score", _score))
        results.append(_compare(study, (arm, second), "score", _score))
    results.append(_equal_critic_updates(study))
    return [comparison for comparison in results if comparison is not None]


def progress(study: Study) -> list[Progress]:
    """Return mean scores over time, of the architectures on which both objectives have ended."""
    rows = []
    names = list(_paired(study, *study.objectives))
    for arm in study.arms:
        runs = [study.by_architecture[name].get(arm) for name in names]
        kept = [run for run in runs if run is not None and run.status == "completed"]
        for step in _steps(kept):
            rows += _progress_at(arm, step, kept)
    return rows


def seed_correlations(study: Study) -> dict[str, tuple[int, int, float]]:
    """Return each arm's number of architectures, of seeds, and intraclass correlation of scores.

    Architectures with fewer seeds than the most that the arm has are left out.
    """
    results = {}
    for arm in study.arms:
        groups: dict[str, list[float]] = {}
        for run in study.runs:
            score = _score(run)
            if run.arm == arm and run.architecture != BASELINE and score is not None:
                groups.setdefault(run.architecture, []).append(score)
        most = max(map(len, groups.values()), default=0)
        full = [scores for scores in groups.values() if len(scores) == most]
        correlation = intraclass_correlation(full)
        if correlation is not None:
            results[arm] = (len(full), most, correlation)
    return results


def _compare(
    study: Study, arms: tuple[str, str], quantity: str, value_of: _Value
) -> Comparison | None:
    pairs = [(value_of(one), value_of(two)) for one, two in _paired(study, *arms).values()]
    complete = [(one, two) for one, two in pairs if one is not None and two is not None]
    if not complete:
        return None
    first, second = zip(*complete, strict=True)
    return Comparison(*arms, quantity, differences(first, second))


def _equal_critic_updates(study: Study) -> Comparison | None:
    """Compare scores of the same runs at the step where both critics have had equal updates."""
    updates = [
        {number(run.cells.get("n_critic")) for run in study.runs if run.arm == arm} - {None}
        for arm in study.objectives
    ]
    if any(len(results) != 1 for results in updates):
        return None
    each = dict(zip(study.objectives, (results.pop() or 1.0 for results in updates), strict=True))
    fewest = min(each.values())

    def value(run: StudyRun) -> float | None:
        steps = number(run.cells.get("steps"))
        if run.status != "completed" or steps is None:
            return _score(run)
        step = steps * fewest / each[run.arm]
        return number(run.cells.get(f"{_SCORE_AT}{round(step)}")) if isfinite(step) else None

    return _compare(study, study.objectives, "score at equal critic updates", value)


def _paired(study: Study, first: str, second: str) -> dict[str, tuple[StudyRun, StudyRun]]:
    """Return both runs of each architecture on which two arms have ended."""
    results = {}
    for name, runs in study.by_architecture.items():
        if name == BASELINE or first not in runs or second not in runs:
            continue
        pair = (runs[first], runs[second])
        if pair[0].outcome is not None and pair[1].outcome is not None:
            results[name] = pair
    return results


def _score(run: StudyRun) -> float | None:
    value = run.outcome
    return value if value is None or isfinite(value) else LEAST


def _column(name: str) -> _Value:
    """Return the reader of a column of results.csv, for completed runs."""
    return lambda run: number(run.cells.get(name)) if run.status == "completed" else None


def _steps(runs: Sequence[StudyRun]) -> list[int]:
    names = dict.fromkeys(column for run in runs for column in run.cells)
    found = (_STEP_COLUMN.fullmatch(name) for name in names)
    return sorted(int(match[1]) for match in found if match)


def _progress_at(arm: str, step: int, runs: Sequence[StudyRun]) -> list[Progress]:
    scores, seconds = [], []
    for run in runs:
        score = number(run.cells.get(f"{_SCORE_AT}{step}"))
        total, steps = number(run.cells.get("seconds")), number(run.cells.get("steps"))
        if score is not None and total is not None and steps:
            scores.append(score)
            seconds.append(total * step / steps)
    return [Progress(arm, step, len(scores), mean(scores), mean(seconds))] if scores else []

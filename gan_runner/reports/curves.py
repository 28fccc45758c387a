"""Learning curves of a run, thinned for an HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gan_runner.runs.read import try_points
from gan_runner.runs.tags import is_detail, record_of
from gan_runner.studies.study_files import number

Curve = tuple[list[float], list[float]]
"""Steps and values."""


def read_curves(
    path: Path, *, tags: int, points: int, first: Iterable[str] = ()
) -> dict[str, Curve]:
    """Return {tag: curve} of a metrics.jsonl; {} where the file is missing.

    Args:
        path: the file; lines that are not JSON objects with a step are skipped.
        tags: largest number of curves.
        points: largest number of points of a curve.
        first: tags that precede all others.
    """
    curves: dict[str, Curve] = {}
    for line in try_points(path):
        step = number(line.get("step"))
        for tag, value in line.items() if step is not None else ():
            finite = number(value) if tag != "step" and not isinstance(value, str) else None
            if step is not None and finite is not None:
                steps, values = curves.setdefault(tag, ([], []))
                steps.append(step)
                values.append(finite)
    chosen = in_order(curves, list(first))[:tags]
    return {tag: thin(*curves[tag], points=points) for tag in chosen}


def thin(steps: Sequence[float], values: Sequence[float], *, points: int) -> Curve:
    """Return at most `points` points of a curve, including the first, the last and the extremes.

    The inner points are split into equal intervals. The lowest and the highest point of each
    interval remain, so that a spike of a single step stays visible.
    """
    if len(steps) <= points:
        return [*steps], [_short(value) for value in values]
    stretches = max(1, (points - 2) // 2)
    inner = range(1, len(steps) - 1)
    kept = {0, len(steps) - 1}
    for k in range(stretches):
        part = inner[k * len(inner) // stretches : (k + 1) * len(inner) // stretches]
        kept |= {min(part, key=values.__getitem__), max(part, key=values.__getitem__)}
    places = sorted(kept)
    return [steps[i] for i in places], [_short(values[i]) for i in places]


def _short(value: float) -> float:
    """Round to four significant digits, more than a screen shows."""
    return float(f"{value:.4g}")


def in_order(tags: Iterable[str], first: Sequence[str] = ()) -> list[str]:
    """Sort tags by importance; speeds are omitted.

    The first tag of each group comes first, then the second ones, and so on, with metrics before
    losses. Tags of the raw generator or of a single class come last.
    """
    groups: dict[str, list[str]] = {}
    for tag in sorted(tags):
        if tag not in first and record_of(tag).kind != "speed":
            groups.setdefault(tag.partition("/")[0], []).append(tag)
    places = {tag: place for group in groups.values() for place, tag in enumerate(group)}

    def key(tag: str) -> tuple[bool, int, int, str]:
        return is_detail(tag), places[tag], record_of(tag).order, tag

    return [tag for tag in first if tag in tags] + sorted(places, key=key)


def is_measure(tag: str) -> bool:
    """Return whether a tag is a metric of the samples as a whole, not of training."""
    return not record_of(tag).is_training and not is_detail(tag)

"""Learning curves of a run, thin enough to be part of a page."""

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
    """The curves of a metrics.jsonl; {} where there is none.

    Args:
        path: of the file; lines that are not whole JSON objects with a step are skipped.
        tags: how many curves at most.
        points: of a curve at most.
        first: tags that come before all others.
    """
    curves: dict[str, Curve] = {}
    for line in try_points(path):
        step = number(line.get("step"))
        for tag, value in line.items() if step is not None else ():
            known = number(value) if tag != "step" and not isinstance(value, str) else None
            if step is not None and known is not None:
                steps, values = curves.setdefault(tag, ([], []))
                steps.append(step)
                values.append(known)
    chosen = in_order(curves, list(first))[:tags]
    return {tag: thin(*curves[tag], points=points) for tag in chosen}


def thin(steps: Sequence[float], values: Sequence[float], *, points: int) -> Curve:
    """At most `points` of a curve's points, its first, its last and its extremes among them.

    The curve is cut into equal stretches; of each the lowest and the highest point stay, so that a
    spike of a single step is still seen.
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
    """Four significant digits are more than a screen shows."""
    return float(f"{value:.4g}")


def in_order(tags: Iterable[str], first: Sequence[str] = ()) -> list[str]:
    """Tags in the order in which people look at them.

    The first of each group, then the second ones, and so on; measures before losses, what describes
    the raw generator or a single class at the end; timings never.
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
    """Whether a tag says something of the samples, not of how training goes."""
    return not record_of(tag).is_training and not is_detail(tag)

"""What a run's record is made of: the points of its curves, their final and best values.

Nothing here needs torch, so that commands that only read files answer at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

Point = Mapping[str, Any]
"""{"step": n, tag: value ...}; a value that is not finite is None."""


_ESTIMATES = {
    *(f"wasserstein/{name}" for name in ("critic", "critic_heldout", "per_slope", "bound")),
    "jsd/critic",
    "divergence/critic",
}


class BestTracker:
    """The final and the best value of every curve, as points come in.

    Args:
        provenance: what made the numbers, by tag; see `more_is_better`.

    Attributes:
        final: the last value of each tag; None where it is not finite.
        final_steps: when that was.
        best: {"value": v, "step": n} of each tag that had a finite value, and of which more or less
            is better.
    """

    def __init__(self, provenance: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.provenance = provenance or {}
        self.final: dict[str, float | None] = {}
        self.final_steps: dict[str, int] = {}
        self.best: dict[str, dict[str, float]] = {}
        self._peaks: dict[str, float] = {}

    def note(self, point: Point) -> None:
        """Take in one point; None is never the best."""
        for tag, value in point.items():
            if tag == "step":
                continue
            self.final[tag], self.final_steps[tag] = value, point["step"]
            if value is not None and self._is_best(tag, value):
                self.best[tag] = {"value": value, "step": point["step"]}

    def _is_best(self, tag: str, value: float) -> bool:
        """Less is better where more is not; an estimate's rise is the critic's learning.

        What counts of a critic's estimate of a distance is the lowest positive value since the
        highest; distances that need no critic are simply better when they are lower.
        """
        provenance = self.provenance.get(tag, {})
        if provenance.get("better") == "neither":
            return False
        best = self.best.get(tag, {}).get("value")
        if tag in _ESTIMATES and value > self._peaks.get(tag, -inf):
            self._peaks[tag] = value
            return True
        if best is None:
            return True
        if more_is_better(tag, provenance):
            return value > best
        return value < best and (value > 0 or tag not in _ESTIMATES)


def read_points(path: Path) -> list[dict[str, Any]]:
    """The points of a metrics.jsonl, [] where there is none; a line that a crash cut is dropped.

    Raises:
        ValueError: a line is no point.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [_point(path, line) for line in lines if line.endswith("}\n")]


def _point(path: Path, line: str) -> dict[str, Any]:
    try:
        point = json.loads(line)
    except json.JSONDecodeError:
        point = None
    if not isinstance(point, dict) or not isinstance(point.get("step"), int):
        raise ValueError(f"{path} has a line that is no point of a curve: {line[:40].strip()!r}")
    return point


def more_is_better(tag: str, provenance: Mapping[str, Any]) -> bool:
    """Whether a number is to be high: its card says so, or both players raise it as information."""
    return provenance.get("better") == "higher" or tag.startswith("information/")

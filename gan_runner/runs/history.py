"""What a run's record is made of: the points of its curves, their final and best values.

Nothing here needs torch, so that commands that only read files answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from gan_runner.runs.read import Point
from gan_runner.runs.tags import record_of


class BestTracker:
    """The final and the best value of every curve, as points come in.

    Args:
        provenance: what made the numbers, by tag; see `runs_tags.record_of`.

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
        record = record_of(tag, self.provenance.get(tag))
        estimate = record.kind == "estimate"
        if record.better == "neither":
            return False
        best = self.best.get(tag, {}).get("value")
        if estimate and value > self._peaks.get(tag, -inf):
            self._peaks[tag] = value
            return True
        if best is None:
            return True
        if record.better == "higher":
            return value > best
        return value < best and (value > 0 or not estimate)

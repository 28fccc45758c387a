"""Final and best values of the curves of a run.

This module does not import torch, so that commands that only read files start fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from gan_runner.runs.read import Point
from gan_runner.runs.tags import record_of


class BestTracker:
    """The final and the best value of every curve, updated point by point.

    Args:
        provenance: {tag: provenance}; `runs.tags.record_of` reads the direction from it.

    Attributes:
        final: the last value of each tag; None where it is not finite.
        final_steps: the step of each final value.
        best: {"value": v, "step": n} of each tag that had a finite value and measures quality.
    """

    def __init__(self, provenance: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.provenance = provenance or {}
        self.final: dict[str, float | None] = {}
        self.final_steps: dict[str, int] = {}
        self.best: dict[str, dict[str, float]] = {}
        self._peaks: dict[str, float] = {}

    def note(self, point: Point) -> None:
        """Update the values with one point; None is never the best."""
        for tag, value in point.items():
            if tag == "step":
                continue
            self.final[tag], self.final_steps[tag] = value, point["step"]
            if value is not None and self._is_best(tag, value):
                self.best[tag] = {"value": value, "step": point["step"]}

    def _is_best(self, tag: str, value: float) -> bool:
        """Return whether a value is the best so far, by the direction of the tag's record.

        A critic's estimate of a distance first rises while the critic learns. The best estimate is
        therefore the lowest positive value after the highest one.
        """
        record = record_of(tag, self.provenance.get(tag))
        estimate = record.kind == "estimate"
        if not record.is_quality:
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

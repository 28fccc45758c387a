"""The progress of a run on the terminal: a bar, or lines at evaluations where there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf, isfinite, nan
from time import monotonic
from types import TracebackType
from typing import Self

from tqdm import tqdm

_PAUSE = 1.0  # least seconds between two lines, where evaluations follow fast
_ESTIMATES = {
    "wasserstein/critic_heldout": "held-out W", "critic/gap_heldout": "held-out gap",
    "wasserstein/critic": "W", "critic/gap": "gap",
}  # fmt: skip


class Progress:
    """A progress bar with the critic's last estimate on held-out data, else on training batches.

    Args:
        steps: of the whole run.
        step: that it starts from.
    """

    def __init__(self, steps: int, step: int) -> None:
        self._steps, self._shown, self._printed = steps, ("", ""), -inf
        self._bar = tqdm(
            total=steps, initial=step, unit="step", dynamic_ncols=True,
            mininterval=0.2, file=sys.stderr, disable=not _has_width() or None,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._bar.close()

    def advance(self) -> None:
        """Count one step."""
        self._bar.update()

    def show(self, points: Sequence[Mapping[str, float]], step: int, *, evaluated: bool) -> None:
        """Show the new point of each run, with the mean of their estimates."""
        if not any(points):
            return
        self._shown = self._estimate(points) or self._shown
        name, estimate = self._shown
        self._bar.set_postfix({name: estimate} if name else {}, refresh=False)
        is_due = step >= self._steps or monotonic() - self._printed >= _PAUSE
        if self._bar.disable and evaluated and is_due:
            self._printed = monotonic()
            speed = points[0].get("speed/steps_per_second", 0.0)
            mean = f" (mean of {len(points)} replicas)" if len(points) > 1 else ""
            shown = f"  {name}={estimate}{mean}" if name else ""
            with suppress(BrokenPipeError):  # a reader that has left is no reason to stop
                print(f"step {step:,}/{self._steps:,}{shown}  {speed:.1f} steps/s", flush=True)

    def _estimate(self, points: Sequence[Mapping[str, float]]) -> tuple[str, str] | None:
        """Return the name and the mean of the estimate; None keeps the one shown before."""
        for tag, name in _ESTIMATES.items():
            values = [v for point in points if isfinite(v := point.get(tag, nan))]
            if values:
                is_newer = tag.endswith("_heldout") or "held-out" not in self._shown[0]
                return (name, f"{sum(values) / len(values):.3f}") if is_newer else None
        return None


def _has_width() -> bool:
    """Return whether standard error is a terminal of a width; `script` may open one of 0 columns.

    A bar would be invisible in the latter.
    """
    if not sys.stderr.isatty():
        return False
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # a stream without a descriptor
        return True

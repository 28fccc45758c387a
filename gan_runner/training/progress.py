"""The progress of a run on the terminal: a bar, or a line per evaluation where there is none."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite, nan
from types import TracebackType
from typing import Self

from tqdm import tqdm


class Progress:
    """A progress bar with the current Wasserstein estimate.

    Args:
        steps: of the whole run.
        step: that it starts from.
    """

    def __init__(self, steps: int, step: int) -> None:
        self._steps = steps
        self._bar = tqdm(
            total=steps, initial=step, unit="step", dynamic_ncols=True,
            mininterval=0.2, file=sys.stderr, disable=not sys.stderr.isatty() or None,
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
        estimates = [v for p in points if isfinite(v := p.get("wasserstein/critic", nan))]
        estimate = sum(estimates) / len(estimates) if estimates else nan
        self._bar.set_postfix(W=f"{estimate:.3f}", refresh=False)
        if self._bar.disable and evaluated:
            speed = points[0].get("speed/steps_per_second", 0.0)
            mean = f" (mean of {len(estimates)} replicas)" if len(points) > 1 else ""
            with suppress(BrokenPipeError):  # a reader that has left is no reason to stop
                print(
                    f"step {step:,}/{self._steps:,}  W={estimate:.3f}{mean}  {speed:.1f} steps/s",
                    flush=True,
                )

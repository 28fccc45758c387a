"""Wall-clock time of a run, phase by phase."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from gan_runner.core import StateDict

_ENGINE = ("update",)  # the work proper; the rest of the loop is overhead
_MEASURES = ("metrics", "plots")  # wanted for their own sake, and counted apart


class PhaseTimer:
    """Wall-clock time per phase. On a GPU, kernels count toward the phase that synchronizes."""

    def __init__(self) -> None:
        self.start = perf_counter()
        self.spent: dict[str, float] = {}
        self._last = (0, self.start, 0.0)
        self._speed = 0.0

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Charge the time inside to a phase."""
        start = perf_counter()
        try:
            yield
        finally:
            self.spent[phase] = self.spent.get(phase, 0.0) + perf_counter() - start

    def restart(self, step: int) -> None:
        """Forget all times; the run begins now, at a step."""
        self.start, self.spent = perf_counter(), {}
        self._last = (step, self.start, 0.0)

    def state_dict(self) -> StateDict:
        """Return seconds by phase, and in all."""
        return {**self.spent, "total": perf_counter() - self.start}

    def load_state_dict(self, state: StateDict, *, step: int) -> None:
        """Add to the time that a run took before."""
        self.spent = {phase: seconds for phase, seconds in state.items() if phase != "total"}
        self.start -= state["total"]
        self._last = (step, perf_counter(), self._measures())

    def steps_per_second(self, step: int) -> float:
        """Return the speed since the last call at another step, without metrics and plots."""
        now, apart = perf_counter(), self._measures()
        last_step, last_time, last_apart = self._last
        if step != last_step:
            seconds = now - last_time - (apart - last_apart)
            self._speed = (step - last_step) / max(seconds, 1e-9)
            self._last = (step, now, apart)
        return self._speed

    def report(self) -> dict[str, float]:
        """Return seconds by phase, their total, and the share of the loop outside of updates."""
        total = perf_counter() - self.start
        loop = total - self._measures()
        engine = sum(self.spent.get(phase, 0.0) for phase in _ENGINE)
        outside = 1 - engine / loop if engine else 0.0
        return {"total": total, **self.spent, "share_outside_update": outside}

    def _measures(self) -> float:
        return sum(self.spent.get(phase, 0.0) for phase in _MEASURES)

"""Where the time of a run goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from gan_runner.core import State

_ENGINE = ("update",)  # what a step is for; all else is overhead
_MEASURES = ("metrics", "pictures")  # wanted for their own sake, and counted apart


class Clock:
    """Where the time goes. On an accelerator, work is charged to whoever waits for it."""

    def __init__(self) -> None:
        self.start = perf_counter()
        self.spent: dict[str, float] = {}
        self._last = (0, self.start, 0.0)
        self._speed = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Charge the time inside to a name."""
        start = perf_counter()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + perf_counter() - start

    def state_dict(self) -> State:
        """Seconds by name, and in all."""
        return {**self.spent, "total": perf_counter() - self.start}

    def load_state_dict(self, state: State, *, step: int) -> None:
        """Add to the time that a run took before."""
        self.spent = {name: seconds for name, seconds in state.items() if name != "total"}
        self.start -= state["total"]
        self._last = (step, perf_counter(), self._measures())

    def steps_per_second(self, step: int) -> float:
        """Speed since this was last asked at another step, measures and pictures apart."""
        now, apart = perf_counter(), self._measures()
        last_step, last_time, last_apart = self._last
        if step != last_step:
            seconds = now - last_time - (apart - last_apart)
            self._speed = (step - last_step) / max(seconds, 1e-9)
            self._last = (step, now, apart)
        return self._speed

    def report(self) -> dict[str, float]:
        """Seconds by name, their total, and the share of the loop that was not spent in updates."""
        total = perf_counter() - self.start
        loop = total - self._measures()
        engine = sum(self.spent.get(name, 0.0) for name in _ENGINE)
        outside = 1 - engine / loop if engine else 0.0
        return {"total": total, **self.spent, "share_outside_update": outside}

    def _measures(self) -> float:
        return sum(self.spent.get(name, 0.0) for name in _MEASURES)

"""Decides after each step what is due: from the settings, and from signals that ask to stop."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from gan_runner.training.settings import Settings
from gan_runner.training.signals import Signals

_COSTLY = 10  # evaluations per evaluation of costly metrics


class Schedule:
    """Steps at which a run logs, measures, draws, saves and ends.

    A context: while entered, a first signal is noted, and a second one raises KeyboardInterrupt.

    Args:
        settings: the intervals, and the number of steps.

    Attributes:
        signal: the name of the signal that ends the run, None while there is none.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self._signals = settings, Signals()
        self.signal: str | None = None

    def __enter__(self) -> Self:
        self._signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._signals.__exit__(kind, error, tb)

    def note_signal(self) -> None:
        """Take over the signal that has interrupted a step."""
        self.signal = self._signals.received or "SIGINT"

    def done(self, step: int) -> bool:
        """Return True if no more steps are to be taken."""
        return step >= self.settings.steps or self.signal is not None

    def due(self, step: int) -> bool:
        """Return True if this step is looked at.

        Signals are read here, once a step, so that all parts of a tick agree on whether it is the
        last one.
        """
        self.signal = self._signals.received
        return self.signal is not None or any(
            self._is_due(step, every) for every in self.settings.intervals
        )

    def logs(self, step: int) -> bool:
        """Return True if a point of the curves is due."""
        return self._is_due(step, self.settings.log_every) or self.signal is not None

    def evaluates(self, step: int) -> bool:
        """Return True if the metrics are due."""
        return self._is_due(step, self.settings.evaluate_every)

    def evaluates_costly(self, step: int) -> bool:
        """Return True at every tenth evaluation and at the last step."""
        return self._is_due(step, _COSTLY * self.settings.evaluate_every)

    def draws(self, step: int) -> bool:
        """Return True if the plots are due."""
        return self._is_due(step, self.settings.sample_every)

    def saves(self, step: int) -> bool:
        """Return True if a checkpoint is due."""
        return self._is_due(step, self.settings.checkpoint_every) or self.signal is not None

    def _is_due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.settings.steps

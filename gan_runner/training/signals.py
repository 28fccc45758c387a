"""SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 end a run at the next step, not in the middle.

Ctrl-C sends the first; schedulers that preempt send the others before they kill. A terminal that is
closed sends SIGHUP, which `nohup` has ignored.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_HANG_UP = getattr(signal, "SIGHUP", None)  # Windows does not have it
_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

_ignored_signals: set[int] = set()


def stopping() -> list[signal.Signals]:
    """Return the signals that stop a run: without SIGHUP where the process ignores it."""
    hears = _HANG_UP is not None and signal.getsignal(_HANG_UP) != signal.SIG_IGN
    return [*_OTHERS, *([_HANG_UP] if hears and _HANG_UP is not None else [])]


def ignore(number: int) -> None:
    """Ignore a signal from now on, because another process will pass it on."""
    signal.signal(number, signal.SIG_IGN)
    _ignored_signals.add(number)


class Signals:
    """Context that notes the first signal in `received`; a second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python's rule for handlers
            for number in stopping():
                if number not in _ignored_signals:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

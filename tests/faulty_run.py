"""gan-run with a fault: the tick of the step in the file `fail_at` raises, as a broken GPU does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan_runner import train
from gan_runner.training.recorder import Recorder


def main() -> None:
    fault = Path("fail_at")
    step, tick = int(fault.read_text()) if fault.exists() else -1, Recorder.tick

    def faulty(self: Recorder, *arguments: Any) -> dict[str, float]:
        if self.step == step:
            raise RuntimeError("CUDA error: an illegal \x1b[2Jaddress")
        return tick(self, *arguments)

    Recorder.tick = faulty  # type: ignore[method-assign]
    train.main()

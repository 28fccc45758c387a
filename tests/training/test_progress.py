"""The progress of a run where there is no terminal: one line per second at most, and the last."""

from __future__ import annotations

import pytest

from gan_runner.training import progress
from gan_runner.training.progress import Progress


def test_lines_follow_by_a_second_and_the_last_one_always(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    with Progress(8, 0) as bar:
        for step in range(1, 9):
            clock[0] += 0.4
            bar.show([{"wasserstein/critic": float(step)}], step, evaluated=step != 3)
    shown = [line.split("/")[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["step 1", "step 4", "step 7", "step 8"]

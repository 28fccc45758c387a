"""A log that goes on, in a directory whose files others may have made."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from gan_runner.runs import log
from gan_runner.runs.layout import PROVENANCE
from gan_runner.runs.log import RunLog


def test_names_of_the_future_are_not_waited_for(tmp_path: Path) -> None:
    for second in range(30):
        (tmp_path / f"events.out.tfevents.{int(time.time()) + second}.x").touch()
    start = time.perf_counter()
    with RunLog(tmp_path, keep_before=0):
        pass
    assert time.perf_counter() - start < 5


def test_the_next_file_sorts_after_the_last(tmp_path: Path) -> None:
    for _ in range(3):
        with RunLog(tmp_path, keep_before=0):
            pass
    names = sorted(path.name for path in tmp_path.glob("events.out.tfevents.*"))
    assert len({name.split(".")[3] for name in names}) == 3


def test_points_with_new_tags_are_read_with_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [{"step": step, f"tag/{step}": 1.0} for step in range(1500)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    writes: list[Path] = []
    write = log.write_json
    monkeypatch.setattr(
        log, "write_json", lambda path, content: (writes.append(path), write(path, content))
    )
    training = {"better": "lower"}
    with RunLog(tmp_path, keep_before=1500, training=training) as run_log:
        assert writes == [tmp_path / PROVENANCE]
        expected = {f"tag/{step}": training for step in range(1500)}
        assert json.loads((tmp_path / PROVENANCE).read_text()) == expected
        run_log.scalars(1500, {"tag/0": 2.0})
        assert len(writes) == 1
        run_log.scalars(1501, {"another": 2.0})
        content = json.loads((tmp_path / PROVENANCE).read_text())
        assert len(writes) == 2 and content == {**expected, "another": training}

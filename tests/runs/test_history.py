"""Points of curves, their final and best values, and what made them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_runner.runs.history import BestTracker
from gan_runner.runs.log import RunLog
from gan_runner.runs.read import read_points
from gan_runner.runs.tags import DECIDING, record_of


def test_final_and_best_by_hand() -> None:
    extremes = BestTracker({"score": {"better": "higher"}})
    for step, distance, score in ((5, 2.0, 1.0), (10, 1.0, 3.0), (15, None, 2.0)):
        extremes.note({"step": step, "distance": distance, "score": score})
    extremes.note({"step": 20, "score": 2.5})
    assert extremes.final == {"distance": None, "score": 2.5}
    assert extremes.final_steps == {"distance": 15, "score": 20}
    assert extremes.best == {
        "distance": {"value": 1.0, "step": 10},
        "score": {"value": 3.0, "step": 10},
    }


def test_only_quality_has_a_best_value() -> None:
    """State of health and speed have a direction, but the best step is not that of a better one."""
    tracker = BestTracker({"speed/of_mine": {"better": "higher"}})
    point = {"health/state": 0.0, "speed/steps_per_second": 9.0, "speed/of_mine": 1.0,
             "speed/critic_step_seconds": 0.1, "loss/critic": 1.0, "jsd/probe": 0.5}  # fmt: skip
    tracker.note({"step": 5, **point})
    assert tracker.best == {"jsd/probe": {"value": 0.5, "step": 5}}
    assert tracker.final == point


@pytest.mark.parametrize(
    ("tag", "values", "step"),
    [
        ("wasserstein/critic", (0.1, 5.0, 1.0, -2.0, 3.0), 2),  # not 0: it had learned nothing
        ("jsd/critic", (-0.1, 0.6, 0.2, -0.1, 0.5), 2),
        ("divergence/critic", (0.0, 0.6, 0.2, 0.1, 0.5), 3),
        ("wasserstein/exact", (9.0, 5.0, 1.0, 2.0, 3.0), 2),
        ("information/noise", (0.0, 0.6, 0.2, 0.1, 0.5), 1),
    ],
)
def test_what_is_better(tag: str, values: tuple[float, ...], step: int) -> None:
    extremes = BestTracker()
    for k, value in enumerate(values):
        extremes.note({"step": k, tag: value})
    assert extremes.best[tag] == {"value": values[step], "step": step}


@pytest.mark.parametrize("tag", DECIDING)
def test_a_later_better_step_wins(tag: str) -> None:
    """A clipped probe tied at its first 0; none of the tags that may decide does."""
    sign = 1 if record_of(tag).better == "higher" else -1
    tracker = BestTracker()
    for step, quality in ((250, 1.0), (500, 2.0), (750, 2.0), (1000, 2.5), (1250, 2.4)):
        tracker.note({"step": step, tag: sign * quality})
    assert tracker.best[tag] == {"value": sign * 2.5, "step": 1000}


def test_a_line_that_a_crash_cut_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "a": 2.0}\n{"step": 2, "a": 3')
    assert read_points(path) == [{"step": 1, "a": 2.0}]
    assert read_points(tmp_path / "none.jsonl") == []
    path.write_text('{"a": 2.0}\n')
    with pytest.raises(ValueError, match=r"invalid line \(expected a JSON object"):
        read_points(path)


def test_every_number_has_a_provenance(tmp_path: Path) -> None:
    training, mine = {"batch": 64}, {"rows": 8, "better": "higher"}
    with RunLog(tmp_path, provenance={"score": mine}, training=training) as log:
        assert json.loads((tmp_path / "provenance.json").read_text()) == {"score": mine}
        log.scalars(1, {"loss/critic": 1.0, "score": 1.0})
        log.scalars(2, {"loss/critic": 2.0, "score": 2.0})
    provenances = json.loads((tmp_path / "provenance.json").read_text())
    assert provenances == {"score": mine, "loss/critic": training}
    assert log.best["score"]["step"] == 2 and "loss/critic" not in log.best
    with RunLog(tmp_path, keep_before=2, provenance={"score": mine}, training=training) as log:
        assert log.points == [{"step": 1, "loss/critic": 1.0, "score": 1.0}]
    assert json.loads((tmp_path / "provenance.json").read_text()) == provenances


def test_histograms_of_weights(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.histograms(3, {"w": torch.tensor([1.0, 2.0, 3.0]), "nan": torch.tensor([float("nan")])})
    board = EventAccumulator(str(tmp_path)).Reload()
    assert board.Tags()["histograms"] == ["w"]
    (event,) = board.Histograms("w")
    of = event.histogram_value
    assert (event.step, of.min, of.max, of.num, of.sum) == (3, 1.0, 3.0, 3.0, 6.0)

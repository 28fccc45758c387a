"""Texts, sizes and results in files of a stranger: each stays what it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gan_runner.data.image_files import open_files
from gan_runner.evaluation.evaluate import FOLDER, kept_path, kept_results
from gan_runner.evaluation.request import Request
from gan_runner.plots.seed_curves import draw, save
from gan_runner.runs.exported import read_exported
from gan_runner.runs.groups import Group
from gan_runner.runs.layout import POINTS
from gan_runner.runs.read import read_json, read_points, try_points
from gan_runner.runs.rows import RunRecord
from gan_runner.runs.sample_files import read_samples
from gan_runner.runs.tensors import save_safetensors


def test_a_huge_file_of_nothing_is_refused_unread(tmp_path: Path) -> None:
    for name in (POINTS, "summary.json"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(20 << 30)  # takes no room on the disk, and none in an archive
    with pytest.raises(ValueError, match="at most"):
        read_points(tmp_path / POINTS)
    with pytest.raises(ValueError, match="at most"):
        read_json(tmp_path / "summary.json")
    assert try_points(tmp_path / POINTS) == []


@pytest.mark.parametrize("name", [r"$\frac{$", "$x$", r"\$\input{/etc/passwd}$", "\x1b[31m$"])
def test_the_names_in_a_figure_are_not_typeset(name: str, tmp_path: Path) -> None:
    points = [{"step": step, name: 1.0} for step in (0, 1)]
    runs = [RunRecord(tmp_path, "a", "completed", {}, 1, points, None)]
    groups = [Group({"objective": text}, runs) for text in (name, f"other {name}")]
    save(draw(groups, [name]), tmp_path / "figure.svg")
    shown = name.replace("\x1b", "\\x1b").replace("&", "&amp;")
    assert f">{shown}</text>" in (tmp_path / "figure.svg").read_text()


@pytest.mark.parametrize("shape", ["[]", "[0]", "[-2]", "[2.5]", '["x"]', "[true]", "2", "[1e400]"])
def test_an_export_of_no_shape_is_one_line(shape: str, tmp_path: Path) -> None:
    facts = {"generator": "{}", "objective": "{}", "n_classes": "0", "weights": "raw"}
    save_safetensors(tmp_path / "g.safetensors", {}, {**facts, "shape": shape})
    with pytest.raises(ValueError, match="metadata does not describe a generator"):
        read_exported(tmp_path / "g.safetensors")


RESULT = {
    "kind": "run", "path": "run", "data": "digits", "samples": 9, "checkpoint": "last", "step": 1,
    "generator": "averaged", "noise": "seed 0", "values": {"images/fid": {"value": 1.0}},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"kind": None}, {"samples": "many"}, {"values": {"x": {"value": "y"}}}, {"values": {"x": 1}},
        {"protocol": {"text": "t"}}, {"checkpoint": [1]}, {"data": 3},
        {"values": {"x": {"value": 1.0, "rows": "z"}}},
    ],
)  # fmt: skip
def test_a_malformed_result_is_made_anew(change: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    for name, content in (("a", RESULT), ("b", {**RESULT, **change})):
        (tmp_path / FOLDER / f"{name}.json").write_text(json.dumps(content))
    assert kept_results(tmp_path) == [RESULT]


def test_results_are_neither_read_nor_written_outside(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        folder.mkdir()
    (other / "a.json").write_text(json.dumps(RESULT))
    (run / FOLDER).symlink_to(other)
    assert kept_results(run) == []
    (run / "config.yaml").write_text("seed: 0")
    with pytest.raises(ValueError, match="leads out"):
        kept_path(run, Request(), {})


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.npz")
    for read in (lambda path: open_files(str(path)), read_samples):
        with pytest.raises(ValueError, match="not a regular file"):
            read(tmp_path / "s.npz")

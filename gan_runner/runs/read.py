"""The reader of a run directory's files; it imports neither torch nor hydra.

A malformed file raises a `ValueError` of one line that names the file. The functions named `try_*`
skip malformed contents instead, for reports of folders that can only partly be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

import yaml

from gan_runner.runs.layout import check_layout
from gan_runner.runs.old_tags import summary_with_present_tags, with_present_tags

CONFIG, CARDS, POINTS = "config.yaml", "provenance.json", "metrics.jsonl"
SUMMARY, JOB = "summary.json", "job.json"

Point = Mapping[str, Any]
"""{"step": n, tag: value ...}; a value that is not finite is None."""


class JobNote(TypedDict, total=False):
    """Contents of a sweep's job.json; the first three keys are always present."""

    status: str
    overrides: list[str]
    number: int
    error: str
    pid: int
    parent: int
    host: str
    config: dict[str, Any]


def saved_config(run_dir: Path) -> dict[str, Any]:
    """Return the configuration of a run, as plain values.

    Raises:
        ValueError: the directory is not a run directory, or the file is malformed.
    """
    path = run_dir / CONFIG
    if not path.is_file():
        raise ValueError(f"{run_dir} is not a run directory (it has no config.yaml)")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML ({type(error).__name__})") from error
    if not isinstance(config, dict) or not {"model", "trainer"} <= set(config):
        raise ValueError(f"{path} is not the configuration of a run")
    check_layout(run_dir, config)
    return config


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Return the contents of summary.json; empty before the run has ended.

    Raises:
        ValueError: the file is malformed.
    """
    return summary_with_present_tags(read_json(run_dir / SUMMARY), _written_cards(run_dir))


def try_summary(run_dir: Path) -> dict[str, Any]:
    """Return the contents of summary.json; empty where it cannot be read."""
    return summary_with_present_tags(try_json(run_dir / SUMMARY) or {}, _written_cards(run_dir))


def _written_cards(run_dir: Path) -> dict[str, Any]:
    """Return provenance.json as it was written, or that of the first replica."""
    folder = run_dir if (run_dir / CARDS).is_file() else run_dir / "replica_0"
    return try_json(folder / CARDS) or {}


def read_cards(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Return {tag: provenance}; empty where the file is missing.

    Raises:
        ValueError: the file is malformed.
    """
    provenances = read_json(run_dir / CARDS)
    if not all(isinstance(provenance, dict) for provenance in provenances.values()):
        raise ValueError(f"{run_dir / CARDS}: invalid entry (expected a JSON object for each tag)")
    return with_present_tags(provenances, provenances)


def read_note(folder: Path) -> JobNote | None:
    """Return the contents of a job's status file; None where it is missing or incomplete.

    Raises:
        ValueError: a key is missing or has another type.
    """
    note = try_json(folder / JOB)
    if not note:
        return None
    for key, kind in (("status", str), ("overrides", list), ("number", int)):
        if not isinstance(note.get(key), kind):
            raise ValueError(f"{folder / JOB}: {key} is missing or not of type {kind.__name__}")
    return cast(JobNote, note)


def read_points(path: Path) -> list[dict[str, Any]]:
    """Return the points of a metrics.jsonl without truncated lines; [] where it is missing.

    Raises:
        ValueError: a line is not a point.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8") from error
    points = [_point(path, line) for line in lines if line.endswith("}\n")]
    cards = _written_cards(path.parent)
    return [with_present_tags(point, cards) for point in points]


def _point(path: Path, line: str) -> dict[str, Any]:
    try:
        point = json.loads(line)
    except (ValueError, RecursionError):
        point = None
    if not isinstance(point, dict) or not isinstance(point.get("step"), int):
        expected = 'expected a JSON object with an integer "step"'
        raise ValueError(f"{path}: invalid line ({expected}): {line[:40].strip()!r}")
    if not all(value is None or isinstance(value, int | float) for value in point.values()):
        raise ValueError(f"{path}: invalid line (expected numbers): {line[:40].strip()!r}")
    return point


def try_points(path: Path) -> list[dict[str, Any]]:
    """Return all lines of a metrics.jsonl that are JSON objects; [] where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    points = [point for line in text.splitlines() if (point := _object(line)) is not None]
    cards = _written_cards(path.parent)
    return [with_present_tags(point, cards) for point in points]


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty where the file is missing.

    Raises:
        ValueError: the file is not JSON, is nested too deeply, or is not an object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object")
    return content


def try_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None where it cannot be read."""
    try:
        return _object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _object(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None

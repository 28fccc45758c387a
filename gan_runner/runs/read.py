"""The reader of a run directory's files; it imports neither torch nor hydra.

A malformed file raises a `ValueError` of one line that names the file. The functions named `try_*`
skip malformed contents instead, for reports of folders that can only partly be read. A file that
is a link out of its folder is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from gan_runner.runs.layout import CONFIG, DATA, JOB, PROVENANCE, SUMMARY, check_layout
from gan_runner.runs.mistaken import not_a_run
from gan_runner.runs.old_tags import summary_with_present_tags, with_present_tags
from gan_runner.runs.parse import (
    Shape,
    TooLarge,
    check_count,
    mismatch,
    parse_json,
    parse_yaml,
)
from gan_runner.runs.plain import plain
from gan_runner.runs.printable import printable, printable_cell
from gan_runner.runs.within import Folder

CHOICES = "choices"  # key of config.yaml: the option of each group, for `repeat=RUN_DIR`

Point = Mapping[str, Any]
"""{"step": n, tag: value ...}; a value that is not finite is None."""

_MAX_BYTES = {".yaml": 1 << 20, ".json": 32 << 20, ".jsonl": 256 << 20, ".csv": 32 << 20}
"""Largest text file that is read, by ending: a long log has a quarter of it, others much less."""

_OTHER_BYTES = 256 << 20
_MOST_POINTS = 8_000_000  # values of a log, where a line counts for 5 more: a million short lines

_NUMBER, _MAYBE = (int, float), (int, float, type(None))
_NODE, _NODES = dict, {"*": (dict, type(None))}
_CONFIG_SHAPE: Shape = {
    "seed": int,
    "dataset": _NODE,
    "model": {"generator": _NODE, "critic": _NODE},
    "objective": _NODE,
    "optimizer": {"generator": _NODE, "critic": _NODE},
    "health": _NODE,
    **dict.fromkeys(("metrics", "plots", "schedule", "limits", "averages"), _NODES),
    "choices": {"*": (str, list, type(None))},
}
_HEALTH: Shape = {"state": str, "since": int, "because": str, "incident": (int, type(None))}
_NETWORK: Shape = {"parameters": _NUMBER, "architecture": (dict, type(None))}
_RUN: Shape = {
    "status": str,
    "steps": int,
    "final": {"*": _MAYBE},
    "best": {"*": {"value!": _NUMBER, "step!": int}},
    "health": _HEALTH,
    "networks": {"*": _NETWORK},
}
SUMMARY_SHAPE: Shape = {
    **_RUN,
    "seconds": {"total!": _NUMBER, "*": _NUMBER},
    "data": str,
    "settings": {"checkpoint_metric": (str, type(None))},
    "replicas": {"*": {**_RUN, "status!": str, "seed!": int}},
}
_DATA_SHAPE: Shape = {"rows": int, "sha256": str, "classes": [str]}
_PROVENANCE_SHAPE: Shape = {"*": {"better": str, "beside": str}}
_NOTE_SHAPE: Shape = {
    "status!": str,
    "overrides!": [str],
    "number!": int,
    "error": str,
    "pid": int,
    "parent": int,
    "host": str,
    "failed_at": (int, type(None)),
    "repeated": bool,
    "config": {"study": {"name": (str, type(None))}, "objective": dict},
}


class JobNote(TypedDict, total=False):
    """Contents of a sweep's job.json; the first three keys are always present."""

    status: str
    overrides: list[str]
    number: int
    error: str
    pid: int
    parent: int
    host: str
    failed_at: int | None
    repeated: bool
    config: dict[str, Any]


def read_text(path: Path) -> str | None:
    """Return the text of a file; None where there is no regular file.

    Raises:
        ValueError: the file is a link out of its folder, is too large, or is not text in UTF-8.
    """
    if not is_readable(path):
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8") from error


def is_readable(path: Path) -> bool:
    """Return whether there is a regular file, of no more bytes than are read of its kind.

    Raises:
        ValueError: the file is a link out of its folder, or is too large.
    """
    if not Folder(path.parent).path(path.name).is_file():
        return False
    size, most = path.stat().st_size, _MAX_BYTES.get(path.suffix, _OTHER_BYTES)
    if size > most:  # of zeros, it would take no room in an archive
        raise ValueError(f"{path}: has {size:,} bytes; at most {most:,} are read")
    return True


def saved_config(run_dir: Path) -> dict[str, Any]:
    """Return the configuration of a run, as plain values.

    The only interpolation in it is `${seed}`, which the configuration of several replicas contains.

    Raises:
        ValueError: the directory is not a run directory, or the file is malformed or has other
            values than text, numbers, booleans, null, lists and mappings.
    """
    path = run_dir / CONFIG
    text = read_text(path)
    if text is None:
        raise ValueError(not_a_run(run_dir))
    try:
        config = parse_yaml(text)
    except TooLarge as error:
        raise ValueError(printable(f"{path}: {error}")) from error
    except ValueError as error:
        raise ValueError(f"{path} is not YAML ({error})") from error
    if mismatch(config, {"model!": dict, "trainer!": dict}):
        raise ValueError(f"{path} is not the configuration of a run")
    if issue := mismatch(config, _CONFIG_SHAPE):
        raise ValueError(printable_cell(f"{path}: {issue}"))
    try:
        config = plain(config, keep=("${seed}",))
    except ValueError as error:
        raise ValueError(printable(f"{path}: {error}")) from error
    check_layout(run_dir, config)
    return cast(dict[str, Any], config)


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Return the contents of summary.json; empty before the run has ended.

    Raises:
        ValueError: the file is malformed.
    """
    return summary_with_present_tags(
        read_json(run_dir / SUMMARY, SUMMARY_SHAPE), _written_provenance(run_dir)
    )


def try_summary(run_dir: Path) -> dict[str, Any]:
    """Return the contents of summary.json; empty where it cannot be read."""
    return summary_with_present_tags(
        try_json(run_dir / SUMMARY) or {}, _written_provenance(run_dir)
    )


def _written_provenance(run_dir: Path) -> dict[str, Any]:
    """Return provenance.json as it was written, or that of the first replica."""
    folder = run_dir if (run_dir / PROVENANCE).is_file() else run_dir / "replica_0"
    provenances = try_json(folder / PROVENANCE) or {}
    return {tag: entry for tag, entry in provenances.items() if isinstance(entry, dict)}


def read_data(run_dir: Path) -> dict[str, Any]:
    """Return rows, hash and class names of the training set; empty for a run of an older version.

    Raises:
        ValueError: the file is malformed.
    """
    return read_json(run_dir / DATA, _DATA_SHAPE)


def read_provenance(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Return {tag: provenance}; empty where the file is missing.

    Raises:
        ValueError: the file is malformed.
    """
    provenances = read_json(run_dir / PROVENANCE, _PROVENANCE_SHAPE)
    return with_present_tags(provenances, provenances)


def read_note(folder: Path) -> JobNote | None:
    """Return the contents of a job's status file; None where it is missing or incomplete.

    Raises:
        ValueError: a key is missing or has another type.
    """
    note = try_json(folder / JOB)
    if not note:
        return None
    if issue := mismatch(note, _NOTE_SHAPE):
        raise ValueError(f"{folder / JOB}: {issue}")
    return cast(JobNote, note)


def read_points(path: Path) -> list[dict[str, Any]]:
    """Return the points of a metrics.jsonl without truncated lines; [] where it is missing.

    Raises:
        ValueError: a line is not a point.
    """
    text = read_text(path) or ""
    try:
        check_count(text, _MOST_POINTS, line=5)
    except TooLarge as error:
        raise ValueError(f"{path}: {error}") from error
    lines = text.splitlines(keepends=True)
    points = [_point(path, line) for line in lines if line.endswith("}\n")]
    provenances = _written_provenance(path.parent)
    return [with_present_tags(point, provenances) for point in points]


def _point(path: Path, line: str) -> dict[str, Any]:
    point = _object(line)
    if point is None or not isinstance(point.get("step"), int):
        expected = 'expected a JSON object with an integer "step"'
        raise ValueError(f"{path}: invalid line ({expected}): {line[:40].strip()!r}")
    numbers = all(type(value) in _MAYBE for value in point.values())
    if not numbers and mismatch(point, {"*": _MAYBE}):
        raise ValueError(f"{path}: invalid line (expected numbers): {line[:40].strip()!r}")
    return point


def try_points(path: Path) -> list[dict[str, Any]]:
    """Return all lines of a metrics.jsonl that are JSON objects; [] where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if is_readable(path) else ""
        check_count(text, _MOST_POINTS, line=5)
    except (OSError, ValueError):
        return []
    points = [point for line in text.splitlines() if (point := _object(line)) is not None]
    provenances = _written_provenance(path.parent)
    return [with_present_tags(point, provenances) for point in points]


def read_json(path: Path, shape: Shape = dict) -> dict[str, Any]:
    """Return the JSON object in a file; empty where the file is missing.

    Raises:
        ValueError: the file is not JSON, is nested too deeply, or is not an object of that shape.
    """
    text = read_text(path)
    if text is None:
        return {}
    try:
        content = parse_json(text)
    except TooLarge as error:
        raise ValueError(f"{path} is not JSON that can be read ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON (JSONDecodeError)") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object")
    if issue := mismatch(content, shape):
        raise ValueError(f"{path}: {issue}")
    return content


def try_json(path: Path, shape: Shape = dict) -> dict[str, Any] | None:
    """Return the JSON object in a file; None where it cannot be read or has another shape."""
    try:
        return read_json(path, shape) or None
    except (OSError, ValueError):
        return None


def _object(text: str) -> dict[str, Any] | None:
    try:
        content = parse_json(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None

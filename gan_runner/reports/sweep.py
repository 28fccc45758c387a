"""A sweep as the content of a page: one row per run, with its varied overrides and values."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_runner.config.paths import MOVABLE_KEYS
from gan_runner.config.words import key_of, value_of
from gan_runner.reports.curves import in_order, is_measure
from gan_runner.reports.groups import together
from gan_runner.reports.runs import PageLimits, show
from gan_runner.runs.layout import SUMMARY
from gan_runner.runs.mistaken import not_a_sweep
from gan_runner.runs.read import try_summary
from gan_runner.runs.tags import FLOOR, record_of
from gan_runner.runs.tags import columns as default_columns
from gan_runner.runs.within import Folder
from gan_runner.studies.study_files import natural, number, read_rows
from gan_runner.sweeps.jobs import read_jobs, read_plan
from gan_runner.sweeps.search import is_search, searched_tag
from gan_runner.sweeps.table import key_tags

Line = dict[str, str]

_RUN_DIRS = ("run_dir", "job")  # columns that may name a run's directory
_ABOUT_THE_RUN = {*_RUN_DIRS, "overrides", "status", "health", "steps", "seconds", "error"}
_RUNS = 200  # whose versions are read
_VALUES = 6  # values of a run shown as columns; the opened row shows all
_FEW = 12  # a column with more distinct numbers, such as a learning rate's, has no filter
_CHOICES = 24  # a column with more distinct texts has no filter


def content(folder: Path) -> dict[str, Any]:
    """Return the content of the page of a sweep, as plain JSON values.

    Without a sweep.csv, the runs are the directories below that contain a summary.json.

    Raises:
        ValueError: the folder contains no run.
    """
    lines = [_spread(line) for line in read_rows(folder / "sweep.csv")] or list(_found(folder))
    if not lines:
        raise ValueError(not_a_sweep(folder, what="the directory of a sweep or of a study"))
    overrides = [key for key in _keys(lines) if key not in _ABOUT_THE_RUN and not _is_value(key)]
    shared = {key: lines[0].get(key, "") for key in overrides if len(_values(lines, key)) == 1}
    columns = _columns(lines, [k for k in overrides if k not in shared], _first_tags(folder))
    limits = PageLimits(len(lines))
    done = [line.get("status") for line in lines].count("completed")
    return {
        **together(folder, _first_tags(folder)),
        "kind": "sweep",
        "order": _order(folder, columns),
        "title": folder.resolve().name,
        "facts": [*_facts(shared), *_software(folder, lines)],
        "progress": f"{done} of {len(lines)} runs completed.",
        "columns": columns,
        "rows": [_row(folder, i, line, columns, limits) for i, line in enumerate(lines)],
        "noun": ["run", "runs"],
        "study": None,
        "sections": [],
    }


def _first_tags(folder: Path) -> list[str]:
    """Return the tags that the page shows first: those asked for, then those that compare."""
    try:
        return key_tags(read_jobs(folder))
    except ValueError:  # a malformed job; its row says so
        return list(default_columns())


def _order(folder: Path, columns: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the column that sorts the rows of a search, and whether high values come first."""
    try:
        tag = searched_tag(read_jobs(folder)) if is_search(read_plan(folder)) else None
    except ValueError:  # a malformed file; the rows say so
        tag = None
    if f"final {tag}" not in [column["key"] for column in columns]:
        return ["place", False]
    return [f"final {tag}", record_of(str(tag)).better == "higher"]


def _facts(shared: Mapping[str, str]) -> list[tuple[str, str]]:
    words = [f"{k}={v}" for k, v in shared.items() if v and k not in MOVABLE_KEYS]
    return [("all with", " ".join(words))] if words else []


def _software(folder: Path, lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Return the versions and commits that the runs used, for a citation."""
    found: dict[str, None] = {}
    for line in lines[:_RUNS]:
        path = Folder(folder).find(line["run_dir"]) if line.get("run_dir") else None
        own = (try_summary(path) or {}).get("versions") if path else None
        if isinstance(own, dict):
            name, torch = own.get("gan_runner"), own.get("torch")
            commit = str(own.get("git_commit") or "unknown commit")[:12]
            found[f"gan_runner {name} ({commit}), torch {torch}"] = None
    return [("software", "; ".join(found))] if found else []


def _keys(lines: Iterable[Line]) -> list[str]:
    return list(dict.fromkeys(key for line in lines for key in line))


def _values(lines: Iterable[Line], key: str) -> set[str]:
    return {line.get(key, "") for line in lines}


def _is_value(key: str) -> bool:
    return key.startswith(("final ", "best "))


def _spread(line: Mapping[str, str]) -> Line:
    """Add a column for each override in a line's `overrides`, if it has that column."""
    try:
        words = shlex.split(line.get("overrides", ""))
    except ValueError:
        words = []
    own = {key_of(word): value_of(word) for word in words if "=" in word}
    run_dir = next((line[name] for name in _RUN_DIRS if line.get(name)), "")
    return {**own, **line, "run_dir": run_dir}


def _found(folder: Path) -> Iterable[Line]:
    """Yield a line for each run in or below a folder that has a summary."""
    paths, outside = Folder(folder).glob(f"*/{SUMMARY}")
    for path in outside:
        warnings.warn(f"{path}: leads out of {folder}; it is left out", stacklevel=2)
    for path in sorted([folder / SUMMARY, *paths], key=lambda path: natural(path.parent.name)):
        if not (summary := try_summary(path.parent)):
            continue
        final, seconds = summary.get("final"), summary.get("seconds")
        values = final if isinstance(final, dict) else {}
        yield {
            "run": path.parent.resolve().name,
            "status": str(summary.get("status", "")),
            "steps": str(summary.get("steps", "")),
            "seconds": str(seconds.get("total", "") if isinstance(seconds, dict) else ""),
            "run_dir": str(path.parent.relative_to(folder)),
            **{f"final {k}": str(v) for k, v in values.items() if number(v) is not None},
        }


def _columns(
    lines: Sequence[Line], varied: Sequence[str], first: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the columns: place, varied overrides, status, seconds and the main values."""
    tags = [key.removeprefix("final ") for key in _keys(lines) if key.startswith("final ")]
    measures = [tag for tag in in_order(tags, first) if is_measure(tag) and FLOOR not in tag]
    measures = [tag for tag in measures if record_of(tag).kind != "estimate" or tag in first]
    values = [f"final {tag}" for tag in measures[:_VALUES]]
    keys = [*varied, "status", "seconds", *values]
    shown = [key for key in keys if any(line.get(key) for line in lines)]
    place = {"key": "place", "label": "#", "type": "number"}
    return [place, *(_column(lines, key) for key in shown)]


def _column(lines: Sequence[Line], key: str) -> dict[str, Any]:
    """Return a column: numeric if all values are, and with a filter if texts repeat.

    A filter offers 2 to `_CHOICES` different texts, or 2 to `_FEW` numbers of which some repeat.
    """
    values = _values(lines, key) - {""}
    numbers = all(number(value) is not None for value in values)
    label = key.removeprefix("final ")
    if _is_value(key):
        label += record_of(label).arrow
    column: dict[str, Any] = {"key": key, "label": label, "type": "number" if numbers else "text"}
    if _is_value(key):
        meaning = record_of(key.removeprefix("final ")).meaning
        return {**column, "group": "Final", "meaning": meaning}
    if key == "seconds":
        return {**column, "group": "Run", "digits": 0}
    column["group"] = "Run" if key in _ABOUT_THE_RUN else "Overrides"
    most = min(len(lines) - 1, _FEW) if numbers else _CHOICES
    return {**column, "filter": 1 < len(values) <= most}


def _row(
    folder: Path, place: int, line: Line, columns: Sequence[Mapping[str, Any]], limits: PageLimits
) -> dict[str, Any]:
    cells: dict[str, Any] = {"place": place}
    for column in columns[1:]:
        text = line.get(column["key"], "")
        cells[column["key"]] = number(text) if column["type"] == "number" else text
    return {
        "name": str(place),
        "counts": True,
        "ended": [line.get("status") == "completed"],
        "cells": cells,
        "lists": [["Final", _numbers(line, "final ")], ["Best", _numbers(line, "best ")]],
        "runs": [show(folder, line, label="", limits=limits)],
    }


def _numbers(line: Line, kind: str) -> list[tuple[str, float]]:
    """Return (tag, value) for the columns of a kind, "final " or "best ", without the steps."""
    keys = [key for key in line if key.startswith(kind) and not key.startswith("best step ")]
    values = {key.removeprefix(kind): number(line[key]) for key in keys}
    tags = in_order([tag for tag, value in values.items() if value is not None])
    return [(tag, value) for tag in tags if (value := values[tag]) is not None]

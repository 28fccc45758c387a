"""A sweep as the content of a page: a run a row, its overrides and its numbers as columns."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gan_runner.reports.runs import Budget, show
from gan_runner.studies.results import natural, number, read_object, read_rows

_PLACES = ("run_dir", "dir", "directory", "path")  # columns that may name a run's directory
_NOT_SHOWN = {*_PLACES, "overrides", "error", "command"}
_CHOICES = 24  # more different texts than this are searched for, not chosen from


def content(folder: Path) -> dict[str, Any]:
    """Everything that the page of a sweep shows, as plain JSON values.

    Without a sweep.csv, the runs are the directories below that hold a summary.json.

    Raises:
        ValueError: there is no run.
    """
    lines = [_spread(line) for line in read_rows(folder / "sweep.csv")] or list(_found(folder))
    if not lines:
        raise ValueError(
            f"{folder} holds neither study.json nor sweep.csv nor runs; name the directory of a"
            " sweep or a study"
        )
    budget = Budget(len(lines))
    columns = list(_columns(lines))
    ended = [line.get("status") for line in lines]
    return {
        "kind": "sweep",
        "title": folder.resolve().name,
        "facts": [("runs", f"{len(lines):,}")],
        "progress": f"{ended.count('completed')} of {len(lines)} runs completed.",
        "columns": columns,
        "rows": [_row(folder, i, line, columns, budget) for i, line in enumerate(lines)],
        "noun": ["run", "runs"],
        "study": None,
        "sections": [],
    }


def _spread(line: Mapping[str, str]) -> dict[str, str]:
    """A line whose `overrides`, if it has that column, have columns of their own."""
    try:
        words = shlex.split(line.get("overrides", ""))
    except ValueError:
        words = []
    pairs = [word.partition("=") for word in words if "=" in word]
    own = {key.lstrip("+~"): value for key, _, value in pairs}
    place = next((line[name] for name in _PLACES if line.get(name)), "")
    return {**own, **line, "run_dir": place}


def _found(folder: Path) -> Iterable[dict[str, str]]:
    """Lines made of the summaries of the runs below a folder."""
    paths = [folder / "summary.json", *folder.glob("*/summary.json")]
    for path in sorted(paths, key=lambda path: natural(path.parent.name)):
        summary = read_object(path)
        if summary is None:
            continue
        final = summary.get("final")
        numbers = {k: v for k, v in final.items() if number(v) is not None} if final else {}
        yield {
            "run": path.parent.name,
            "status": str(summary.get("status", "")),
            "seconds": str(summary.get("seconds", "")),
            "run_dir": str(path.parent.relative_to(folder)),
            **{str(key): str(value) for key, value in numbers.items()},
        }


def _columns(lines: list[dict[str, str]]) -> Iterable[dict[str, Any]]:
    """A column a key: numbers where all its values are, and a filter where there is a choice."""
    keys = dict.fromkeys(key for line in lines for key in line)
    yield {"key": "place", "label": "#", "type": "number"}
    for key in keys:
        values = {line[key] for line in lines if line.get(key)}
        if not values or key in _NOT_SHOWN:
            continue
        numbers = all(number(value) is not None for value in values)
        column: dict[str, Any] = {"key": key, "label": key, "type": "number" if numbers else "text"}
        if 1 < len(values) <= _CHOICES and not (numbers and any(map(_has_fraction, values))):
            column["filter"] = True
        yield column


def _has_fraction(value: str) -> bool:
    return not value.lstrip("-").isdecimal()


def _row(
    folder: Path, place: int, line: dict[str, str], columns: list[dict[str, Any]], budget: Budget
) -> dict[str, Any]:
    numeric = {column["key"] for column in columns if column["type"] == "number"}
    cells = {k: number(v) if k in numeric else v for k, v in line.items() if k not in _NOT_SHOWN}
    cells["place"] = place
    return {
        "name": str(place),
        "counts": True,
        "ended": [line.get("status") == "completed"],
        "cells": cells,
        "runs": [show(folder, line, label=line.get("status", ""), budget=budget)],
    }

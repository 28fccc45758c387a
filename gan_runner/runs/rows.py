"""Runs as plain rows: settings, status and values of each run below a folder.

`gan_runner.read` is `read` of this module. It imports neither torch nor hydra.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gan_runner.runs.layout import COMMAND, CONFIG, POINTS
from gan_runner.runs.mistaken import is_exported, is_sweep, not_a_run
from gan_runner.runs.printable import printable_cell
from gan_runner.runs.read import (
    CHOICES,
    read_json,
    read_note,
    read_points,
    read_summary,
    saved_config,
)
from gan_runner.runs.within import Folder

Unit = Literal["step", "critic_updates", "seconds"]
UNITS: tuple[Unit, ...] = ("step", "critic_updates", "seconds")

Band = Literal["error", "std", "range"]
"""A band around a mean: standard error, standard deviation, or minimum to maximum."""

_COMMAND_SHAPE = {"overrides": [str]}
_NOT_SETTINGS = ("hydra", "repeat", "resume", "allow_targets")  # keys of a command line
_MOST_OVERRIDES, _LONGEST_KEY = 1_000, 200  # of a command line that a stranger wrote
_SPEED = "speed/steps_per_second"


@dataclass(frozen=True)
class Budget:
    """A position on the curves of a run: the value at or before it counts.

    Attributes:
        unit: "step" counts generator iterations, "critic_updates" counts n_critic per iteration,
            "seconds" counts training time without metrics and plots.
        amount: of that unit.
    """

    unit: Unit
    amount: float

    def __str__(self) -> str:
        return f"{self.unit}={self.amount:g}"

    def words(self, amount: float) -> str:
        """Return another position in this unit as words: `step 30`, `1.9 s of training`."""
        if self.unit == "seconds":
            return f"{amount:.3g} s of training"
        count = f"{amount:,.0f}"
        return f"step {count}" if self.unit == "step" else f"{count} critic updates"


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A run as its files describe it.

    Attributes:
        path: run directory.
        name: path relative to the folder that was read.
        status: of the summary, else of the job, else "unfinished".
        settings: {key: value} of options and overrides, such as objective and trainer.steps; the
            seed is an int, all others are texts.
        n_critic: critic updates per step.
        points: of the curves, {"step": n, tag: value ...}.
        seconds: duration of the whole run; None before its end.
    """

    path: Path
    name: str
    status: str
    settings: Mapping[str, Any]
    n_critic: int
    points: list[dict[str, Any]]
    seconds: float | None

    def positions(self, unit: Unit) -> list[float]:
        """Return the position of each point in a unit.

        Seconds are the sum over points of (steps since the point before) / (speed there).
        """
        if unit == "seconds":
            return list(_seconds(self.points))
        factor = self.n_critic if unit == "critic_updates" else 1
        return [float(factor * point["step"]) for point in self.points]

    def values(self, at: Budget | None = None) -> dict[str, float | None]:
        """Return the last value of each tag, at or before a budget; {} if the run ends earlier."""
        if at is None:
            return _last(self.points)
        if self.ends_before(at):
            return {}
        positions = self.positions(at.unit)
        limit = at.amount * (1 + 1e-9)
        points = zip(self.points, positions, strict=True)
        return _last([point for point, position in points if position <= limit])

    def ends_before(self, at: Budget) -> bool:
        """Return whether the last point lies before a budget, or there is no point."""
        positions = self.positions(at.unit)
        return not positions or positions[-1] < at.amount * (1 - 1e-9)

    def curve(self, tag: str, unit: Unit = "step") -> tuple[list[float], list[float]]:
        """Return positions and finite values of a tag."""
        pairs = [
            (position, point[tag])
            for position, point in zip(self.positions(unit), self.points, strict=True)
            if point.get(tag) is not None
        ]
        return [position for position, _ in pairs], [value for _, value in pairs]


def read(folder: Path | str, *, every_point: bool = False) -> list[dict[str, Any]]:
    """Return one row for each run in a run directory or a folder of runs, as plain dicts.

    The keys are run, status, the options and overrides (objective, seed, trainer.steps ...), step,
    seconds, and each tag with its last value; None where that is not finite. `pandas.DataFrame`
    accepts the rows.

    Args:
        folder: a run, a sweep, or any folder whose subfolders are runs.
        every_point: return one row for each point of the curves; then `seconds` is the training
            time until the point, without metrics and plots.

    Raises:
        ValueError: the folder contains no run, or a file of a run is malformed.
    """
    rows: list[dict[str, Any]] = []
    for record in read_records(Path(folder)):
        settings = {key: _number(value) for key, value in record.settings.items()}
        facts = {"run": record.name, "status": record.status, **settings}
        if not every_point:
            step = record.points[-1]["step"] if record.points else 0
            rows.append({**facts, "step": step, "seconds": record.seconds, **record.values()})
            continue
        for point, seconds in zip(record.points, record.positions("seconds"), strict=True):
            rows.append({**facts, "seconds": seconds, **point})
    return rows


def read_records(folder: Path) -> list[RunRecord]:
    """Read every run in a folder: itself, or its subfolders in the order of a sweep's jobs.

    A directory with replicas yields one run for each replica.

    Raises:
        ValueError: the folder contains no run, or a file of a run is malformed.
    """
    paths = run_dirs(folder)
    if not paths:
        raise ValueError(not_a_run(folder, what="a run or a folder of runs"))
    return [read_record(path, folder) for path in paths]


def run_dirs(folder: Path) -> list[Path]:
    """Return the run directories in a folder, which may be one itself; replicas replace theirs.

    Links out of the folder are left out, with a warning, and so are folders of gan-export.
    """
    here = (folder / CONFIG).is_file()
    found = [folder] if here else [path.parent for path in _inside(folder, f"*/{CONFIG}")]
    runs = sorted((path for path in found if not is_exported(path)), key=_place)
    return [part for path in runs for part in replica_dirs(path)]


def without_sweep_files(paths: Sequence[Path]) -> list[Path]:
    """Return paths without the files of a sweep that `SWEEP/*` names, if others are runs.

    A warning names those that are left out.
    """
    left_out = [p for p in paths if p.exists() and is_sweep(p.parent) and not run_dirs(p)]
    if not left_out or len(left_out) == len(paths):
        return [*paths]
    names = ", ".join(path.name for path in left_out)
    warnings.warn(f"{names}: not a run; left out ({left_out[0].parent} is a sweep)", stacklevel=2)
    return [path for path in paths if path not in left_out]


def _inside(folder: Path, pattern: str) -> list[Path]:
    paths, outside = Folder(folder).glob(pattern)
    for path in outside:
        warnings.warn(f"{path}: leads out of {folder}; it is left out", stacklevel=3)
    return paths


def read_record(path: Path, root: Path) -> RunRecord:
    """Read one run; its name is relative to `root`.

    Raises:
        ValueError: it is not a run directory, or a file is malformed.
    """
    config, summary = saved_config(path), read_summary(path)
    outer = path.parent if path.name.startswith("replica_") else path
    note = read_note(outer)
    objective = config.get("objective")
    n_critic = objective.get("n_critic", 1) if isinstance(objective, Mapping) else 1
    seconds = (summary.get("seconds") or read_summary(outer).get("seconds") or {}).get("total")
    return RunRecord(
        path=path,
        name=path.relative_to(root).as_posix() if path != root else path.resolve().name,
        status=summary.get("status") or (note or {}).get("status", "unfinished"),
        settings={**_settings(outer, config), "seed": config.get("seed", 0)},
        n_critic=n_critic if isinstance(n_critic, int) else 1,
        points=read_points(path / POINTS),
        seconds=seconds,
    )


def command_text(overrides: Sequence[str]) -> bytes:
    """Return the content of command.json."""
    return (json.dumps({"overrides": list(overrides)}, indent=1) + "\n").encode()


def typed_overrides(run_dir: Path) -> list[str]:
    """Return the overrides of a run's command line; of a sweep's job, its own."""
    note = read_note(run_dir)
    own = list(note["overrides"]) if note else []
    typed: list[str] = own or read_json(run_dir / COMMAND, _COMMAND_SHAPE).get("overrides", [])
    return [str(text) for text in typed]


def _settings(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return {key: value} of a run's options and overrides; an older run may lack the options.

    Raises:
        ValueError: there are too many overrides, or a key is too long, for labels of runs.
    """
    typed = typed_overrides(path)
    if len(typed) > _MOST_OVERRIDES:
        raise ValueError(f"{path}: has more than {_MOST_OVERRIDES:,} overrides")
    if long := [text for text in typed if len(text.partition("=")[0]) > _LONGEST_KEY]:
        raise ValueError(
            f"{path}: the override {printable_cell(long[0][:40])}... has a key of more than"
            f" {_LONGEST_KEY} characters"
        )
    pairs = (text.lstrip("+~").partition("=") for text in typed)
    own = {key: value.strip("'\"") for key, _, value in pairs if not key.startswith(_NOT_SETTINGS)}
    choices = config.get(CHOICES)
    chosen = choices.items() if isinstance(choices, Mapping) else ()
    options = {key: _option(option) for key, option in chosen if option}
    return {**own, **options}


def _number(value: Any) -> Any:
    """Return a text that is a number as one, anything else unchanged."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(value)
    return value


def _option(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _place(path: Path) -> tuple[int, str]:
    """Return a sort key: the number of a sweep's job, then the name."""
    note = read_note(path)
    return (note["number"] if note else 0), path.name


def replica_dirs(path: Path) -> list[Path]:
    """Return the folders of a run's replicas in order, or the run itself."""
    folders = [config.parent for config in _inside(path, f"replica_*/{CONFIG}")]
    return sorted(folders, key=lambda f: (len(f.name), f.name)) or [path]


def _last(points: list[dict[str, Any]]) -> dict[str, float | None]:
    merged = {tag: value for point in points for tag, value in point.items()}
    return {tag: value for tag, value in merged.items() if tag != "step"}


def _seconds(points: list[dict[str, Any]]) -> Iterator[float]:
    total, step, speed = 0.0, 0, 0.0
    for point in points:
        speed = point.get(_SPEED) or speed
        total += (point["step"] - step) / speed if speed else 0.0
        step = point["step"]
        yield total

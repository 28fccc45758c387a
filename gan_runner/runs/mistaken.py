"""The run or sweep that was meant by the path of something else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from gan_runner.runs.layout import CHECKPOINTS, CONFIG, JOB, PLAN, WEIGHTS
from gan_runner.runs.printable import quoted

_DEPTH = 3  # folders below a path that are searched; the default run directory has two above it
_LOOKED_AT = 2000  # folders; a home folder has many


def not_a_run(path: Path, *, what: str = "a run directory") -> str:
    """Return why a path is not `what`, and the run that was probably meant."""
    head = f"{path} is not {what}"
    if export := _exported(path):
        return f"{head}: {export}"
    if (above := _run_above(path)) is not None:
        kind = "folder" if path.is_dir() else "file"
        return f"{head}: it is a {kind} of the run {quoted(above)}; name the run"
    if not path.is_dir():
        return f"{head} ({_kind(path)}){_near(path)}"
    runs = list(_below(path, CONFIG))
    if not runs:
        return f"{head} (it has no {CONFIG})"
    if is_sweep(path):
        return f"{head}: it is a sweep of {_counted(runs)}"
    return f"{head}: it contains {_counted(runs)}"


def not_a_sweep(path: Path, *, what: str = "the directory of a sweep") -> str:
    """Return why a path is not `what`, and the sweep that was probably meant."""
    head = f"{path} is not {what}"
    if export := _exported(path):
        return f"{head}: {export}"
    run = path if (path / CONFIG).is_file() else _run_above(path)
    if run is not None:
        outer = run.resolve().parent
        if is_sweep(outer):
            shown = run.parent if run.parent != run else outer
            return f"{head}: it belongs to the sweep {quoted(shown)}; name the sweep"
        kind = "it is a single run" if run == path else f"it belongs to the run {quoted(run)}"
        return f"{head}: {kind}; gan-compare {quoted(run)} shows the values of a run"
    if not path.is_dir():
        return f"{head} ({_kind(path)}){_near(path)}"
    if is_sweep(path.parent):  # a job's folder without a run, or the folder of its checkpoints
        return f"{head}: it belongs to the sweep {quoted(path.parent)}; name the sweep"
    sweeps = [p for p in _below(path, PLAN) if p != path]
    if sweeps:
        return f"{head}: it contains {_counted(sweeps, 'sweep')}"
    if count := len(list(_below(path, CONFIG))):
        advice = f"gan-table {quoted(path)} --over seed shows them"
        return f"{head}: it contains {count} run{'s' if count > 1 else ''}; {advice}"
    return f"{head} (it contains no job)"


def is_sweep(path: Path) -> bool:
    """Return whether a folder is the directory of a sweep: it has a plan, or jobs."""
    return (path / PLAN).is_file() or next(path.glob(f"*/{JOB}"), None) is not None


def is_exported(folder: Path) -> bool:
    """Return whether gan-export wrote a folder; a run may contain the file of an export, too."""
    return (folder / WEIGHTS).is_file() and not (folder / CHECKPOINTS).is_dir()


def _exported(path: Path) -> str:
    """Return what a folder of gan-export, or a file in it, is; "" for other paths."""
    folder = path if path.is_dir() else path.parent
    if not os.path.lexists(path) or not is_exported(folder):
        return ""
    whose = "it is" if folder == path else "it belongs to"
    advice = "gan-sample and gan-evaluate read it; name the run"
    return f"{whose} a generator that gan-export wrote, without the run's metrics; {advice}"


def _run_above(path: Path) -> Path | None:
    """Return the run directory that a path is in: one or two folders above it."""
    for folder in islice(path.parents, 2):
        if os.path.lexists(path) and (folder / CONFIG).is_file():
            return folder
    return None


def _kind(path: Path) -> str:
    if not os.path.lexists(path):
        return "it does not exist"
    return "it is a file" if path.is_file() else "it is a link to nothing"


def _near(path: Path) -> str:
    """Return `; did you mean X?` with the folder beside a missing path whose name is nearest."""
    if os.path.lexists(path) or not path.parent.is_dir():
        return ""
    names = [entry.name for entry in islice(path.parent.iterdir(), _LOOKED_AT) if entry.is_dir()]
    near = get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"; did you mean {quoted(path.parent / near[0])}?" if near else ""


def _counted(folders: list[Path], what: str = "run") -> str:
    if len(folders) == 1:
        return f"the {what} {quoted(folders[0])}; name it"
    return f"{len(folders)} {what}s; name one of them, such as {quoted(folders[0])}"


def _below(path: Path, name: str) -> Iterator[Path]:
    """Yield the folders with a file of that name, at most `_DEPTH` below a path; newest first."""
    for looked_at, (parent, folders, files) in enumerate(os.walk(path)):
        depth = len(Path(parent).relative_to(path).parts)
        folders.sort(reverse=True)
        if name in files or depth >= _DEPTH or looked_at > _LOOKED_AT:
            folders.clear()
        if name in files:
            yield Path(parent)

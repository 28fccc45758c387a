"""A job of a sweep: the directory that its overrides name, its status file, what its run left.

Nothing here trains or asks a running process: what became of a job is read from its files.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gan_runner.config.paths import MACHINE_KEYS
from gan_runner.config.words import key_of, value_of
from gan_runner.runs.files import atomic_write
from gan_runner.runs.layout import JOB, PLAN, PROVENANCE, check_layout, has_checkpoints
from gan_runner.runs.lock import RUN_LOCK
from gan_runner.runs.old_tags import with_present_tags
from gan_runner.runs.read import read_note, read_summary, try_json
from gan_runner.runs.within import Folder, within
from gan_runner.sweeps.naming import readable, slug

LOCK, OUTPUT = "job.lock", "output.txt"

UNFINISHED = ("waiting", "running", "killed", "interrupted", "failed")
"""Statuses that the same command resumes or retries; all others are outcomes, also `diverged`."""

RESUMABLE = ("killed", "interrupted")
"""Statuses that continue from the last checkpoint; a failed job does so once."""

_PLAN_SHAPE = {"jobs": [[str]], "sources": str, "command": [str]}


@dataclass
class Plan:
    """The jobs that the last command of a sweep asked for.

    Attributes:
        jobs: overrides of each; none where a search draws them as it goes.
        sources: a hash of the files that the configuration was composed from.
        command: its overrides as they were typed, ranges and all.
    """

    jobs: list[list[str]] = field(default_factory=list)
    sources: str = ""
    command: list[str] = field(default_factory=list)

    @property
    def searched(self) -> set[str]:
        """Return the keys that a search draws values for; a grid has none."""
        return {key_of(o) for o in self.command if not self.jobs and ("," in o or "(" in o)}


@dataclass(frozen=True)
class Job:
    """One job of a sweep, read from its files.

    Attributes:
        folder: its directory.
        overrides: what it was made from, as on a command line.
        status: "completed", "diverged", "interrupted" by a signal or a full disk, "killed",
            "failed", "running" in some process, "waiting" for its turn.
        error: why it failed.
        number: its place in the sweep that ran it last.
        pid: of the process that ran it last.
        parent: of the process that made that one.
        host: the machine of both.
        config: the composed configuration, as far as it decides what is computed.
        summary: of its run.
        failed_at: the step that it failed at.
        repeated: whether it failed there twice, the second time after a resume.
    """

    folder: Path
    overrides: Sequence[str]
    status: str = "waiting"
    error: str = ""
    number: int = 0
    pid: int = 0
    parent: int = 0
    host: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    failed_at: int | None = None
    repeated: bool = False

    @property
    def is_done(self) -> bool:
        """Return True if nothing is left to do."""
        return self.status not in UNFINISHED

    @property
    def is_kept(self) -> bool:
        """Return True if the files of its run stay, as an outcome or to be continued."""
        return self.is_done or self.status in RESUMABLE

    @property
    def can_resume(self) -> bool:
        """Return True if it has checkpoints and was cut off, or failed for the first time."""
        first_failure = self.status == "failed" and not self.repeated
        return (self.status in RESUMABLE or first_failure) and has_checkpoints(self.folder)

    def provenance_of(self, tag: str) -> Mapping[str, Any]:
        """Return the provenance of a tag of its run; empty without one."""
        provenances, _ = Folder(self.folder).glob(f"**/{PROVENANCE}")
        entries = (try_json(provenances[0]) or {}) if provenances else {}
        provenance = with_present_tags(entries, entries).get(tag)
        return provenance if isinstance(provenance, dict) else {}


def job_name(overrides: Sequence[str]) -> str:
    """Return the folder name of a job: words to read, then a hash of its overrides in any order.

    Keys about the machine (`device`) do not count.
    """
    what = [override for override in overrides if key_of(override) not in MACHINE_KEYS]
    what.sort(key=lambda override: ("." in key_of(override), override))  # groups come first
    return slug(readable(what) or "job", what)


def sweep_name(arguments: Sequence[str]) -> str:
    """Return the folder name of a sweep: recipe, varied keys, a hash of the command line."""
    what = sorted(
        argument
        for argument in arguments
        if argument not in ("-m", "--multirun")
        and not key_of(argument).startswith(("hydra.", "hydra/"))
        and key_of(argument) not in MACHINE_KEYS
    )
    words = [value_of(argument) for argument in what if key_of(argument) == "experiment"]
    words += [key_of(a).rpartition(".")[2] for a in what if "," in a or "(" in a]
    return slug("_".join(words) or "sweep", what)


def display_path(path: str) -> Path:
    """Return a path to show: relative, unless it leads out of the current folder."""
    relative = Path(os.path.relpath(path))
    return Path(path).absolute() if ".." in relative.parts else relative


def job_dir(sweep_dir: Path, overrides: Sequence[str]) -> Path:
    """Return the folder of a job, which its hash tells; a new one has the name `job_name`."""
    name = job_name(overrides)
    present = sorted(p for p in sweep_dir.glob(f"*_{name.rpartition('_')[2]}") if p.is_dir())
    return present[0] if present else sweep_dir / name


def read_jobs(sweep_dir: Path) -> list[Job]:
    """Return every job of a sweep, from files alone: those planned last, in order, then older ones.

    Raises:
        ValueError: an older version has written one of them.
    """
    jobs = [job for folder in job_folders(sweep_dir) if (job := read_job(folder)) is not None]
    for job in jobs:
        check_layout(job.folder, job.config)
    begun = {job_name(job.overrides): job for job in sorted(jobs, key=lambda job: job.number)}
    planned = {job_name(overrides): overrides for overrides in read_plan(sweep_dir).jobs}
    waiting = {name: Job(sweep_dir / name, overrides) for name, overrides in planned.items()}
    return [begun.get(name) or waiting[name] for name in {**waiting, **begun}]


def job_folders(sweep_dir: Path) -> list[Path]:
    """Return the directories of the jobs that have begun; warns about links out of the sweep."""
    notes, outside = Folder(sweep_dir).glob(f"*/{JOB}")
    for note in outside:
        warnings.warn(f"{note}: leads out of {sweep_dir}; it is left out", stacklevel=2)
    return [note.parent for note in notes]


def read_plan(sweep_dir: Path) -> Plan:
    """Read the plan of the sweep's last command; an empty plan without one."""
    said = try_json(sweep_dir / PLAN, _PLAN_SHAPE) or {}
    return Plan(said.get("jobs", []), said.get("sources", ""), said.get("command", []))


def write_plan(sweep_dir: Path, plan: Plan) -> None:
    """Write what a command asks for."""
    atomic_write(
        sweep_dir / PLAN, (json.dumps(asdict(plan), indent=1) + "\n").encode(), shared=True
    )


def read_job(folder: Path, *, held: bool | None = None) -> Job | None:
    """Read a job from its files; None before it has begun.

    Args:
        folder: of the job.
        held: whether a process is at work on it, if that is known.
    """
    note = read_note(folder)
    if note is None:
        return None
    summary = _summary(folder)
    if held is None:  # looking takes the lock for an instant: only where it may be held
        held = note["status"] == "running" and is_held(folder, LOCK)
    return Job(
        folder=folder,
        overrides=note["overrides"],
        status=_status(note["status"], summary.get("status"), held),
        error=note.get("error", ""),
        number=note["number"],
        pid=note.get("pid", 0),
        parent=note.get("parent", 0),
        host=note.get("host", ""),
        config=note.get("config", {}),
        summary=summary,
        failed_at=note.get("failed_at"),
        repeated=note.get("repeated", False),
    )


def _summary(folder: Path) -> dict[str, Any]:
    """Return the contents of a job's summary.json; warns about a malformed one, and omits it."""
    try:
        return read_summary(folder)
    except ValueError as error:
        warnings.warn(f"{error}; its values are left out", stacklevel=2)
        return {}


def write_note(folder: Path, note: Mapping[str, Any]) -> None:
    """Write a job's status file, whole."""
    atomic_write(folder / JOB, (json.dumps(note, indent=1, default=str) + "\n").encode())


def clear(folder: Path) -> None:
    """Remove what a former attempt left, so that the job starts anew.

    Its status file goes last: whatever stops this halfway, the same command can do the rest.

    Raises:
        ValueError: a folder in it is a link out of it, which may hold what somebody needs.
    """
    for path in folder.iterdir():
        if path.is_dir():
            within(folder, path / "file")
    for path in sorted(folder.iterdir(), key=lambda path: path.name == JOB):
        if path.name in (LOCK, RUN_LOCK, OUTPUT):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _status(noted: str, summarised: str | None, held: bool) -> str:
    """Return the status; the summary of an ended run counts first, also after a later resume."""
    if held:
        return "running"
    if summarised is not None and summarised not in ("failed", "interrupted"):
        return summarised
    return "killed" if noted == "running" else noted


def is_held(folder: Path, name: str) -> bool:
    """Return True if a living process holds a lock in a folder."""
    if not (folder / name).exists():
        return False
    lock = FileLock(folder / name)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:  # a stranger's directory, that may only be read
        return False
    lock.release()
    return False

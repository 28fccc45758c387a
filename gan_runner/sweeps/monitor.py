"""The monitor in a sweep's main process; it polls the status files of jobs on any machine."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from gan_runner.runs.files import atomic_write
from gan_runner.runs.groups import Group
from gan_runner.runs.layout import JOB, PLAN
from gan_runner.runs.printable import printable, quoted
from gan_runner.sweeps.jobs import (
    LOCK,
    Job,
    Plan,
    is_held,
    job_folders,
    read_job,
    read_jobs,
    write_plan,
)
from gan_runner.sweeps.means import mean_lines, mean_table, seed_groups
from gan_runner.sweeps.search import best_trial
from gan_runner.sweeps.table import counts, line, terminal_table, write_table

_EVERY = 0.5  # seconds between two polls
_GRACE = 60.0  # seconds that a job has to finish its step and save its state


class SweepMonitor(threading.Thread):
    """A thread that prints a line for each job that ends, and updates sweep.csv and sweep.md.

    Args:
        folder: directory of the sweep.
        plan: jobs that the command asks for.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        super().__init__(daemon=True)
        self.folder, self.plan, self.pid = folder, plan, os.getpid()
        self._out = sys.stdout  # jobs in this process replace sys.stdout
        self._over = threading.Event()
        self._new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        self._former = (folder / PLAN).read_bytes() if (folder / PLAN).is_file() else None
        folder.mkdir(parents=True, exist_ok=True)
        write_plan(folder, plan)
        jobs = read_jobs(folder)
        self._seen = {job.folder: self._time(job.folder) for job in jobs if job.status != "waiting"}
        self._print(f"gan-run: a sweep in {folder}" + (f", {counts(jobs)}" if jobs else ""))

    def run(self) -> None:
        """Poll until the sweep is over."""
        pause = _EVERY
        while not self._over.wait(pause):
            began = time.monotonic()
            self.poll()
            pause = max(_EVERY, 20 * (time.monotonic() - began))  # polls of many jobs are slow

    def finish(self) -> list[Job]:
        """Stop polling and print the table, also after failures; return the jobs."""
        self._over.set()
        self.join()
        self.poll()
        jobs = read_jobs(self.folder)
        if not jobs:
            self.rollback()
            return []
        groups = self._groups(jobs)
        self._tabulate(jobs, groups)
        means = self._means(jobs, groups)
        self._print(
            f"\n{terminal_table(jobs)}{means}\n  table       {self.folder}/sweep.md, sweep.csv"
        )
        self._print(f"  TensorBoard tensorboard --logdir {quoted(self.folder)}")
        if best := best_trial(jobs, self.plan):
            self._print(best)
        return jobs

    def rollback(self) -> None:
        """Restore the directory to its former state, after the command was rejected."""
        self._over.set()
        self.join()
        if self._former is not None:
            atomic_write(self.folder / PLAN, self._former, shared=True)
            return
        for name in (PLAN, "multirun.yaml"):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # the folder has other contents
            for folder in self._new_folders:
                folder.rmdir()

    def stop_workers(self) -> None:
        """Terminate the jobs in child processes, and wait until their state is saved."""
        jobs = read_jobs(self.folder)
        here = (socket.gethostname(), self.pid)
        own = [job for job in jobs if job.status == "running" and (job.host, job.parent) == here]
        for job in own:
            with suppress(ProcessLookupError):
                os.kill(job.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while any(is_held(job.folder, LOCK) for job in own) and time.monotonic() < deadline:
            time.sleep(0.05)

    def poll(self) -> None:
        """Print the jobs that have ended since the last poll."""
        ended = []
        for folder in job_folders(self.folder):
            if self._time(folder) != self._seen.get(folder):
                job = read_job(folder)
                if job is not None and job.status not in ("running", "killed"):
                    self._seen[folder] = self._time(folder)
                    ended.append(job)
        if ended:
            jobs = read_jobs(self.folder)
            for job in ended:
                self._print(line(job, jobs, self.plan.searched))
            self._tabulate(jobs)

    def _tabulate(self, jobs: list[Job], groups: Sequence[Group] = ()) -> None:
        try:
            write_table(self.folder, jobs, means=mean_lines(jobs, groups))
        except OSError as error:  # a full disk must not stop the sweep; gan-table can write it
            self._print(f"gan-run: warning: cannot write the table: {error}")

    def _groups(self, jobs: list[Job]) -> list[Group]:
        try:
            return seed_groups(self.folder, jobs)
        except (OSError, ValueError) as error:
            self._print(f"gan-run: warning: no means over seeds: {error}")
            return []

    def _means(self, jobs: list[Job], groups: Sequence[Group]) -> str:
        """Return the table of means over seeds; "" without groups or room on the disk."""
        try:
            means = mean_table(self.folder, jobs, groups)
        except OSError:  # the warning about the sweep's table says it
            return ""
        return f"\n\n{means}" if means else ""

    def _print(self, text: str) -> None:
        with suppress(BrokenPipeError):  # a closed terminal must not stop the sweep
            tqdm.write(printable(text), file=self._out)
            self._out.flush()

    @staticmethod
    def _time(folder: Path) -> int:
        """Return the modification time of a job's status in nanoseconds; 0 if there is none."""
        path = folder / JOB
        return path.stat().st_mtime_ns if path.exists() else 0

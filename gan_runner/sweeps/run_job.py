"""Run one job: skip if done, resume if interrupted, else start.

The job's status is written to its directory. Hydra only receives a number for a search to
minimize. A failed job returns `inf`; the sweep goes on.
"""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime
from math import inf
from multiprocessing import current_process
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_runner.config.command_line import allowed_targets, task_words
from gan_runner.config.errors import Interrupted, UsageError
from gan_runner.config.user_code import place_in_user_code
from gan_runner.runs.files import append_text
from gan_runner.runs.layout import CONFIG, JOB, SUMMARY, has_checkpoints
from gan_runner.runs.printable import printable
from gan_runner.runs.read import SUMMARY_SHAPE, try_json
from gan_runner.runs.within import within
from gan_runner.sweeps.base import composed
from gan_runner.sweeps.jobs import (
    LOCK,
    OUTPUT,
    RUN_LOCK,
    Job,
    clear,
    display_path,
    is_held,
    read_job,
    read_plan,
    write_note,
)
from gan_runner.sweeps.multirun import AGAIN, is_launcher, stopped
from gan_runner.sweeps.search import search_value
from gan_runner.training import signals

Start = Callable[[DictConfig], Any]
Resume = Callable[[Path, DictConfig], Any]

_WORKER = "LokyProcess-"  # prefix of joblib's process names, counted from 1
_PATIENCE = 2.0  # seconds; a check for a running job holds its lock for an instant


def run_job(cfg: DictConfig, *, start: Start, resume: Resume) -> float:
    """Skip, resume or start a job; return its `search_value`.

    Args:
        cfg: configuration of the job.
        start: runs a configuration, into Hydra's output directory.
        resume: resumes a run directory with the device, data location and allowed prefixes of a
            configuration.

    Raises:
        UsageError: the directory contains a run that is not part of a sweep.
        Interrupted: a signal has ended the sweep; the state of this job is saved.
    """
    folder = _job_folder()
    if current_process().name.startswith(_WORKER):  # the main process forwards Ctrl-C
        signals.ignore(signal.SIGINT)
        signal.signal(signal.SIGTERM, stopped)
    stop = None
    # A search needs the value of a job that another process runs, and waits for it.
    searches = not read_plan(Path(HydraConfig.get().sweep.dir)).jobs
    try:
        with FileLock(folder / LOCK, timeout=-1 if searches else _PATIENCE):
            job = read_job(folder, held=False)
            if job is None and (folder / CONFIG).exists():
                problem = "contains a run that is not part of a sweep"
                advice = "choose another hydra.sweep.dir"
                raise UsageError(f"{folder} {problem}; {advice}")
            if is_held(folder, RUN_LOCK):  # by a `gan-run resume=`
                return inf
            if job is None or not job.is_done:
                stop = _run(cfg, folder, job, start=start, resume=resume)
            value = search_value(read_job(folder, held=False))
    except Timeout:  # another process runs this job
        return inf
    if stop is not None:
        _pass_on(stop)
    return value


def _job_folder() -> Path:
    """Return the directory of Hydra's job.

    Raises:
        UsageError: it is a link out of the sweep's directory.
    """
    hydra = HydraConfig.get()
    folder = display_path(hydra.runtime.output_dir)
    try:
        within(Path(hydra.sweep.dir), folder / JOB)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return folder


def _run(
    cfg: DictConfig, folder: Path, job: Job | None, *, start: Start, resume: Resume
) -> Interrupted | None:
    """Start or resume a job and write its status; return a signal that ended only this job."""
    note = _note(cfg)
    resumes = job is not None and _resumes(job, note)
    if job is not None and not resumes and not _cleared(folder, note):
        return None
    write_note(folder, note)
    before = _stamp(folder)
    try:
        with _output(folder):
            _share_machine(cfg.device)
            if resumes:
                resume(folder, cfg)
            else:
                start(cfg)
    except Exception as error:
        trained = _stamp(folder) != before
        note |= _failure(folder, job if resumes else None, error, trained=trained)
    except BaseException as stop:
        note |= {"status": "interrupted", "error": type(stop).__name__}
        if not isinstance(stop, Interrupted):
            raise
        note["error"] = f"stopped by {stop.signal}"
        if is_launcher():
            raise Interrupted(stop.signal, AGAIN) from stop
        return stop
    else:
        note["status"] = "completed"
    finally:
        write_note(folder, {**note, "ended": _now()})
    return None


def _resumes(job: Job, note: Mapping[str, Any]) -> bool:
    """Return whether a job goes on; a failed one only with the configuration that it has now."""
    return job.can_resume and (job.status != "failed" or job.config == note["config"])


def _cleared(folder: Path, note: Mapping[str, Any]) -> bool:
    """Clear a job's directory; where a link forbids it, note the failure and return False."""
    try:
        clear(folder)
    except ValueError as error:
        failure = {"status": "failed", "error": str(error), "repeated": True}
        write_note(folder, {**note, **failure, "ended": _now()})
        return False
    return True


def _stamp(folder: Path) -> tuple[int, int]:
    """Return what changes when the summary is written, which ends every training."""
    path = folder / SUMMARY
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else (0, 0)


def _failure(
    folder: Path, resumed: Job | None, error: Exception, *, trained: bool
) -> dict[str, Any]:
    """Return the status and error of an attempt that raised an error.

    A resumed job that did not get as far as training keeps its checkpoints: the cause may be a disk
    that is not mounted. A failed job that fails again at the same step will start anew.

    Args:
        folder: directory of the job.
        resumed: the job before this attempt; None if it started anew.
        error: the error.
        trained: whether the attempt got as far as training.
    """
    message = str(error).strip() or type(error).__name__
    message += place_in_user_code(error, allowed_targets(task_words()))
    if has_checkpoints(folder):
        if resumed is not None and not (resumed.status == "failed" and trained):
            return {"status": "interrupted", "error": f"{message}; or remove {folder}"}
        if isinstance(error.__cause__, OSError):  # the disk is full; the job can be resumed
            return {"status": "interrupted", "error": message}
    step = (try_json(folder / SUMMARY, SUMMARY_SHAPE) or {}).get("steps")
    repeated = resumed is not None and resumed.failed_at == step
    return {"status": "failed", "error": message, "failed_at": step, "repeated": repeated}


def _note(cfg: DictConfig) -> dict[str, Any]:
    hydra = HydraConfig.get()
    try:
        config = composed(cfg)
    except OmegaConfBaseException:  # the run reports this error
        config = {}
    return {
        "overrides": OmegaConf.to_container(hydra.overrides.task),
        "number": hydra.job.num,
        "status": "running",
        "error": "",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "started": _now(),
        "config": config,
    }


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


@contextmanager
def _output(folder: Path) -> Iterator[None]:
    """Redirect a job's output to a file; the monitor prints one line when the job ends.

    If jobs run one at a time in this process, the progress bar stays on the terminal.
    """
    with append_text(folder / OUTPUT) as file, ExitStack() as stack:
        stack.enter_context(redirect_stdout(file))
        if not is_launcher():
            stack.enter_context(redirect_stderr(file))
        try:
            yield
        except UsageError as refusal:
            print(printable(f"gan-run: {refusal}"), file=file)
            raise
        except Exception:
            traceback.print_exc(file=file)
            raise


def _share_machine(device: str) -> None:
    """Divide the threads among the jobs that share this machine, and deal the GPUs in turn."""
    hydra = HydraConfig.get()
    jobs = len(read_plan(Path(hydra.sweep.dir)).jobs)
    workers = side_by_side(hydra.launcher, jobs, cores())
    if workers == 1:
        return
    import torch

    torch.set_num_threads(max(1, min(torch.get_num_threads(), cores() // workers)))
    if device in ("auto", "cuda") and torch.cuda.device_count() > 1:
        torch.cuda.set_device(_turn(hydra.job.num) % torch.cuda.device_count())


def _turn(job: int) -> int:
    """Return the index of joblib's worker process, which is fixed, or else the job's number."""
    name = current_process().name
    return int(name.removeprefix(_WORKER)) - 1 if name.startswith(_WORKER) else job


def side_by_side(launcher: Mapping[str, Any], jobs: int, cpus: int) -> int:
    """Return the number of jobs that a launcher runs on this machine at the same time.

    Slurm and Ray give each job processors and GPUs of its own, so the number is 1 for them.
    """
    name = launcher["_target_"].rpartition(".")[2]
    if name == "JoblibLauncher":
        n = launcher["n_jobs"]
        return max(1, n if n > 0 else cpus + 1 + n)  # joblib: -1 is all, -2 all but one
    return max(1, jobs) if name == "LocalLauncher" else 1


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pass_on(stop: Interrupted) -> None:
    """Raise the signal again if a scheduler handles it, such as to requeue a preempted job."""
    number = signal.Signals[stop.signal]
    if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler):
        signal.raise_signal(number)

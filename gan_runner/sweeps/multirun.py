"""Hydra's multirun, with sweeps that the same command continues where they stopped.

Hydra's sweeper lists the jobs and its launcher runs them. Each job keeps a status file (`jobs`). A
monitor reads those files, wherever the jobs run (`monitor`), and writes the table.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gan_runner.config.command_line import as_typed
from gan_runner.config.compose import config_dir
from gan_runner.config.errors import (
    FAILURE,
    USAGE_ERROR,
    Interrupted,
    UsageError,
    explain,
    first_line,
    raised_in,
)
from gan_runner.private_hydra import compose_job
from gan_runner.runs.printable import echo
from gan_runner.sweeps.base import changed, fingerprint
from gan_runner.sweeps.faults import fault_of, twice
from gan_runner.sweeps.folders import folder_name
from gan_runner.sweeps.grid import grid_or_design
from gan_runner.sweeps.jobs import (
    Job,
    Plan,
    display_path,
    job_name,
    read_jobs,
    sweep_name,
)
from gan_runner.sweeps.monitor import SweepMonitor
from gan_runner.training.signals import stopping

AGAIN = "the same command again resumes what was cut"

_VALUED = {
    "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--package", "-p",
    "--cfg", "-c", "--info", "-i", "--experimental-rerun",
}  # fmt: skip
_LAUNCHERS = ("joblib", "submitit", "ray")

OmegaConf.register_new_resolver(
    "job_folder", lambda sweep_dir, overrides: folder_name(Path(sweep_dir), as_typed(overrides))
)

Compose = Callable[[Sequence[str]], DictConfig]
Before = Callable[[DictConfig, Plan, Sequence[Job], Compose], None]
"""Called before a sweep starts with its configuration, what it asks for, the jobs that are there
from earlier commands, and what composes a job from its overrides; may raise SystemExit."""

After = Callable[[Path, Sequence[Job]], str]
"""Called when a sweep has ended with its directory and its jobs; returns what to print."""

_watch: SweepMonitor | None = None  # over the sweep that this process conducts
_before: Before | None = None
_launching = ExitStack()  # holds Hydra's sweeper to the jobs of a design, until the sweep ends


def sweep_arguments(arguments: Sequence[str]) -> list[str]:
    """Return a sweep's command line with default names for its directory and its jobs' folders.

    The directory's name follows from the command, so that the same command finds it again.
    """
    flags, overrides = _split(arguments)
    if fault := twice(overrides):
        raise UsageError(fault)
    ours = {
        "hydra.sweep.dir": f"outputs/sweeps/{sweep_name([*flags, *overrides])}",
        "hydra.sweep.subdir": "'${job_folder:${hydra.sweep.dir},${hydra.overrides.task}}'",
        "hydra/hydra_logging": "none",
        "+hydra.callbacks.sweep._target_": f"{__name__}.SweepCallback",
    }
    typed = {override.partition("=")[0] for override in overrides}
    return [*flags, *overrides, *(f"{key}={ours[key]}" for key in ours if key not in typed)]


@contextmanager
def sweep_session(*, before: Before | None = None, after: After | None = None) -> Iterator[None]:
    """Around a sweep: however it ends, its table is written and printed.

    Args:
        before: called before it starts.
        after: called with what there is, below the table.

    Raises:
        UsageError: the launcher gave up, for instance because a worker was killed.
        SystemExit: with status 1, if not every job is completed.
    """
    global _watch, _before
    _before = before
    jobs: Sequence[Job] = ()
    try:
        yield
    except (HydraException, OmegaConfBaseException):  # it cannot be composed: nothing has run
        if _watch is not None:
            _watch.rollback()
            _watch = None
        raise
    except Exception as error:
        if _watch is None:
            raise
        if type(error).__module__.partition(".")[0] in _LAUNCHERS:
            name = type(error).__name__
            raise UsageError(f"{name}: {first_line(error)}; {AGAIN}", FAILURE) from error
        plugin = raised_in(error, (*_LAUNCHERS, "optuna"))
        if plugin is None or any(job.status != "waiting" for job in read_jobs(_watch.folder)):
            raise
        _watch.rollback()
        _watch = None
        raise UsageError(
            f"{plugin}: {first_line(error)}; see the keys of hydra.launcher and hydra.sweeper"
        ) from error
    finally:
        _launching.close()
        if _watch is not None:
            jobs = _watch.finish()
            if after is not None and jobs and (text := after(_watch.folder, jobs)):
                echo(text)
    asked = {job_name(overrides) for overrides in _watch.plan.jobs} if _watch else set()
    counted = (job for job in jobs if not asked or job_name(job.overrides) in asked)
    if any(job.status != "completed" for job in counted):
        raise SystemExit(FAILURE)


def is_launcher() -> bool:
    """Return True if this process launched the sweep, False in the workers."""
    return _watch is not None and _watch.pid == os.getpid()


class SweepCallback(Callback):
    """Hydra calls it when a sweep begins, in the process that launches its jobs."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Look at what is there, refuse it if it was made from another base, and begin to watch."""
        try:
            self._begin(config)
        except UsageError as error:
            echo(f"gan-run: {error}", error=True)
            raise SystemExit(error.exit_status) from error
        except OSError as error:
            echo(f"gan-run: hydra.sweep.dir: {error}; name another folder", error=True)
            raise SystemExit(USAGE_ERROR) from error
        except OmegaConfBaseException as error:  # of an interpolation
            words = config.hydra.overrides
            arguments = [*as_typed(words.task), *as_typed(words.hydra)]
            echo(f"gan-run: {explain(error, arguments, config_dir())}", error=True)
            raise SystemExit(USAGE_ERROR) from error
        except Exception as error:  # Hydra would warn and run the jobs all the same
            echo(f"gan-run: {type(error).__name__}: {first_line(error)}", error=True)
            raise SystemExit(FAILURE) from error

    @staticmethod
    def _begin(config: DictConfig) -> None:
        global _watch
        folder = display_path(config.hydra.sweep.dir)
        plan = Plan(sources=fingerprint(config), command=as_typed(config.hydra.overrides.task))
        try:
            plan.jobs = grid_or_design(config, _launching)
            reason = changed(folder, plan, config)
        except HydraException:
            return  # the sweeper will meet the same error and end with its message
        reason = reason or fault_of(config, plan, folder)
        if reason:
            echo(f"gan-run: {reason}", error=True)
            raise SystemExit(USAGE_ERROR)  # an Exception would only make Hydra warn
        if _before is not None:
            with suppress(HydraException):  # likewise; what it leaves is taken back
                _before(config, plan, read_jobs(folder), partial(_composed_job, config))
        _quiet_optuna(config)
        for number in stopping():
            signal.signal(number, stopped)
        _watch = SweepMonitor(folder, plan)
        _watch.start()


def _quiet_optuna(config: DictConfig) -> None:
    """Turn off Optuna's own lines about studies and trials; a sweep prints its jobs."""
    if ".hydra_optuna_sweeper." in str(config.hydra.sweeper._target_):
        with suppress(ImportError):  # the sweeper will say so
            import optuna

            optuna.logging.set_verbosity(optuna.logging.WARNING)


def _composed_job(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of a job."""
    cfg = compose_job(config, overrides)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into flags with their values, and overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument.startswith("-"):
            flags += [argument, *(islice(rest, 1) if argument in _VALUED else ())]
        else:
            overrides.append(argument)
    return flags, overrides


def stopped(number: int, _: FrameType | None) -> None:
    """Handle a signal: let the workers of this process save their state."""
    if _watch is not None and is_launcher():
        for each in stopping():  # a second one is not waited for
            signal.signal(each, signal.default_int_handler)
        _watch.stop_workers()
    raise Interrupted(signal.Signals(number).name, AGAIN)

"""`gan-run -m`: the cost of a sweep, all of its jobs, then its table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_runner.config.command_line import allowed_targets, task_words
from gan_runner.config.errors import UsageError
from gan_runner.config.paths import MACHINE_KEYS, absolute
from gan_runner.runs.printable import echo
from gan_runner.studies import conclude
from gan_runner.sweeps import multirun
from gan_runner.sweeps.jobs import Plan
from gan_runner.sweeps.run_job import run_job as run_or_resume


def sweep(arguments: Sequence[str], app: Callable[[], Any]) -> None:
    """Run all jobs of a multirun; with --dry-run, print their cost and stop.

    A study prints its cost in either case.

    Args:
        arguments: arguments of the command line.
        app: Hydra's application, which reads `sys.argv`.
    """
    if {"--cfg", "-c"} & set(arguments):
        raise UsageError("--cfg: shows a single job; omit -m")
    dry = "--dry-run" in arguments
    rest = [argument for argument in arguments if argument != "--dry-run"]
    sys.argv[1:] = multirun.sweep_arguments(rest)
    with multirun.sweep_session(before=partial(_announce, dry=dry), after=conclude.conclude):
        app()


def run_job(cfg: DictConfig) -> float:
    """Run, resume or skip one job of a sweep; return the value that a search minimizes."""
    from gan_runner.commands.run import run

    return run_or_resume(cfg, start=run, resume=_resume_job)


def _announce(config: DictConfig, plan: Plan, *rest: Any, dry: bool) -> None:
    if dry or config.get("study"):  # other sweeps run without torch in the main process
        if count := len(plan.jobs):
            jobs = f"{count} job{'s' * (count != 1)}"
            after = "; nothing is written" if dry else " before the first begins"
            echo(f"gan-run: estimating the cost of {jobs}{after}", error=True, flush=True)
        from gan_runner.studies import cost

        cost.announce(config, plan, *rest, dry=dry)


def _resume_job(run_dir: Path, cfg: DictConfig) -> dict[str, Any]:
    """Continue a job of a sweep with the `MACHINE_KEYS` of `cfg`, such as the device."""
    from gan_runner.commands.run import resume_run

    places = {key: absolute(key, OmegaConf.select(cfg, key), Path.cwd()) for key in MACHINE_KEYS}
    places = {key: place for key, place in places.items() if place is not None}
    return resume_run(run_dir, allowed_targets(task_words()), places=places)

"""Cost of a study, estimated from a few iterations of some of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random
from statistics import mean

import torch
from omegaconf import DictConfig, OmegaConf

from gan_runner.builder import Tables, build
from gan_runner.config.command_line import allowed_targets
from gan_runner.runs.printable import echo
from gan_runner.studies import robustness
from gan_runner.sweeps.jobs import Job, Plan, job_name
from gan_runner.training.device import resolve_device
from gan_runner.training.engine import Engine
from gan_runner.training.recorder import measure

_JOBS = 16  # that are measured, evenly spread over the study
_NEEDS = {"robustness": [robustness.SCORE]}  # what a study's jobs have to measure, by its name
_ENOUGH = 4  # jobs whose seconds are known
_BUDGET = 60.0  # seconds, after which so many jobs are enough
_ELSEWHERE = ("SlurmLauncher", "RayLauncher", "RayAWSLauncher")
_PAUSE = 5.0  # least seconds between two lines of progress
_SECONDS = 1.0  # that one job is measured for, at least one iteration


@dataclass(frozen=True)
class Cost:
    """The cost of a study on this machine.

    Attributes:
        jobs: all that are left to do.
        known: jobs whose seconds are known.
        seconds: of all jobs, one after another; the mean of those known times their number.
        longest: seconds of the longest one that is known.
        device: that they ran on.
        how: the seconds are known.
    """

    jobs: int
    known: int
    seconds: float
    longest: float
    device: str
    how: str

    def __str__(self) -> str:
        what = f"{self.jobs} job{'s' * (self.jobs != 1)}"
        return (
            f"{what}, about {_span(self.seconds)} in all, one after another on {self.device} (from"
            f" {self.known} of them, {self.how}; the longest of these takes {_span(self.longest)})"
        )


def announce(
    config: DictConfig,
    plan: Plan,
    known: Sequence[Job],
    compose: Callable[[Sequence[str]], DictConfig],
    *,
    dry: bool,
) -> None:
    """Print what the jobs of a study that are not done will cost, or with `dry` those of any sweep.

    Args:
        config: of the sweep.
        plan: what it asks for.
        known: its jobs from earlier commands.
        compose: from the overrides of a job to its configuration.
        dry: this is all that is wanted.

    Raises:
        SystemExit: this was all, or a job is wrong (an `Exception` would only make Hydra warn).
    """
    try:
        echo(f"gan-run: {_said(config, plan, known, compose, dry=dry)}", flush=True)
    except ValueError as error:
        echo(f"gan-run: {error}", error=True)
        raise SystemExit(2) from error
    if dry:
        raise SystemExit(0)


def _said(
    config: DictConfig,
    plan: Plan,
    known: Sequence[Job],
    compose: Callable[[Sequence[str]], DictConfig],
    *,
    dry: bool,
) -> str:
    study = config.get("study", {}).get("name")
    if study == "robustness":
        robustness.check(plan.jobs)
    if not plan.jobs:
        return "a search draws its jobs as it goes: what they cost is not known before"
    planned = {job_name(overrides): overrides for overrides in plan.jobs}
    ended = {job_name(job.overrides): job for job in known if job.is_done and job.summary}
    done = [job for name, job in ended.items() if name in planned]
    waiting = [overrides for name, overrides in planned.items() if name not in ended]
    if not waiting:
        return "nothing is left to do"
    if len(done) >= _ENOUGH:
        return str(from_done(done, len(waiting)))
    launcher = str(OmegaConf.select(config, "hydra.launcher._target_", default=""))
    if not dry and launcher.endswith(_ELSEWHERE):
        return "what jobs cost elsewhere is not known here; --dry-run measures it on this machine"
    floor = OmegaConf.select(config, "study.min_accuracy", default=None)
    typed = OmegaConf.select(config, "hydra.overrides.task", default=())
    allow = allowed_targets([str(word) for word in typed])
    return str(
        estimate(
            compose, waiting, needs=_NEEDS.get(study, ()), min_accuracy=floor or 0.0, allow=allow
        )
    )


def from_done(done: Sequence[Job], jobs: int) -> Cost:
    """Estimate the cost of jobs from those that are done."""
    seconds = [job.summary["seconds"]["total"] for job in done]
    device = done[-1].summary["device"]
    return Cost(jobs, len(done), jobs * mean(seconds), max(seconds), device, "which are done")


def estimate(
    compose: Callable[[Sequence[str]], DictConfig],
    jobs: Sequence[Sequence[str]],
    *,
    needs: Collection[str] = (),
    min_accuracy: float = 0.0,
    allow: Sequence[str] = (),
) -> Cost:
    """Build and run some jobs for a moment; nothing is written.

    Args:
        compose: from the overrides of a job to its configuration.
        jobs: the overrides of each.
        needs: tags that every job has to measure.
        min_accuracy: of the classifier that scores samples, on held-out images.
        allow: prefixes of targets that the command line allows.

    Raises:
        ValueError: as of `build`, nothing measures one of the tags, or the classifier is worse than
            its floor; so a study that cannot run, or would end without scores to trust, is refused
            before it starts.
    """
    chosen = list(jobs[:: ceil(len(jobs) / _JOBS)])
    Random(0).shuffle(chosen)  # so that those there is time for are as good as any
    tables, device = None, ""
    seconds: list[float] = []
    begun = printed = time.perf_counter()
    for overrides in chosen:
        if len(seconds) >= _ENOUGH and time.perf_counter() - begun > _BUDGET:
            break
        if time.perf_counter() - printed > _PAUSE:
            printed = time.perf_counter()
            echo(f"gan-run: measured {len(seconds)} of {len(chosen)} jobs", error=True, flush=True)
        cfg = compose(overrides)
        tables = tables or Tables(resolve_device(cfg.device))
        engine = build(cfg, tables, allow=allow)
        if not isinstance(engine, Engine):
            raise ValueError("trainer.replicas: what packed runs cost is not estimated; leave it 1")
        _refuse_without(needs, engine)
        _refuse_below(min_accuracy, engine)
        seconds.append(_seconds_of(engine))
        device = engine.runs[0].facts["device"]
    how = "measured for some seconds"
    return Cost(len(jobs), len(seconds), len(jobs) * mean(seconds), max(seconds), device, how)


def _refuse_without(needs: Collection[str], engine: Engine) -> None:
    measured = {tag for metric in engine.runs[0].metrics for tag in metric.provenance}
    if missing := sorted(set(needs) - measured):
        raise ValueError(
            f"metrics: nothing measures {missing[0]}, which this study compares; use metrics=study,"
            " and for images without class folders metrics.images.network=inception"
        )


def _refuse_below(min_accuracy: float, engine: Engine) -> None:
    provenances = [metric.provenance.get(robustness.SCORE, {}) for metric in engine.runs[0].metrics]
    known = [provenance["accuracy"] for provenance in provenances if "accuracy" in provenance]
    if known and known[0] < min_accuracy:
        raise ValueError(
            f"study.min_accuracy={min_accuracy:g}: the classifier that scores the samples reaches"
            f" {known[0]:.4f} on held-out images, too few for this study; lower the floor, or use"
            " metrics.images.network=inception"
        )


def _seconds_of(engine: Engine) -> float:
    """Return the seconds of training and evaluations of a run, by extrapolation."""
    run = engine.runs[0]
    engine.train_step()  # the first one prepares
    iterations, begun = 0, _now(engine)
    while iterations == 0 or _now(engine) - begun < _SECONDS:
        engine.train_step()
        iterations += 1
    an_iteration = (_now(engine) - begun) / iterations
    begun = _now(engine)
    measure(run, engine.nets)
    evaluations = ceil(run.settings.steps / run.settings.evaluate_every)
    return run.settings.steps * an_iteration + evaluations * (_now(engine) - begun)


def _now(engine: Engine) -> float:
    if engine.stream.device.type == "cuda":
        torch.cuda.synchronize(engine.stream.device)
    return time.perf_counter()


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

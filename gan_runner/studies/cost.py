"""What a study will cost, from a few iterations of some of its jobs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import mean

import torch
from omegaconf import DictConfig

from gan_runner.build import Tables, build
from gan_runner.studies import robustness
from gan_runner.training.device import resolve_device
from gan_runner.training.trainer import Trainer

_JOBS = 16  # that are measured, evenly spread over the study
_NEEDS = {"robustness": [robustness.SCORE]}  # what a study's jobs have to measure, by its name
_SECONDS = 1.0  # that one job is measured for, at least one iteration


@dataclass(frozen=True)
class Cost:
    """Of a study on this machine.

    Attributes:
        jobs: all of them.
        measured: jobs that were built and run for a moment.
        seconds: of all jobs, one after another; the mean of those measured times their number.
        longest: seconds of the longest one that was measured.
        device: that they were measured on.
    """

    jobs: int
    measured: int
    seconds: float
    longest: float
    device: str

    def __str__(self) -> str:
        return (
            f"{self.jobs} jobs, about {_span(self.seconds)} in all, one after another on"
            f" {self.device} (from {self.measured} of them, measured for some seconds; the longest"
            f" of these takes {_span(self.longest)})"
        )


def announce(
    config: DictConfig,
    jobs: Sequence[Sequence[str]],
    compose: Callable[[Sequence[str]], DictConfig],
    *,
    dry: bool,
) -> None:
    """Print what a study's jobs will cost, or with `dry` those of any sweep, and no more.

    Raises:
        SystemExit: this was all, or a job is wrong (an `Exception` would only make Hydra warn).
    """
    if jobs and (dry or "study" in config):
        try:
            needs = _NEEDS.get(config.get("study", {}).get("name"), ())
            print(f"gan-run: {estimate(compose, jobs, needs=needs)}", flush=True)
        except ValueError as error:
            print(f"gan-run: {error}", file=sys.stderr)
            raise SystemExit(2) from error
    elif dry:
        print("gan-run: nothing is left to do")
    if dry:
        raise SystemExit(0)


def estimate(
    compose: Callable[[Sequence[str]], DictConfig],
    jobs: Sequence[Sequence[str]],
    *,
    needs: Collection[str] = (),
) -> Cost:
    """Build and run some jobs for a moment; nothing is written.

    Args:
        compose: from the overrides of a job to its configuration.
        jobs: the overrides of each.
        needs: tags that every job has to measure.

    Raises:
        ValueError: as of `build`, or nothing measures one of the tags; so a study that cannot run,
            or would end without its scores, is refused before it starts.
    """
    chosen = jobs[:: ceil(len(jobs) / _JOBS)]
    tables, seconds, device = None, [], ""
    for overrides in chosen:
        cfg = compose(overrides)
        tables = tables or Tables(resolve_device(cfg.device))
        run = build(cfg, tables)
        assert isinstance(run, Trainer), "a study's jobs are single runs"
        _refuse_without(needs, run)
        seconds.append(_seconds_of(run))
        device = run.facts["device"]
    return Cost(len(jobs), len(chosen), len(jobs) * mean(seconds), max(seconds), device)


def _refuse_without(needs: Collection[str], run: Trainer) -> None:
    measured = {tag for evaluator in run.evaluators for tag in evaluator.cards}
    if missing := sorted(set(needs) - measured):
        raise ValueError(
            f"metrics: nothing measures {missing[0]}, which this study compares; use metrics=study,"
            " and for images without class folders metrics.images.network=inception"
        )


def _seconds_of(run: Trainer) -> float:
    """Training and evaluations of a run, by extrapolation."""
    settings = run.settings
    run.step = 0
    run.adopt()
    run.advance(run.picks())  # the first one prepares
    iterations, begun = 0, _now(run)
    while iterations == 0 or _now(run) - begun < _SECONDS:
        run.advance(run.picks())
        iterations += 1
    an_iteration = (_now(run) - begun) / iterations
    begun = _now(run)
    run.measure()
    evaluations = ceil(settings.steps / settings.evaluate_every)
    return settings.steps * an_iteration + evaluations * (_now(run) - begun)


def _now(run: Trainer) -> float:
    if run.noise.z.device.type == "cuda":
        torch.cuda.synchronize(run.noise.z.device)
    return time.perf_counter()


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

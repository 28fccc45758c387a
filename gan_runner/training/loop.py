"""The training loop: setup, step, tick; for one run, or for several that advance as one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor
from tqdm import tqdm

from gan_runner.core import State
from gan_runner.training.accelerate import Mode
from gan_runner.training.clock import Clock
from gan_runner.training.incident import Recorder
from gan_runner.training.interrupt import Interrupt
from gan_runner.training.update import Game

if TYPE_CHECKING:
    from gan_runner.training.trainer import Trainer


class Crew(Protocol):
    """Whoever advances: a trainer, or a pack of replicas."""

    game: Game
    mode: Mode

    @property
    def runs(self) -> Sequence[Trainer]:
        """The runs that a step advances, all at the same step."""
        ...

    def picks(self) -> Any:
        """What the streams hand out for one iteration."""
        ...

    def advance(self, picks: Any) -> Sequence[Mapping[str, Tensor]]:
        """One iteration; the logs of each run."""
        ...

    def adopt(self) -> None:
        """Take over the state that the runs have loaded."""
        ...

    def publish(self) -> None:
        """Let the runs see their state."""
        ...


def fit_together(
    crew: Crew, run_dirs: Sequence[Path], *, resume_from: Sequence[State] | None = None
) -> list[dict[str, Any]]:
    """Train all runs of a crew, each into its directory; returns their summaries."""
    runs, clock = crew.runs, Clock()
    states: Sequence[State | None] = resume_from or [None] * len(runs)
    with Interrupt() as interrupt, ExitStack() as logs:
        for run, run_dir, state in zip(runs, run_dirs, states, strict=True):
            run.open(run_dir, clock, state)
            logs.enter_context(run.log)
        crew.adopt()
        try:
            with _bar(runs[0]) as bar:
                _play(crew, clock, interrupt, bar)
        except KeyboardInterrupt:  # a second signal: at once, and without another checkpoint
            for run in runs:
                run.stop_at_once(interrupt.received or "SIGINT")
        finally:
            summaries = [run.close() for run in runs]
    return summaries


def _play(crew: Crew, clock: Clock, interrupt: Interrupt, bar: tqdm) -> None:
    runs, recorder = crew.runs, Recorder(crew)
    crew.publish()
    for run in runs:
        run.begin()
    recorder.keep()
    while any(run.running for run in runs):
        with clock("data"):
            picks = crew.picks()
        with clock("update"):
            logs = crew.advance(picks)
        bar.update()
        signal = interrupt.received
        for run, its in zip(runs, logs, strict=True):
            run.took_step(its, signal)
        if not any(run.looks for run in runs):
            continue
        crew.publish()
        with clock("health"):
            recorder.investigate()
        # The checkpoint comes first: what the tick then writes, a resumed run writes again.
        for run in runs:
            run.save()
        for run in runs:  # only now, so that there is always a step that all runs have
            run.prune()
        _show(bar, runs, [run.tick() for run in runs])
        with clock("health"):
            recorder.keep()
    for run in runs:
        run.end()


def _bar(run: Trainer) -> tqdm:
    return tqdm(
        total=run.settings.steps, initial=run.step, unit="step", dynamic_ncols=True,
        mininterval=0.2, file=sys.stderr, disable=not sys.stderr.isatty() or None,
    )  # fmt: skip


def _show(bar: tqdm, runs: Sequence[Trainer], points: Sequence[Mapping[str, float]]) -> None:
    """The bar's estimate; where there is no terminal for a bar, a line an evaluation."""
    estimates = [v for p in points if isfinite(v := p.get("wasserstein/critic", nan))]
    if not any(points):
        return
    estimate = sum(estimates) / len(estimates) if estimates else nan
    bar.set_postfix(W=f"{estimate:.3f}", refresh=False)
    run = runs[0]
    if bar.disable and run.evaluates:
        speed = points[0].get("speed/steps_per_second", 0.0)
        where = f"step {run.step:,}/{run.settings.steps:,}"
        mean = f" (mean of {len(estimates)} replicas)" if len(runs) > 1 else ""
        with suppress(BrokenPipeError):  # that nobody reads on is no reason to stop
            print(f"{where}  W={estimate:.3f}{mean}  {speed:.1f} steps/s", flush=True)

"""The training loop: setup, step, tick.

A step is one generator iteration and touches device tensors only. A tick happens on the steps that
the settings name: there, and only there, numbers come to the host, pictures are painted and
checkpoints written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from torch import Tensor
from tqdm import tqdm

from gan_runner.core import Batch, DataSpec, Evaluator, Latent, Painter, State, View
from gan_runner.data.stream import Stream
from gan_runner.training.interrupt import Interrupt
from gan_runner.training.log import Meter, RunLog, write_json, write_text
from gan_runner.training.sampling import generate
from gan_runner.training.state import checkpoints, random_state, save_checkpoint, update_average
from gan_runner.training.update import Game

Iteration = Callable[[Game, Sequence[Batch]], dict[str, Tensor]]

_CHECKPOINTS_KEPT = 2
_ENGINE = ("update",)  # what a step is for; all else is overhead
_MEASURES = ("metrics", "pictures")  # wanted for their own sake, and counted apart


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long and how often.

    Attributes:
        steps: generator iterations.
        batch_size: samples of a batch.
        ema_decay: of the averaged generator; 0 makes it a copy.
        log_every: steps between points of the curves.
        evaluate_every: steps between runs of the evaluators.
        sample_every: steps between pictures.
        checkpoint_every: steps between checkpoints.
        n_eval: held-out and generated samples that evaluators see, at most.
    """

    steps: Annotated[int, Ge(0)] = 2500
    batch_size: Annotated[int, Gt(0)] = 64
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.999
    log_every: Annotated[int, Gt(0)] = 50
    evaluate_every: Annotated[int, Gt(0)] = 250
    sample_every: Annotated[int, Gt(0)] = 500
    checkpoint_every: Annotated[int, Gt(0)] = 1000
    n_eval: Annotated[int, Ge(8)] = 1000


@dataclass(eq=False)
class Trainer:
    """Everything a run needs, built; `fit` runs it.

    Attributes:
        game: the players and what they minimise.
        iteration: one generator iteration of the game; see `update`.
        stream: of training batches.
        heldout: samples for the evaluators, on the device.
        noise: the fixed noise of evaluators and pictures.
        spec: facts about the data.
        settings: how long and how often.
        evaluators: measures, run every `evaluate_every` steps.
        painter: the picture, painted every `sample_every` steps.
        facts: about the run, for its summary: seed, versions, parameters ...
        config: the configuration as YAML text, for the record.
    """

    game: Game
    iteration: Iteration
    stream: Stream
    heldout: Batch
    noise: Latent
    spec: DataSpec
    settings: Settings
    evaluators: Sequence[Evaluator]
    painter: Painter
    facts: dict[str, Any]
    config: str

    def fit(self, run_dir: Path) -> dict[str, Any]:
        """Train into a run directory; returns what its summary.json says.

        The summary's `status` is "completed", "interrupted" (SIGINT or SIGTERM; everything up to
        that step is on disk), "diverged" (a loss is not finite; training has stopped) or "failed".
        """
        self.run_dir, self.step, self.status = run_dir, 0, "failed"
        self.clock, self.meter = Clock(), Meter()
        write_text(run_dir / "config.yaml", self.config)
        with RunLog(run_dir) as self.log, self._bar() as self.bar, Interrupt() as interrupt:
            try:
                self._play(interrupt)
            finally:
                summary = self._summary(run_dir)
                write_json(run_dir / "summary.json", summary)
        return summary

    def _play(self, interrupt: Interrupt) -> None:
        settings, objective = self.settings, self.game.objective
        self.log.text("config", self.config)
        self._paint()
        while self.step < settings.steps and not (interrupt.received or self.status == "diverged"):
            with self.clock("data"):
                reals = [self.stream.next() for _ in range(objective.n_critic)]
            with self.clock("update"):
                logs = self.iteration(self.game, reals)
                nets, decay = self.game.nets, settings.ema_decay
                update_average(nets.average, nets.generator, decay=decay, step=self.step)
            self.step += 1
            self.meter.add(logs)
            self._tick()
        self._write_point(evaluate=False)  # what an interruption left in the meter
        if self.status != "diverged":  # then the last checkpoint is better than what there is now
            self._save()
            self.status = "completed" if interrupt.received is None else "interrupted"

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _tick(self) -> None:
        settings = self.settings
        self.bar.update()
        evaluate = self._due(settings.evaluate_every)
        if evaluate or self._due(settings.log_every):
            self._write_point(evaluate=evaluate)
        if self._due(settings.sample_every):
            self._paint()
        if self.step % settings.checkpoint_every == 0 and self.step < settings.steps:
            self._save()

    def _write_point(self, *, evaluate: bool) -> None:
        with self.clock("log"):
            values = self.meter.read()  # the one synchronisation with the device
        if not values:
            return
        if not all(isfinite(value) for tag, value in values.items() if tag.startswith("loss/")):
            self.status = "diverged"
        if evaluate:
            with self.clock("metrics"):
                view = self._view()
                values |= {k: v for measure in self.evaluators for k, v in measure(view).items()}
        values["speed/steps_per_second"] = self.clock.steps_per_second(self.step)
        with self.clock("log"):
            self.log.scalars(self.step, values)
            self._show(values, evaluate)

    def _view(self) -> View:
        nets, batch = self.game.nets, self.settings.batch_size
        raw = generate(nets.generator, self.noise, batch_size=batch)
        averaged = generate(nets.average, self.noise, batch_size=batch)
        return View(nets, self.spec, self.heldout, raw=raw, averaged=averaged)

    def _paint(self) -> None:
        with self.clock("pictures"):
            self.log.picture(self.step, self.painter(self._view()))

    def _save(self) -> None:
        with self.clock("checkpoints"):
            folder = self.run_dir / "checkpoints"
            save_checkpoint(folder / f"step_{self.step:08d}.pt", self._state())
            for old in checkpoints(self.run_dir)[:-_CHECKPOINTS_KEPT]:
                old.unlink()

    def _state(self) -> State:
        game, nets = self.game, self.game.nets
        return {
            "step": self.step,
            "shape": list(self.spec.shape),
            "n_classes": self.spec.n_classes,
            "generator": nets.generator.state_dict(),
            "critic": nets.critic.state_dict(),
            "average": nets.average.state_dict(),
            "generator_optimizer": game.generator_optimizer.state_dict(),
            "critic_optimizer": game.critic_optimizer.state_dict(),
            "stream": self.stream.state_dict(),
            "random": random_state(self.noise.z.device),
        }

    def _bar(self) -> tqdm:
        return tqdm(
            total=self.settings.steps, unit="step", dynamic_ncols=True, mininterval=0.2,
            file=sys.stderr, disable=not sys.stderr.isatty() or None,
        )  # fmt: skip

    def _show(self, values: Mapping[str, float], evaluated: bool) -> None:
        """The bar's estimate; where there is no terminal for a bar, a line an evaluation."""
        estimate = values["wasserstein/critic"]
        self.bar.set_postfix(W=f"{estimate:.3f}", refresh=False)
        if self.bar.disable and evaluated:
            speed = values["speed/steps_per_second"]
            where = f"step {self.step:,}/{self.settings.steps:,}"
            print(f"{where}  W={estimate:.3f}  {speed:.1f} steps/s", flush=True)

    def _summary(self, run_dir: Path) -> dict[str, Any]:
        return {
            "status": self.status,
            "steps": self.step,
            "seconds": self.clock.report(),
            "final": self.log.final,
            "best": self.log.best,
            **self.facts,
            "settings": asdict(self.settings),
        }


class Clock:
    """Where the time goes. On an accelerator, work is charged to whoever waits for it."""

    def __init__(self) -> None:
        self.start = perf_counter()
        self.spent: dict[str, float] = {}
        self._last = (0, self.start, 0.0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Charge the time inside to a name."""
        start = perf_counter()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + perf_counter() - start

    def steps_per_second(self, step: int) -> float:
        """Speed since this was last asked, measures and pictures apart."""
        now, apart = perf_counter(), self._measures()
        last_step, last_time, last_apart = self._last
        self._last = (step, now, apart)
        return (step - last_step) / max(now - last_time - (apart - last_apart), 1e-9)

    def report(self) -> dict[str, float]:
        """Seconds by name, their total, and the share of the loop that was not spent in updates."""
        total = perf_counter() - self.start
        loop = total - self._measures()
        engine = sum(self.spent.get(name, 0.0) for name in _ENGINE)
        return {"total": total, **self.spent, "share_outside_update": 1 - engine / loop}

    def _measures(self) -> float:
        return sum(self.spent.get(name, 0.0) for name in _MEASURES)

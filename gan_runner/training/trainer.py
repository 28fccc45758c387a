"""The training loop: setup, step, tick.

A step is one generator iteration and touches device tensors only. A tick happens on the steps that
the settings name: there, and only there, numbers come to the host, pictures are painted and
checkpoints written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from torch import Tensor
from tqdm import tqdm

from gan_runner.core import Batch, DataSpec, Evaluator, Latent, Painter, State, View
from gan_runner.data.stream import Stream
from gan_runner.training.checkpoint import best_path, checkpoint_path, save_checkpoint
from gan_runner.training.clock import Clock
from gan_runner.training.files import write_whole
from gan_runner.training.interrupt import Interrupt
from gan_runner.training.log import Meter, RunLog, write_json
from gan_runner.training.sampling import generate
from gan_runner.training.state import random_state, set_random_state, update_average
from gan_runner.training.update import Game

Iteration = Callable[[Game, Sequence[Batch]], dict[str, Tensor]]


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
        keep_checkpoints: how many of the regular ones stay on disk; `gan-verify` needs two.
        best_by: the scalar whose best value decides which checkpoint is kept as `best.pt`.
    """

    steps: Annotated[int, Ge(0)] = 2500
    batch_size: Annotated[int, Gt(0)] = 64
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.999
    log_every: Annotated[int, Gt(0)] = 50
    evaluate_every: Annotated[int, Gt(0)] = 250
    sample_every: Annotated[int, Gt(0)] = 500
    checkpoint_every: Annotated[int, Gt(0)] = 1000
    n_eval: Annotated[int, Ge(8)] = 1000
    keep_checkpoints: Annotated[int, Ge(1)] = 2
    best_by: str = "jsd/probe"


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

    def fit(self, run_dir: Path, *, resume_from: State | None = None) -> dict[str, Any]:
        """Train into a run directory; returns what its summary.json says.

        The summary's `status` is "completed", "interrupted" (`signal` says by what; all up to that
        step is on disk), "diverged" (a loss is not finite; training has stopped) or "failed".

        Args:
            run_dir: this trainer's own.
            resume_from: a checkpoint of the same run, to continue there instead of at step 0.

        Raises:
            OSError: something could not be written. The checkpoints written before are intact.
        """
        self.run_dir, self.step, self.status = run_dir, 0, "failed"
        self.signal: str | None = None
        self.clock, self.meter = Clock(), Meter()
        if resume_from is not None:
            self.load_state_dict(resume_from)
        keep_before = None if resume_from is None else self.step
        write_whole(run_dir / "config.yaml", self.config.encode())
        with Interrupt() as interrupt, RunLog(run_dir, keep_before=keep_before) as self.log:
            try:
                with self._bar() as self.bar:
                    self._play(interrupt)
            except KeyboardInterrupt:  # a second signal: at once, and without another checkpoint
                self.status, self.signal = "interrupted", interrupt.received or "SIGINT"
                self._write_point(evaluate=False)
            finally:
                summary = self._summary()
                write_json(run_dir / "summary.json", summary)
        return summary

    def _play(self, interrupt: Interrupt) -> None:
        settings, game = self.settings, self.game
        if self.step == 0:
            self.log.text("config", self.config)
            self._paint()
            self._save()
        else:
            self._tick()
        while self.step < settings.steps and not (self.signal or self.status == "diverged"):
            with self.clock("data"):
                reals = [self.stream.next() for _ in range(game.objective.n_critic)]
            with self.clock("update"):
                logs = self.iteration(game, reals)
                average, decay = game.nets.average, settings.ema_decay
                update_average(average, game.nets.generator, decay=decay, step=self.step)
            self.step += 1
            self.meter.add(logs)
            self.signal = interrupt.received
            self.bar.update()
            # The checkpoint comes first: what the tick then writes, a resumed run writes again.
            if self.signal or self._due(settings.checkpoint_every):
                self._save()
            self._tick()
        if self.status != "diverged":
            self.status = "completed" if self.step == settings.steps else "interrupted"

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _tick(self) -> None:
        settings = self.settings
        evaluate = self._due(settings.evaluate_every)
        ends_early = self.signal or self.status == "diverged"
        if evaluate or self._due(settings.log_every) or ends_early:
            self._write_point(evaluate=evaluate)
        if self._due(settings.sample_every) and self.status != "diverged":
            self._paint()

    def _write_point(self, *, evaluate: bool) -> None:
        with self.clock("update"):  # an accelerator may still be at work on it
            values: dict[str, float] = self.meter.read()  # the one synchronisation with the device
        if not values:
            return
        if not all(isfinite(value) for tag, value in values.items() if tag.startswith("loss/")):
            self.status = "diverged"
        if evaluate:
            with self.clock("metrics"):
                view = self._view()
                values |= {k: v for measure in self.evaluators for k, v in measure(view).items()}
        if speed := self.clock.steps_per_second(self.step):
            values["speed/steps_per_second"] = speed
        with self.clock("log"):
            self.log.scalars(self.step, values)
            self._show(values, evaluate)
        best_by = self.settings.best_by
        if best_by in values and self.log.best.get(best_by, {}).get("step") == self.step:
            self._save_best()

    def _view(self) -> View:
        nets, batch = self.game.nets, self.settings.batch_size
        raw = generate(nets.generator, self.noise, batch_size=batch)
        averaged = generate(nets.average, self.noise, batch_size=batch)
        return View(nets, self.spec, self.heldout, raw=raw, averaged=averaged)

    def _paint(self) -> None:
        with self.clock("pictures"):
            self.log.picture(self.step, self.painter(self._view()))

    def _save(self) -> None:
        if not self.meter.is_finite():
            self.status = "diverged"  # the last checkpoint is better than what there is now
            return
        with self.clock("checkpoints"):
            self.log.flush()
            path = checkpoint_path(self.run_dir, self.step)
            save_checkpoint(path, self.state_dict(), keep=self.settings.keep_checkpoints)

    def _save_best(self) -> None:
        with self.clock("checkpoints"):
            save_checkpoint(best_path(self.run_dir), self.state_dict())

    def state_dict(self) -> State:
        """Everything that the rest of the run depends on."""
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
            "meter": self.meter.state_dict(),
            "seconds": self.clock.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue where `state` was taken."""
        game, nets = self.game, self.game.nets
        self.step = state["step"]
        nets.generator.load_state_dict(state["generator"])
        nets.critic.load_state_dict(state["critic"])
        nets.average.load_state_dict(state["average"])
        game.generator_optimizer.load_state_dict(state["generator_optimizer"])
        game.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.stream.load_state_dict(state["stream"])
        self.meter.load_state_dict(state["meter"])
        self.clock.load_state_dict(state["seconds"], step=self.step)
        set_random_state(state["random"], self.noise.z.device)

    def _bar(self) -> tqdm:
        return tqdm(
            total=self.settings.steps, initial=self.step, unit="step", dynamic_ncols=True,
            mininterval=0.2, file=sys.stderr, disable=not sys.stderr.isatty() or None,
        )  # fmt: skip

    def _show(self, values: Mapping[str, float], evaluated: bool) -> None:
        """The bar's estimate; where there is no terminal for a bar, a line an evaluation."""
        estimate = values.get("wasserstein/critic", nan)
        self.bar.set_postfix(W=f"{estimate:.3f}", refresh=False)
        if self.bar.disable and evaluated:
            speed = values.get("speed/steps_per_second", 0.0)
            where = f"step {self.step:,}/{self.settings.steps:,}"
            with suppress(BrokenPipeError):  # that nobody reads on is no reason to stop
                print(f"{where}  W={estimate:.3f}  {speed:.1f} steps/s", flush=True)

    def _summary(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "signal": self.signal,
            "steps": self.step,
            "seconds": self.clock.report(),
            "final": self.log.final,
            "best": self.log.best,
            **self.facts,
            "settings": asdict(self.settings),
        }

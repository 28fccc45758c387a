"""One run: its players, its settings, its log, and what it writes when.

`loop` drives it: setup, step, tick. A step touches device tensors only. A tick happens on the steps
that the settings name: there, and only there, numbers come to the host, pictures are painted and
checkpoints written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gan_runner.core import Batch, DataSpec, Evaluator, Latent, Nets, Painter, Pick, State, View
from gan_runner.data.stream import Stream
from gan_runner.files import write_whole
from gan_runner.training.accelerate import Mode
from gan_runner.training.checkpoint import best_path, checkpoint_path, prune, save_checkpoint
from gan_runner.training.clock import Clock
from gan_runner.training.log import Meter, Monitor, RunLog, write_json
from gan_runner.training.loop import fit_together
from gan_runner.training.sampling import generate
from gan_runner.training.settings import Settings
from gan_runner.training.state import average_of, load_trained_state, trained_state
from gan_runner.training.update import Game, Iteration


@dataclass(eq=False)
class Trainer:
    """Everything a run needs, built; `fit` runs it.

    Attributes:
        nets: the players and the averaged generator.
        optimizers: of "critic" and "generator".
        game: the players as training calls them, and what they minimise.
        iteration: one generator iteration of the game; see `update` and `accelerate`.
        mode: how the iteration is executed.
        stream: of training batches.
        heldout: samples for the evaluators, on the device.
        noise: the fixed noise of evaluators and pictures.
        spec: facts about the data.
        settings: how long, how often and how fast.
        evaluators: measures, run every `evaluate_every` steps.
        painters: pictures by name, painted every `sample_every` steps.
        health: says of each point of the log how the run fares.
        facts: about the run, for its summary: seed, versions, parameters ...
        config: the configuration as YAML text, for the record.
        architecture: every layer of both networks as text, for the record.
        opening: the same in short, for the terminal.
        replicas: how many runs are trained as one with this one; see `replicas`.
        hyperparameters: what TensorBoard compares runs by.
        history: the points of the log so far.
    """

    nets: Nets
    optimizers: Mapping[str, Optimizer]
    game: Game
    iteration: Iteration
    mode: Mode
    stream: Stream
    heldout: Batch
    noise: Latent
    spec: DataSpec
    settings: Settings
    evaluators: Sequence[Evaluator]
    painters: Mapping[str, Painter]
    health: Monitor
    facts: dict[str, Any]
    config: str
    architecture: str = ""
    opening: str = ""
    replicas: int = 1
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()

    def fit(self, run_dir: Path, *, resume_from: Sequence[State] | None = None) -> dict[str, Any]:
        """Train into a run directory; returns what its summary.json says.

        The summary's `status` is "completed", "interrupted" (`signal` says by what; all up to that
        step is on disk), "diverged" (its `health` is, and it was told to stop then) or "failed".

        Args:
            run_dir: this trainer's own.
            resume_from: a checkpoint of the same run, to continue there instead of at step 0; in a
                list, as a pack has several.

        Raises:
            OSError: something could not be written. The checkpoints written before are intact.
        """
        return fit_together(self, self.folders(run_dir), resume_from=resume_from)[0]

    def folders(self, run_dir: Path) -> list[Path]:
        """The run directory of each run."""
        return [run_dir]

    # What the loop asks of whoever advances: here a run by itself.

    @property
    def runs(self) -> list[Trainer]:
        """The runs that a step advances."""
        return [self]

    def picks(self) -> list[Pick]:
        """What the stream hands out for one iteration."""
        return [self.stream.next() for _ in range(self.game.objective.n_critic)]

    def advance(self, picks: Sequence[Pick]) -> list[dict[str, Tensor]]:
        """One iteration and one step of the average; the logs of each run."""
        self.game.objective.begin(self.step)
        logs = self.iteration(self.game, picks)
        self.average.update(self.step)
        return [logs]

    def adopt(self) -> None:
        """Called when the state has been loaded."""
        nets, decay = self.nets, self.settings.ema_decay
        self.average = average_of(nets.average, nets.generator, decay=decay)
        self.mode.moved = True

    def publish(self) -> None:
        """Called before the state is looked at."""

    # What it asks of each run.

    def open(self, run_dir: Path, clock: Clock, state: State | None) -> None:
        """Start at step 0, or where a state was taken."""
        self.run_dir, self.clock, self.meter = run_dir, clock, Meter()
        self.step, self.status = 0, "failed"
        self.signal: str | None = None
        self.broken: int | None = None  # first step since the last point that is not finite
        self.incident: int | None = None  # the first of the run; see `incident`
        if state is not None:
            self.load_state_dict(state)
        write_whole(run_dir / "config.yaml", self.config.encode())
        write_whole(run_dir / "architecture.txt", self.architecture.encode())
        cards = {tag: card for measure in self.evaluators for tag, card in measure.cards.items()}
        cards["speed/steps_per_second"] = self.settings.card_of_speed(self.facts["device"])
        start = None if state is None else self.step
        self.log = RunLog(run_dir, keep_before=start, cards=cards, training=self.settings.card)
        self.history = self.log.points

    def begin(self) -> None:
        """What a run shows and saves before its first step, or once more where it continues."""
        if self.step:
            self.broken = self.meter.broken(self.step)
            self.tick()
            return
        shown = {"config": self.config, "architecture": self.architecture}
        self.log.opening(**shown, hyperparameters=self.hyperparameters)
        self._paint()
        self._save()
        self.prune()

    @property
    def running(self) -> bool:
        """Whether there are steps to take, and nothing forbids them."""
        return self.step < self.settings.steps and not (self.signal or self.status == "diverged")

    def took_step(self, logs: Mapping[str, Tensor], signal: str | None) -> None:
        """Count a step; a run that has diverged stays where it was."""
        if self.status != "diverged":
            self.step += 1
            self.meter.add(logs)
            self.signal = signal

    @property
    def looks(self) -> bool:
        """Whether anything is due that reads the state."""
        due = bool(self.signal) or any(self._due(every) for every in self.settings.intervals)
        return due and self.status != "diverged"

    @property
    def evaluates(self) -> bool:
        """Whether the evaluators are due."""
        return self._due(self.settings.evaluate_every)

    def save(self) -> None:
        """Write the checkpoint of this step, if one is due."""
        if self.status != "diverged" and (self.signal or self._due(self.settings.checkpoint_every)):
            self._save()

    def prune(self) -> None:
        """Remove the checkpoints that are not to be kept."""
        prune(self.run_dir, keep=self.settings.keep_checkpoints)

    def tick(self) -> dict[str, float]:
        """Log, measure and paint what is due; returns the values of a new point."""
        settings, ends_early = self.settings, self.signal or self.status == "diverged"
        due = self.evaluates or self._due(settings.log_every) or ends_early
        values = self._write_point(evaluate=self.evaluates) if due else {}
        if self._due(settings.sample_every) and self.status != "diverged":
            self._paint()
        return values

    def stop_at_once(self, signal: str) -> None:
        """Write what is known, without another checkpoint."""
        self.status, self.signal = "interrupted", signal
        self.broken = self.meter.broken(self.step)
        self._write_point(evaluate=False)

    def end(self) -> None:
        """The loop has ended as it should."""
        if self.status != "diverged":
            self.status = "completed" if self.step == self.settings.steps else "interrupted"

    def close(self) -> dict[str, Any]:
        """Write and return the summary."""
        summary = {
            "status": self.status,
            "signal": self.signal,
            "steps": self.step,
            "seconds": self.clock.report(),
            "final": self.log.final,
            "best": self.log.best,
            "health": {**self.health.describe(), "incident": self.incident},
            **self.facts,
            "accelerate": self.mode.describe(),
            "settings": asdict(self.settings),
        }
        write_json(self.run_dir / "summary.json", summary)
        self.log.ending(self.status)
        return summary

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _write_point(self, *, evaluate: bool) -> dict[str, float]:
        with self.clock("update"):  # an accelerator may still be at work on it
            values: dict[str, float] = self.meter.read()  # the one synchronisation with the device
        if not values:
            return {}
        if evaluate:
            with self.clock("metrics"):
                values |= self.measure()
        if speed := self.clock.steps_per_second(self.step):
            values["speed/steps_per_second"] = speed
        values |= self.health.see(self.step, values, self.broken)
        if self.health.diverged and self.settings.on_diverged == "stop":
            self.status = "diverged"
        with self.clock("log"):
            self.log.scalars(self.step, values)
        best = self.log.best.get(self.settings.best_by or "", {}).get("step") == self.step
        if best and self.broken is None:
            with self.clock("checkpoints"):
                save_checkpoint(best_path(self.run_dir), self.state_dict())
        return values

    def measure(self) -> dict[str, float]:
        """What the evaluators say of the players as they stand."""
        view = self._view()
        return {tag: v for evaluate in self.evaluators for tag, v in evaluate(view).items()}

    def _view(self) -> View:
        nets, z, size = self.nets, self.noise, self.settings.batch_size
        raw, averaged = (generate(g, z, batch_size=size) for g in (nets.generator, nets.average))
        return View(nets, self.spec, self.heldout, raw, averaged, z, self.history)

    def _paint(self) -> None:
        with self.clock("pictures"):
            view = self._view()
            for name, painter in self.painters.items():
                if (picture := painter(view)) is not None:
                    self.log.picture(self.step, name, picture)
            if self.settings.histograms:
                self.log.histograms(self.step, self.nets.weights)

    def _save(self) -> None:
        if self.broken is not None and self.settings.on_diverged == "stop":
            self.status = "diverged"  # the last checkpoint is better than what there is now
            return
        with self.clock("checkpoints"):
            self.log.flush()
            save_checkpoint(checkpoint_path(self.run_dir, self.step), self.state_dict())

    def state_dict(self) -> State:
        """Everything that the rest of the run depends on."""
        return {
            **trained_state(self),
            "shape": list(self.spec.shape),
            "n_classes": self.spec.n_classes,
            "mode": self.mode.state_dict(),
            "replicas": self.replicas,
            "meter": self.meter.state_dict(),
            "health": self.health.state_dict(),
            "incident": self.incident,
            "seconds": self.clock.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue where `state` was taken."""
        load_trained_state(self, state)
        self.mode.load_state_dict(state["mode"])
        self.meter.load_state_dict(state["meter"])
        self.health.load_state_dict(state["health"])
        self.incident = state["incident"]
        self.clock.load_state_dict(state["seconds"], step=self.step)

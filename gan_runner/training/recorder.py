"""The files of one run: log, metrics, plots, checkpoints, health and summary.

A step hands over device tensors and nothing is computed. On a tick, and only then, numbers come to
the host, metrics are computed, plots drawn and checkpoints written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_runner.core import Nets, Snapshot, StateDict
from gan_runner.runs.checkpoint import (
    best_path,
    checkpoint_path,
    fits_config,
    prune,
    save_checkpoint,
)
from gan_runner.runs.files import atomic_write
from gan_runner.runs.layout import CONFIG, DATA, SUMMARY
from gan_runner.runs.log import Meter, RunLog, write_json
from gan_runner.runs.within import within
from gan_runner.training.run_spec import RunSpec
from gan_runner.training.sampling import generate
from gan_runner.training.schedule import Schedule
from gan_runner.training.timer import PhaseTimer


class Recorder:
    """Everything that one run writes into its directory.

    Args:
        run: the facts of the run.
        run_dir: of this run alone.
        schedule: what is due at which step.
        timer: charged with the phases "metrics", "plots", "log" and "checkpoints".
        step: at which the run starts.
        state: the checkpoint that the run continues from, None for a new one.

    Attributes:
        step: the last one that belongs to this run; a diverged replica stays behind the engine.
        status: "failed" until the run ends, then "completed", "interrupted" or "diverged".
        first_nonfinite_step: since the last point of the log; None: all losses were finite.
        incident: the first such step of the whole run; see `replay`.
    """

    def __init__(
        self,
        run: RunSpec,
        run_dir: Path,
        schedule: Schedule,
        timer: PhaseTimer,
        *,
        step: int,
        state: StateDict | None = None,
    ) -> None:
        self.run, self.run_dir, self.schedule, self.timer = run, run_dir, schedule, timer
        self.meter, self.step, self.status = Meter(), step, "failed"
        self.first_nonfinite_step: int | None = None
        self.incident: int | None = None
        if state is not None:
            self._load_state(state)
        atomic_write(run_dir / CONFIG, run.config.encode())
        atomic_write(run_dir / "architecture.txt", run.architecture.encode())
        write_json(run_dir / DATA, run.data)
        provenances = {
            tag: provenance
            for metric in run.metrics
            for tag, provenance in metric.provenance.items()
        }
        provenances["speed/steps_per_second"] = run.settings.provenance_of_speed(
            run.facts["device"]
        )
        self.log = RunLog(
            run_dir,
            keep_before=None if state is None else step,
            provenance=provenances,
            training=run.settings.provenance,
        )

    @property
    def is_active(self) -> bool:
        """False once the run has diverged and was told to stop there."""
        return self.status != "diverged"

    def begin(self, nets: Nets, state: StateDict, *, resumed: bool) -> None:
        """Write what precedes the first step, or repeat the tick that the checkpoint precedes."""
        if resumed:
            self._look_for_nonfinite_step()
            self.tick(nets, state)
            return
        run = self.run
        self.log.opening(
            config=run.config, architecture=run.architecture, hyperparameters=run.hyperparameters
        )
        self._draw(nets)
        self._save(state)
        self.prune()

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Take in the logs of one step; nothing waits for the device."""
        if self.is_active:
            self.step += 1
            self.meter.add(logs)

    def find_nonfinite_step(self) -> int | None:
        """Return the first non-finite step of the whole run, if it is among those since the log."""
        if not self.is_active:
            return None
        self._look_for_nonfinite_step()
        if self.first_nonfinite_step is None or self.incident is not None:
            return None
        self.incident = self.first_nonfinite_step
        return self.incident

    def checkpoint(self, state: StateDict) -> None:
        """Write the checkpoint of this step, if one is due."""
        if self.is_active and self.schedule.saves(self.step):
            self._save(state)

    def prune(self) -> None:
        """Remove the checkpoints that are not to be kept."""
        prune(self.run_dir, keep=self.run.settings.keep_checkpoints)

    def tick(self, nets: Nets, state: StateDict) -> dict[str, float]:
        """Log, measure and draw what is due; return the values of a new point."""
        evaluates = self.schedule.evaluates(self.step)
        due = evaluates or self.schedule.logs(self.step) or not self.is_active
        values = self.meter.read() if due else {}
        if values:
            if evaluates:
                with self.timer("metrics"):
                    costly = self.schedule.evaluates_costly(self.step)
                    values |= measure(self.run, nets, self.log.points, costly=costly)
            self._write_point(values)
            self._save_best(state)
        if self.schedule.draws(self.step) and self.is_active:
            self._draw(nets)
        return values

    def stop_at_once(self) -> None:
        """Write the last point, without metrics and without another checkpoint."""
        self.status = "interrupted"
        self._look_for_nonfinite_step()
        if values := self.meter.read():
            self._write_point(values)

    def end(self) -> None:
        """Settle the status of a run whose loop has ended."""
        if self.is_active:
            completed = self.step >= self.run.settings.steps
            self.status = "completed" if completed else "interrupted"

    def close(self, mode: Mapping[str, Any]) -> dict[str, Any]:
        """Write and return the summary; `mode` says how the iterations were executed."""
        summary = {
            "status": self.status,
            "signal": self.schedule.signal,
            "steps": self.step,
            "seconds": self.timer.report(),
            "final": self.log.final,
            "best": self.log.best,
            "health": {**self.run.health.summary(), "incident": self.incident},
            **self.run.facts,
            "accelerate": mode,
            "settings": asdict(self.run.settings),
        }
        write_json(self.run_dir / SUMMARY, summary)
        self.log.ending(self.status)
        return summary

    def _look_for_nonfinite_step(self) -> None:
        """Set the first step since the last point that is not finite."""
        with self.timer("update"):  # a tick's one synchronisation: a GPU may still be at work
            self.first_nonfinite_step = self.meter.first_nonfinite_step(self.step)

    def _write_point(self, values: dict[str, float]) -> None:
        """Add speed and health to the values of a point, and write it."""
        if speed := self.timer.steps_per_second(self.step):
            values["speed/steps_per_second"] = speed
        health = self.run.health
        values |= health.update(self.step, values, self.first_nonfinite_step)
        if health.diverged and self.run.settings.on_diverged == "stop":
            self.status = "diverged"
        with self.timer("log"):
            self.log.scalars(self.step, values)

    def _save_best(self, state: StateDict) -> None:
        tag = self.run.settings.checkpoint_metric or ""
        is_best = self.log.best.get(tag, {}).get("step") == self.step
        if is_best and self.first_nonfinite_step is None:
            with self.timer("checkpoints"):
                path = within(self.run_dir, best_path(self.run_dir))
                save_checkpoint(path, self._with_own(state))

    def _draw(self, nets: Nets) -> None:
        with self.timer("plots"):
            snapshot = snapshot_of(self.run, nets, self.log.points)
            for name, plot in self.run.plots.items():
                if (picture := plot(snapshot)) is not None:
                    self.log.picture(self.step, name, picture)
            if self.run.settings.histograms:
                self.log.histograms(self.step, nets.weights)

    def _save(self, state: StateDict) -> None:
        if self.first_nonfinite_step is not None and self.run.settings.on_diverged == "stop":
            self.status = "diverged"  # the last checkpoint is better than the present state
            return
        with self.timer("checkpoints"):
            self.log.flush()
            path = within(self.run_dir, checkpoint_path(self.run_dir, self.step))
            save_checkpoint(path, self._with_own(state))

    def _with_own(self, state: StateDict) -> StateDict:
        """Add to the engine's state of this run what its record depends on."""
        return {
            **state,
            "shape": list(self.run.spec.shape),
            "n_classes": self.run.spec.n_classes,
            "replicas": self.run.replicas,
            "meter": self.meter.state_dict(),
            "health": self.run.health.state_dict(),
            "incident": self.incident,
            "seconds": self.timer.state_dict(),
        }

    def _load_state(self, state: StateDict) -> None:
        """Restore meter and health.

        Raises:
            ValueError: the checkpoint is not of a run with this health.
        """
        with fits_config(self.run_dir):
            self.meter.load_state_dict(state["meter"])
            self.run.health.load_state_dict(state["health"])
            self.incident = state["incident"]


def measure(
    run: RunSpec, nets: Nets, history: Sequence[Mapping[str, Any]] = (), *, costly: bool = True
) -> dict[str, float]:
    """Return the metrics of a run's networks as they stand, by tag.

    Without `costly`, metrics with a true attribute `is_costly` are left out. A recorder takes them
    in at each tenth evaluation and at the last step.
    """
    snapshot = snapshot_of(run, nets, history)
    due = [m for m in run.metrics if costly or not getattr(m, "is_costly", False)]
    return {tag: v for metric in due for tag, v in metric(snapshot).items()}


def snapshot_of(run: RunSpec, nets: Nets, history: Sequence[Mapping[str, Any]] = ()) -> Snapshot:
    """Draw the samples that metrics and plots look at, from the run's fixed noise."""
    raw, averaged = (
        generate(network, run.noise, batch_size=run.settings.batch_size)
        for network in (nets.generator, nets.generator_ema)
    )
    return Snapshot(nets, run.spec, run.heldout, raw, averaged, run.noise, history)

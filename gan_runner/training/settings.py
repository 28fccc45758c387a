"""The keys of the trainer group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from gan_runner.training.accelerate import Accelerate
from gan_runner.training.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Length, rhythm, precision and execution of a run.

    Attributes:
        steps: generator iterations.
        batch_size: samples of a batch.
        generator_batch_multiple: generator's batches of samples, as a multiple of `batch_size`.
        dequantize: add noise within one grey level to training images; see `data.transforms`.
        horizontal_flips: mirror half of the training images.
        precision: of convolutions and matrix products; see `precision.resolve_precision`.
        accelerate: how an iteration is executed; see `accelerate`.
        replicas: number of runs, with seeds seed, seed + 1, ..., that train as one; see `replicas`.
        replica_lrs: learning rate of each replica, for both players; None: the optimizer's.
        ema_decay: of the generator's moving average; 0 makes it a copy.
        log_every: steps between points of the curves.
        evaluate_every: steps between evaluations of the metrics.
        sample_every: steps between plots.
        histograms: write histograms of all weights to TensorBoard with the plots.
        checkpoint_every: steps between checkpoints.
        num_eval_samples: held-out and generated samples that metrics see, at most.
        keep_checkpoints: number of regular checkpoints that stay on disk; `gan-verify` needs two.
        checkpoint_metric: tag whose best value selects the checkpoint `best.pt`; auto is
            the most telling one that the run measures (see `runs.tags.DECIDING`), or None where it
            measures none of them: then none is kept.
        on_diverged: stop a run whose health is "diverged", with finite weights in its last
            checkpoint; or continue to the last step. Both write `diverged.pt`; see `replay`.
    """

    steps: Annotated[int, Ge(0)] = 2500
    batch_size: Annotated[int, Gt(0)] = 64
    generator_batch_multiple: Annotated[int, Ge(1)] = 1
    dequantize: bool = False
    horizontal_flips: bool = False
    precision: Precision = "auto"
    accelerate: Accelerate = "auto"
    replicas: Annotated[int, Ge(1)] = 1
    replica_lrs: list[Annotated[float, Gt(0)]] | None = None
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.999
    log_every: Annotated[int, Gt(0)] = 50
    evaluate_every: Annotated[int, Gt(0)] = 250
    sample_every: Annotated[int, Gt(0)] = 500
    histograms: bool = False
    checkpoint_every: Annotated[int, Gt(0)] = 1000
    num_eval_samples: Annotated[int, Ge(8)] = 1000
    keep_checkpoints: Annotated[int, Ge(1)] = 2
    checkpoint_metric: str | None = "auto"
    on_diverged: Literal["stop", "continue"] = "stop"

    @property
    def intervals(self) -> tuple[int, ...]:
        """Return the intervals of everything that reads the state of a run."""
        return self.log_every, self.evaluate_every, self.sample_every, self.checkpoint_every

    @property
    def provenance(self) -> dict[str, Any]:
        """Return the provenance of training's logs: means over the steps since the last point."""
        about = {"reference": "training batches", "generator": "raw"}
        return {**about, "batch": self.batch_size, "window": self.log_every}

    def provenance_of_speed(self, device: str) -> dict[str, Any]:
        """Return the provenance of the speed of training."""
        return {**self.provenance, "device": device, "better": "higher"}

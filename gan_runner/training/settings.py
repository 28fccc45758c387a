"""The keys of the trainer group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from gan_runner.training.accelerate import Accelerate
from gan_runner.training.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long, how often and how fast.

    Attributes:
        steps: generator iterations.
        batch_size: samples of a batch.
        precision: of convolutions and matrix products; see `precision.resolve_precision`.
        accelerate: how an iteration is executed; see `accelerate`.
        replicas: runs with the seeds seed, seed + 1, ... that are trained as one; see `replicas`.
        replica_lrs: learning rate of each replica, for both players; None: the optimizer's.
        ema_decay: of the averaged generator; 0 makes it a copy.
        log_every: steps between points of the curves.
        evaluate_every: steps between runs of the evaluators.
        sample_every: steps between pictures.
        histograms: show those of all weights in TensorBoard, as often.
        checkpoint_every: steps between checkpoints.
        num_eval_samples: held-out and generated samples that evaluators see, at most.
        keep_checkpoints: how many of the regular ones stay on disk; `gan-verify` needs two.
        checkpoint_metric: the scalar whose best value decides which checkpoint is kept as
            `best.pt`; auto is `jsd/probe`, and None where that is not measured: then none is kept.
        on_diverged: what a run does whose health is "diverged": stop at that point, its last
            checkpoint being one of finite weights; or continue to the last step, saving what there
            is. `diverged.pt` is written in either case; see `replay`.
    """

    steps: Annotated[int, Ge(0)] = 2500
    batch_size: Annotated[int, Gt(0)] = 64
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
        """Steps between all that looks at a run."""
        return self.log_every, self.evaluate_every, self.sample_every, self.checkpoint_every

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the numbers that training logs: means over the steps since the last point."""
        about = {"reference": "training batches", "generator": "raw"}
        return {**about, "batch": self.batch_size, "window": self.log_every}

    def provenance_of_speed(self, device: str) -> dict[str, Any]:
        """What made the speed of training."""
        return {**self.provenance, "device": device, "better": "higher"}

"""The generators of a Bayesian run as one mixture over the checkpoints of its chain."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from gan_runner.models.ensemble import Generator
from gan_runner.objectives.bayesian import BayesianObjective
from gan_runner.restore import TrainedModel, load
from gan_runner.runs.layout import checkpoint_steps
from gan_runner.runs.read import saved_config


def load_mixture(run_dir: Path, *, checkpoint: str = "auto", **options: Any) -> TrainedModel:
    """Load the networks to draw samples from.

    A posterior is the whole chain (Saatci & Wilson 2017, section 2.2): under "auto", the generators
    of a Bayesian run are those of all kept checkpoints after the warm-up, each with equal weight.

    Args:
        run_dir: of a run, or the file or folder of an exported generator.
        checkpoint: "last", "best", a step; or "auto", the chain of a Bayesian run, else "last".
        options: other arguments of `restore.load`.

    Raises:
        ValueError: as `restore.load`.
    """
    model = load(run_dir, checkpoint="last" if checkpoint == "auto" else checkpoint, **options)
    is_chain = isinstance(model.objective, BayesianObjective) and model.critic is not None
    if checkpoint != "auto" or not is_chain:
        return model
    first, last = _warm_up(run_dir), model.facts["step"]
    earlier = [step for step in checkpoint_steps(run_dir) if first < step < last]
    if not earlier:
        warnings.warn(
            f"{run_dir}: one checkpoint of the chain is kept, and its generators alone are mixed;"
            " set trainer.keep_checkpoints and trainer.checkpoint_every for more",
            stacklevel=2,
        )
        return model
    models = [model, *(load(run_dir, checkpoint=str(step), **options) for step in earlier[::-1])]
    members = [member for one in models for member in _members(one.generator)]
    facts = {**model.facts, "checkpoint": f"{len(models)} of the chain"}
    return model._replace(generator=Generator(members).eval(), facts=facts)


def _warm_up(run_dir: Path) -> int:
    """Return the steps that precede the chain."""
    optimizer = saved_config(run_dir).get("optimizer", {}).get("generator", {})
    return int(optimizer.get("warm_up", 0))


def _members(generator: nn.Module) -> list[nn.Module]:
    return list(generator.members) if isinstance(generator, Generator) else [generator]

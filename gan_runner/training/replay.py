"""The first step with a non-finite loss, found afterwards by replaying from the last checkpoint.

Training does not wait for the device to check each loss. When a point of the log shows a loss that
is not finite, the weights of that step are overwritten, and its batch is gone. But a run is a
function of its state: the steps since the last checkpoint are taken again, up to the step in
question, and its inputs are written down. Then the run is put back. On a CPU the replay is exact,
bit for bit. On a GPU it is with `deterministic=true`; otherwise sums may be rounded in another
order, and the loss may be finite this time: the file then says so, and a warning.

`diverged.pt` in the run directory is read like a checkpoint (`checkpoint.load_checkpoint`):

    step        steps taken before the one in question
    generator, critic, average, generator_optimizer, critic_optimizer, stream, random, mode
                the state before it: after `Engine.load_state_dicts` the step repeats
    batches     of each critic update: x (N, *shape) as the critic is given it, y (N,) or None
    noise       of each critic update, then of the generator's: z (N, latent_dim)
    logs        losses and norms of gradients of the repeated step, by tag
    repeated    whether one of these was not finite again
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_runner.core import Batch, Latent, StateDict
from gan_runner.runs.checkpoint import load_latest, save_checkpoint
from gan_runner.runs.within import within
from gan_runner.training.engine import EngineLike
from gan_runner.training.recorder import Recorder


def diverged_path(run_dir: Path) -> Path:
    """Return the file that describes the first step with a non-finite loss."""
    return run_dir / "diverged.pt"


def save_nonfinite_steps(engine: EngineLike, recorders: Sequence[Recorder]) -> None:
    """Write diverged.pt for each run whose first non-finite loss lies since the last point."""
    runs_by_step: dict[int, list[int]] = {}
    for k, recorder in enumerate(recorders):
        if (step := recorder.find_nonfinite_step()) is not None:
            runs_by_step.setdefault(step, []).append(k)
    if runs_by_step:
        with engine.timer("health"):
            _replay(engine, recorders, runs_by_step)


def _replay(
    engine: EngineLike, recorders: Sequence[Recorder], runs_by_step: Mapping[int, Sequence[int]]
) -> None:
    """Repeat the steps since the last checkpoint; write down those in question."""
    present, spent = copied(engine.state_dicts()), dict(engine.timer.spent)
    try:
        engine.load_state_dicts(_last_saved(recorders, present))
        while engine.step < max(runs_by_step):
            if engine.step + 1 in runs_by_step:
                _take_and_save(engine, recorders, runs_by_step[engine.step + 1])
            else:
                engine.train_step()
    except ValueError as error:
        warnings.warn(f"the first non-finite step cannot be replayed: {error}", stacklevel=2)
    finally:
        engine.load_state_dicts(present)
        engine.timer.spent = spent


def _last_saved(recorders: Sequence[Recorder], present: Sequence[StateDict]) -> list[StateDict]:
    """Return the last checkpoints of the runs that go on; the others only take part."""
    active = [k for k, recorder in enumerate(recorders) if recorder.is_active]
    saved = load_latest([recorders[k].run_dir for k in active])
    common = {key: saved[0][key] for key in ("step", "random", "mode")}
    by_run = dict(zip(active, saved, strict=True))
    return [by_run.get(k, {**state, **common}) for k, state in enumerate(present)]


def _take_and_save(engine: EngineLike, recorders: Sequence[Recorder], runs: Sequence[int]) -> None:
    """Take one step, and write down its inputs for some of the runs."""
    before = copied(engine.state_dicts())
    game = engine.game
    batches: list[Batch] = []
    noise: list[Latent] = []
    engine.game = replace(
        game, to_batch=_taped(game.to_batch, batches), prior=_taped(game.prior, noise)
    )
    engine.mode.stale = True  # a captured graph would neither serve nor draw where we can see it
    try:
        logs = engine.train_step()
    finally:
        engine.game = game
    for k in runs:
        row = k if game.batch_dim else None
        values = {tag: value.item() for tag, value in logs[k].items()}
        inputs = {
            "batches": [{"x": _of_run(b.x, row), "y": _of_run(b.y, row)} for b in batches],
            "noise": [_of_run(latent.z, row) for latent in noise],
            "logs": values,
            "repeated": not all(map(isfinite, values.values())),
        }
        _save(recorders[k].run_dir, {**before[k], **inputs})


def _of_run(stacked: Tensor | None, row: int | None) -> Tensor | None:
    """Return the part of one replica; all of it where there is one run."""
    return stacked if stacked is None or row is None else stacked[row]


def _save(run_dir: Path, state: StateDict) -> None:
    path = within(run_dir, diverged_path(run_dir))
    if not state["repeated"]:
        warnings.warn(
            f"{path}: step {state['step'] + 1} was not finite, but is when it is repeated; on a GPU"
            " set deterministic=true",
            stacklevel=2,
        )
    save_checkpoint(path, state)


def _taped(function: Callable[..., Any], tape: list[Any]) -> Callable[..., Any]:
    """Return the same function, with each of its results appended to a tape."""

    def taped(*args: Any) -> Any:
        tape.append(function(*args))
        return tape[-1]

    return taped


def copied(value: Any) -> Any:
    """Return the same nested values, with tensors of their own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    return type(value)(map(copied, value)) if isinstance(value, list | tuple) else value

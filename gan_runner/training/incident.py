"""The first step whose loss is not finite: what it was made of, found by repeating it.

Training does not wait for the device to see whether each loss is finite. So when a point of the log
shows one that is not, its weights have been overwritten and its batch is gone. But a run is a
function of its state: from a copy of the state of some steps before, the steps are taken again, up
to the one in question, and what it is made of is written down before it is taken. Then the run is
put back to where it was. On a CPU the repetition is exact, bit for bit. On a GPU it is with
`deterministic=true`; otherwise sums may be rounded in another order, and a loss that was not finite
may be finite this time: the file then says so, and a warning.

`diverged.pt` in the run directory is read like a checkpoint (`checkpoint.load_checkpoint`):

    step        steps taken before the one in question
    generator, critic, average, generator_optimizer, critic_optimizer, stream, random
                the state before it: put back with `state.load_trained_state`, the step repeats
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
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gan_runner.core import Batch, Latent, State
from gan_runner.training.checkpoint import save_checkpoint
from gan_runner.training.state import copied, load_trained_state, trained_state

if TYPE_CHECKING:
    from gan_runner.training.loop import Crew
    from gan_runner.training.trainer import Trainer

_APART = 50  # steps between copies at least: the copying is then lost in the steps


def incident_path(run_dir: Path) -> Path:
    """Where the first step is described whose loss is not finite."""
    return run_dir / "diverged.pt"


class Recorder:
    """Keeps a copy of a crew's state to repeat steps from: on the device, and as large as the run.

    Args:
        crew: whose steps may have to be repeated.
    """

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.kept: list[State] = []

    def keep(self) -> None:
        """Copy the state, if the last copy is old."""
        step = max(run.step for run in self.crew.runs)
        if not self.kept or step - max(state["step"] for state in self.kept) >= _APART:
            self.kept = []  # room for the new one
            self.kept = _states(self.crew)

    def investigate(self) -> None:
        """See whether all losses since the last point are finite; save the first that is not."""
        found: dict[int, list[Trainer]] = {}
        for run in self.crew.runs:
            if run.status == "diverged":
                continue
            run.broken = run.meter.broken(run.step)
            if run.broken is not None and run.incident is None:
                run.incident = run.broken
                found.setdefault(run.broken, []).append(run)
        if found:
            now = _states(self.crew)
            try:
                self._repeat(found)
            finally:
                _put(self.crew, now)
                self.kept = []  # optimizers have gone on with its tensors

    def _repeat(self, found: Mapping[int, Sequence[Trainer]]) -> None:
        """Take the steps again up to the last of `found`, and save those on the way."""
        crew = self.crew
        moving = [run for run in crew.runs if run.status != "diverged"]
        _put(crew, self.kept)
        for step in range(moving[0].step + 1, max(found) + 1):
            if step in found:
                _take_and_save(crew, found[step])
            else:
                crew.advance(crew.picks())
            for run in moving:
                run.step = step


def _take_and_save(crew: Crew, runs: Sequence[Trainer]) -> None:
    """Take one step, and write down what it is made of for each of some runs."""
    crew.publish()
    before = {run: copied(trained_state(run)) for run in runs}
    game = crew.game
    batches: list[Batch] = []
    noise: list[Latent] = []
    crew.game = replace(game, serve=_taped(game.serve, batches), prior=_taped(game.prior, noise))
    crew.mode.moved = True  # a captured graph would neither serve nor draw where we can see it
    try:
        logs = crew.advance(crew.picks())
    finally:
        crew.game = game
    for k, run in enumerate(crew.runs):
        if run not in before:
            continue
        row = k if game.batch_dim else None
        values = {tag: value.item() for tag, value in logs[k].items()}
        made = {
            "batches": [{"x": _its(b.x, row), "y": _its(b.y, row)} for b in batches],
            "noise": [_its(latent.z, row) for latent in noise],
            "logs": values,
            "repeated": not all(map(isfinite, values.values())),
        }
        _save(run, {**before[run], **made})


def _its(stacked: Tensor | None, row: int | None) -> Tensor | None:
    """What belongs to one replica; all of it where there is one run."""
    return stacked if stacked is None or row is None else stacked[row]


def _save(run: Trainer, state: State) -> None:
    path = incident_path(run.run_dir)
    if not state["repeated"]:
        warnings.warn(
            f"{path}: step {state['step'] + 1} was not finite, but is when it is repeated; on a GPU"
            " set deterministic=true",
            stacklevel=2,
        )
    save_checkpoint(path, state)


def _taped(function: Callable[..., Any], tape: list[Any]) -> Callable[..., Any]:
    """The same function; what it returns is written down."""

    def taped(*args: Any) -> Any:
        tape.append(function(*args))
        return tape[-1]

    return taped


def _states(crew: Crew) -> list[State]:
    crew.publish()
    return [copied(trained_state(run)) for run in crew.runs]


def _put(crew: Crew, states: Sequence[State]) -> None:
    for run, state in zip(crew.runs, states, strict=True):
        load_trained_state(run, state)
    crew.adopt()

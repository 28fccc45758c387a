"""Several runs of one small model, trained as one: their parameters are stacked.

A small network leaves a processor waiting for Python and for memory. `torch.func.vmap` runs K of
them in the kernels of one, with batched matrix products. Each replica stays a run of its own: seed,
learning rate, batches, log, measures, checkpoints. Its tensors are views of the stacked ones, so
nothing is copied when it is looked at.

A replica takes the steps of a run by itself: from the same weights, batches and noise, the same
to the rounding of float32. But noise comes from one source for all, so its curves are those of
one more run from the same distribution, not the curves of that seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, autograd, nn
from torch.func import vmap
from torch.optim import Optimizer

from gan_runner.core import Batch, Latent, Pick, State
from gan_runner.data.stream import Stream
from gan_runner.files import write_whole
from gan_runner.training.log import write_json
from gan_runner.training.loop import fit_together
from gan_runner.training.state import Average, tensors_of
from gan_runner.training.trainer import Trainer
from gan_runner.training.update import (
    Game,
    Gradients,
    Logs,
    LossFunction,
    Player,
    Plays,
    Side,
    assign,
)


class StackedPlayer:
    """K players of one architecture as one: each of their tensors lies in one tensor (K, ...).

    Called with (K, N, ...), it gives (K, N, ...): each network on its own rows.
    """

    def __init__(self, players: Sequence[Plays]) -> None:
        assert isinstance(players[0], Player)
        self.one, self.by_row = players[0], players[0].by_row
        self.networks = [player.networks[0] for player in players]
        self.parameters = [
            nn.Parameter(stack) for stack in _stack([list(n.parameters()) for n in self.networks])
        ]
        self.buffers = _stack([list(n.buffers()) for n in self.networks])
        network = self.one.network
        names = [
            n for named in (network.named_parameters(), network.named_buffers()) for n, _ in named
        ]
        self.weights = dict(zip(names, [*self.parameters, *self.buffers], strict=True))
        self.parts = [(slice(None), self.parameters)]

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Each network on its own rows."""
        call = vmap(lambda weights, *inputs: self.one.using(weights)(*inputs))
        return call(self.weights, x) if y is None else call(self.weights, x, y)

    def assign(self, gradients: Gradients) -> None:
        """Hand gradients to the stacked optimizer."""
        for rows, parameters in self.parts:
            assign(parameters, [gradient[rows] for gradient in gradients])


class StackedOptimizer:
    """The optimizers of K players as one of the same kind, a group for each setting in use.

    Gradient methods work number by number, so that stacked parameters take the steps they would
    take alone.

    Args:
        optimizers: one a replica, each with a single group, alike but for numbers such as `lr`.
        player: whose parts are set to what the groups move.
    """

    def __init__(self, optimizers: Sequence[Optimizer], player: StackedPlayer) -> None:
        self.optimizers = optimizers
        settings = [
            {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
            for optimizer in optimizers
        ]
        self.parts: list[tuple[slice, list[nn.Parameter]]] = []
        for _, equal in groupby(range(len(settings)), key=lambda k: repr(settings[k])):
            first, *rest = equal
            rows = slice(first, (rest[-1] if rest else first) + 1)
            self.parts.append((rows, [nn.Parameter(p.data[rows]) for p in player.parameters]))
        player.parts = self.parts
        groups = [{**settings[rows.start], "params": parts} for rows, parts in self.parts]
        self.stacked: Optimizer = type(optimizers[0])(groups)  # type: ignore[call-arg]

    def step(self) -> None:
        """One step of every replica."""
        self.stacked.step()

    def publish(self) -> None:
        """Give each replica's optimizer its part of the state, as views."""
        for rows, parameters in self.parts:
            for i, stacked in enumerate(parameters):
                state = self.stacked.state[stacked]
                for k, optimizer in enumerate(self.optimizers[rows]):
                    own = optimizer.param_groups[0]["params"][i]
                    optimizer.state[own] = {
                        name: value[k] if name != "step" and _like(value, stacked) else value
                        for name, value in state.items()
                    }

    def adopt(self) -> None:
        """Stack what the replicas' optimizers have loaded."""
        for rows, parameters in self.parts:
            for i, stacked in enumerate(parameters):
                states = [
                    optimizer.state[optimizer.param_groups[0]["params"][i]]
                    for optimizer in self.optimizers[rows]
                ]
                own = stacked[0]
                self.stacked.state[stacked] = {
                    name: torch.stack([state[name] for state in states])
                    if name != "step" and _like(value, own)
                    else value
                    for name, value in states[0].items()
                }


def _like(value: Any, parameter: Tensor) -> bool:
    """Whether an entry of an optimizer's state is one number for each of the parameter's."""
    return isinstance(value, Tensor) and value.shape == parameter.shape


class Pack:
    """K trainers that advance as one.

    Args:
        runs: alike in everything but seeds, data and learning rates; their networks' tensors become
            views.
        config: the configuration of the whole as YAML text.
    """

    def __init__(self, runs: Sequence[Trainer], *, config: str) -> None:
        self.runs, self.config = list(runs), config
        first = runs[0]
        self.opening = first.opening  # all have its architecture
        for run in runs:
            run.replicas = len(runs)
        self.settings, self.mode, self.iteration = first.settings, first.mode, first.iteration
        games = [run.game for run in runs]
        critic = StackedPlayer([game.critic for game in games])
        generator = StackedPlayer([game.generator for game in games])
        self.optimizers = [
            StackedOptimizer([run.optimizers["critic"] for run in runs], critic),
            StackedOptimizer([run.optimizers["generator"] for run in runs], generator),
        ]
        self.game = Game(
            critic=critic,
            generator=generator,
            objective=first.game.objective,
            critic_optimizer=self.optimizers[0],
            generator_optimizer=self.optimizers[1],
            prior=partial(_stacked_prior, games[0], len(games)),
            serve=partial(_stacked_serve, [run.stream for run in runs]),
            batch_size=first.game.batch_size,
            differentiate=partial(differentiate, critic, generator),
            batch_dim=1,
        )
        averages = _stack([tensors_of(run.nets.average) for run in runs])
        self.average = Average(
            averages, [*generator.parameters, *generator.buffers], decay=self.settings.ema_decay
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Of the first replica, with the seeds of all."""
        return {**self.runs[0].facts, "seed": [run.facts["seed"] for run in self.runs]}

    def fit(self, run_dir: Path, *, resume_from: Sequence[State] | None = None) -> dict[str, Any]:
        """Train into `run_dir/replica_K`, each a run directory; returns a summary of all.

        Its `status` is that of the replica that fared worst. See `Trainer.fit`.
        """
        folders = self.folders(run_dir)
        write_whole(run_dir / "config.yaml", self.config.encode())
        summaries = fit_together(self, folders, resume_from=resume_from)
        worst = min(summaries, key=lambda s: _WORST_FIRST.index(s["status"]))
        common = ("signal", "steps", "seconds", "settings", "accelerate", "versions", "device")
        each = ("status", "steps", "seed", "health", "final", "best")
        summary = {
            "status": worst["status"],
            **{key: worst[key] for key in common},
            "replicas": {
                folder.name: {key: its[key] for key in each}
                for folder, its in zip(folders, summaries, strict=True)
            },
        }
        write_json(run_dir / "summary.json", summary)
        return summary

    def folders(self, run_dir: Path) -> list[Path]:
        """The run directory of each replica."""
        return [run_dir / f"replica_{k}" for k in range(len(self.runs))]

    def picks(self) -> list[Pick]:
        """What the streams hand out for one iteration, stacked."""
        each = [run.picks() for run in self.runs]
        return [
            tuple(torch.stack(parts) for parts in zip(*picks, strict=True))
            for picks in zip(*each, strict=True)
        ]

    def advance(self, picks: Sequence[Pick]) -> list[Logs]:
        """One iteration of all; the logs of each."""
        step = max(run.step for run in self.runs)
        self.game.objective.begin(step)
        logs = self.iteration(self.game, picks)
        self.average.update(step)
        columns = zip(*(values.unbind() for values in logs.values()), strict=True)
        return [dict(zip(logs, column, strict=True)) for column in columns]

    def adopt(self) -> None:
        """Stack what the replicas have loaded; networks were loaded in place."""
        self.mode.moved = True
        for optimizer in self.optimizers:
            optimizer.adopt()

    def publish(self) -> None:
        """Show the replicas their optimizers' state."""
        for optimizer in self.optimizers:
            optimizer.publish()


Weights = dict[str, Tensor]
_WORST_FIRST = ("failed", "interrupted", "diverged", "completed")


def differentiate(
    critic: StackedPlayer,
    generator: StackedPlayer,
    loss: LossFunction,
    game: Game,
    side: Side,
    *inputs: Any,
) -> tuple[Logs, Gradients]:
    """As of `update.differentiate`, for K games at once: logs (K,), gradients (K, ...)."""

    def one(critics: Weights, generators: Weights, *its: Any) -> tuple[Tensor, Logs]:
        players = critic.one.using(critics), generator.one.using(generators)
        value = loss(game.objective, *players, *its)
        return value.total, value.logs

    dims = (0, 0, *map(_dims, inputs))
    vectorised = vmap(one, dims, randomness="different")
    totals, logs = vectorised(critic.weights, generator.weights, *inputs)
    # The replicas' losses have no weights in common: the gradient of their sum is that of each.
    mover = critic if side == "critic" else generator
    gradients = autograd.grad(totals.sum(), mover.parameters, materialize_grads=True)
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
    detached = {tag: value.detach() for tag, value in logs.items()}
    return detached | {f"grad_norm/{side}": norms.norm(dim=0)}, gradients


def _dims(value: Any) -> Any:
    """The batched dimension of everything in a Batch or a Latent: the first; None for None."""
    if isinstance(value, tuple):
        return type(value)(*map(_dims, value))
    return None if value is None else 0


def _stack(tensors: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Stack the k-th tensors of all, and make those views of the stack."""
    stacks = [torch.stack([t.detach() for t in same]) for same in zip(*tensors, strict=True)]
    for k, mine in enumerate(tensors):
        for tensor, stack in zip(mine, stacks, strict=True):
            tensor.data = stack[k]
    return stacks


def _stacked_prior(game: Game, replicas: int, count: int) -> Latent:
    """Noise for `count` samples of each replica, (K, N, latent_dim)."""
    return Latent(game.prior(replicas * count).z.unflatten(0, (replicas, count)))


def _stacked_serve(streams: Sequence[Stream], *pick: Tensor) -> Batch:
    """Batches of all replicas, (K, N, ...): at once, where they read the same table."""
    first = streams[0]
    if all(stream.table is first.table for stream in streams):
        return first.serve(*pick)
    its = zip(streams, *pick, strict=True)
    xs, ys, _ = zip(*(stream.serve(*parts) for stream, *parts in its), strict=True)
    return Batch(torch.stack(xs), None if ys[0] is None else torch.stack(ys))

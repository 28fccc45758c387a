"""Replicas: several runs of one small model that train as one, with stacked parameters.

A small network leaves a processor waiting for Python and for memory. `torch.func.vmap` runs K of
them in the kernels of one, with batched matrix products. Each replica stays a run of its own: seed,
learning rate, batches, log, metrics, checkpoints. Its tensors are views of the stacked ones, so
reading them copies nothing.

From the same weights, batches and noise, a replica takes the steps of a single run to the rounding
of float32. But all replicas draw their noise from one source. So the curves of a replica are not
those of a single run with that seed, but of one more run from the same distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, autograd, nn
from torch.func import vmap

from gan_runner.core import Batch, Latent, Nets, RowIndices, StateDict
from gan_runner.data.stream import Stream
from gan_runner.training.ema import EMA, tensors_of
from gan_runner.training.engine import Engine
from gan_runner.training.game import (
    Game,
    Gradients,
    Logs,
    LossFunction,
    Player,
    PlayerLike,
    PlayerName,
    assign,
)
from gan_runner.training.run_spec import RunSpec
from gan_runner.training.stacked_optimizer import StackedOptimizer


class StackedPlayer:
    """K players of one architecture, with each tensor stacked into one of shape (K, ...).

    A call maps (K, N, ...) to (K, N, ...): each network sees its own rows.
    """

    def __init__(self, players: Sequence[PlayerLike]) -> None:
        assert isinstance(players[0], Player)
        self.one, self.is_per_sample = players[0], players[0].is_per_sample
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
        """Apply each network to its own rows."""
        call = vmap(lambda weights, *inputs: self.one.with_weights(weights)(*inputs))
        return call(self.weights, x) if y is None else call(self.weights, x, y)

    def assign(self, gradients: Gradients) -> None:
        """Hand gradients to the stacked optimizer."""
        for rows, parameters in self.parts:
            assign(parameters, [gradient[rows] for gradient in gradients])


class StackedEngine:
    """K engines that step as one; the same four methods as `Engine`.

    Args:
        engines: alike in everything but seeds, data and learning rates; the tensors of their
            networks become views of the stacked ones.
        config: the configuration of all runs as YAML text.
    """

    def __init__(self, engines: Sequence[Engine], *, config: str) -> None:
        self.engines, self.config = list(engines), config
        first, count = engines[0], len(engines)
        self.runs: Sequence[RunSpec] = [
            replace(engine.runs[0], folder=f"replica_{k}", replicas=count)
            for k, engine in enumerate(engines)
        ]
        self.mode, self.iteration, self.timer = first.mode, first.iteration, first.timer
        self.step = 0
        games = [engine.game for engine in engines]
        critic = StackedPlayer([game.critic for game in games])
        generator = StackedPlayer([game.generator for game in games])
        self.optimizers = []
        for name, player in {"critic": critic, "generator": generator}.items():
            optimizers = [engine.optimizers[name] for engine in engines]
            self.optimizers.append(StackedOptimizer(optimizers, player.parameters))
            player.parts = self.optimizers[-1].parts
        own = [*generator.parameters, *generator.buffers]
        averages = [
            EMA(_stack([tensors_of(e.average_networks[i]) for e in engines]), own, decay=ema.rule)
            for i, ema in enumerate(first.game.averages)
        ]
        self.game = Game(
            critic=critic,
            generator=generator,
            objective=first.game.objective,
            critic_optimizer=self.optimizers[0],
            generator_optimizer=self.optimizers[1],
            prior=partial(_stacked_prior, games[0], count),
            to_batch=partial(_stacked_batches, [engine.stream for engine in engines]),
            batch_size=first.game.batch_size,
            differentiate=partial(differentiate, critic, generator),
            batch_dim=1,
            generator_batch_multiple=first.game.generator_batch_multiple,
            averages=averages,
        )

    def train_step(self) -> list[Logs]:
        """Take one iteration of all; return the logs of each."""
        with self.timer("data"):
            batches = self.next_batches()
        with self.timer("update"):
            self.game.objective.set_step(self.step)
            scheduled = [engine.set_schedules(self.step) for engine in self.engines]
            for optimizer in self.optimizers if any(scheduled) else ():
                optimizer.sync_settings()
            for average in self.game.averages:
                average.set_step(self.step)
            logs = self.iteration(self.game, batches)
        self.step += 1
        columns = zip(*(values.unbind() for values in logs.values()), strict=True)
        each = [dict(zip(logs, column, strict=True)) for column in columns]
        return [own | values for own, values in zip(each, scheduled, strict=True)]

    def next_batches(self) -> list[RowIndices]:
        """Return what one iteration takes of each run's data, stacked."""
        each = [engine.next_batches() for engine in self.engines]
        return [
            tuple(torch.stack(parts) for parts in zip(*batches, strict=True))
            for batches in zip(*each, strict=True)
        ]

    def state_dicts(self) -> list[StateDict]:
        """Return the state of each run."""
        self._sync_views()
        return [state for engine in self.engines for state in engine.state_dicts()]

    def load_state_dicts(self, states: Sequence[StateDict]) -> None:
        """Continue where `state_dicts` was called; networks are loaded in place."""
        for engine, state in zip(self.engines, states, strict=True):
            engine.load_state_dicts([state])
        self.step = self.engines[0].step
        for optimizer in self.optimizers:
            optimizer.load()

    def networks(self) -> list[Nets]:
        """Return the networks of each run: views of the stacked tensors."""
        return [engine.nets for engine in self.engines]

    def _sync_views(self) -> None:
        """Show each engine its step and its part of the optimizers' state."""
        for engine in self.engines:
            engine.step = self.step
        for optimizer in self.optimizers:
            optimizer.sync_views()


Weights = dict[str, Tensor]


def differentiate(
    critic: StackedPlayer,
    generator: StackedPlayer,
    loss: LossFunction,
    game: Game,
    player: PlayerName,
    *inputs: Any,
) -> tuple[Logs, Gradients]:
    """Differentiate K games at once, like `game.differentiate`: logs (K,), gradients (K, ...)."""

    def one(critics: Weights, generators: Weights, *rows: Any) -> tuple[Tensor, Logs]:
        players = critic.one.with_weights(critics), generator.one.with_weights(generators)
        value = loss(game.with_players(*players), *rows)
        return value.total, value.logs

    dims = (0, 0, *map(_dims, inputs))
    vectorised = vmap(one, dims, randomness="different")
    totals, logs = vectorised(critic.weights, generator.weights, *inputs)
    # The replicas' losses have no weights in common: the gradient of their sum is that of each.
    mover = critic if player == "critic" else generator
    gradients = autograd.grad(totals.sum(), mover.parameters, materialize_grads=True)
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
    detached = {tag: value.detach() for tag, value in logs.items()}
    return detached | {f"grad_norm/{player}": norms.norm(dim=0)}, gradients


def _dims(value: Any) -> Any:
    """Return vmap's `in_dims` of a Batch or a Latent: 0 for each tensor, None for None."""
    if isinstance(value, tuple):
        return type(value)(*map(_dims, value))
    return None if value is None else 0


def _stack(tensors: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Stack corresponding tensors, and turn the originals into views of the stacks."""
    stacks = [torch.stack([t.detach() for t in same]) for same in zip(*tensors, strict=True)]
    for k, own in enumerate(tensors):
        for tensor, stack in zip(own, stacks, strict=True):
            tensor.data = stack[k]
    return stacks


def _stacked_prior(game: Game, replicas: int, count: int) -> Latent:
    """Draw noise for `count` samples of each replica, (K, N, latent_dim)."""
    return Latent(game.prior(replicas * count).z.unflatten(0, (replicas, count)))


def _stacked_batches(streams: Sequence[Stream], *pick: Tensor) -> Batch:
    """Return batches of all replicas, (K, N, ...), in one read where they share a table."""
    first = streams[0]
    if all(stream.table is first.table for stream in streams):
        return first.to_batch(*pick)
    rows = zip(streams, *pick, strict=True)
    xs, ys, _ = zip(*(stream.to_batch(*parts) for stream, *parts in rows), strict=True)
    return Batch(torch.stack(xs), None if ys[0] is None else torch.stack(ys))

"""One generator iteration of a game: the order in which the players are updated.

The order of steps; one step is in `update`. Gradients are assigned, never accumulated, so nothing
leaks from one player to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from gan_runner.core import Batch, RowIndices
from gan_runner.training.game import Game, critic_loss, generator_loss
from gan_runner.training.update import update

Iteration = Callable[[Game, Sequence[RowIndices]], dict[str, Tensor]]
"""One generator iteration of a game: maps row numbers or rows of the data to logs."""


def alternating(game: Game, batches: Iterable[RowIndices]) -> dict[str, Tensor]:
    """Take one critic update per batch, then the generator's update (WGAN, Algorithm 1).

    The generator takes `objective.n_generator` updates, one by default, each with new noise.

    An objective that compares samples with data in the generator's step too gets the last of the
    critic's batches, so that all objectives consume the data equally fast.

    Returns:
        The logs of each player's last update, as device tensors.
    """
    reals = [game.to_batch(*batch) for batch in batches]
    for real, fake in zip(reals, _fakes(game, reals), strict=True):
        critic_logs = update(critic_loss, game, "critic", real, fake)
        if game.objective.constraint is not None:
            for network in game.critic.networks:
                game.objective.constraint(network)
    for _ in range(game.objective.n_generator):
        latent = game.prior(game.batch_size)._replace(y=reals[-1].y)
        logs = update(generator_loss, game, "generator", reals[-1], latent)
    return {**critic_logs, **logs}


@torch.no_grad()
def _fakes(game: Game, reals: Sequence[Batch]) -> list[Batch]:
    """Generate batches for the critic's steps, during which the generator does not move.

    One pass makes all of them, unless the generator mixes the rows of a batch (batch norm). Their
    labels are those of the data, so that a point between a real and a generated sample has a label.
    """
    latents = [game.prior(game.batch_size)._replace(y=real.y) for real in reals]
    if not game.generator.is_per_sample:
        return [Batch(game.generator(z, y), y, z) for z, y in latents]
    dim = game.batch_dim
    ys = [y for _, y in latents if y is not None]
    z = torch.cat([z for z, _ in latents], dim)
    samples = game.generator(z, torch.cat(ys, dim) if ys else None).split(game.batch_size, dim)
    return [Batch(x, y, z) for x, (z, y) in zip(samples, latents, strict=True)]


Order = Literal["alternating"]
ORDERS: Mapping[Order, Iteration] = {"alternating": alternating}
"""The orders of updates that an optimizer may name."""

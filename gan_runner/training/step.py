"""One generator iteration of a game: the order in which the players are updated.

The order of steps; one step is in `update`. Gradients are assigned, never accumulated, so nothing
leaks from one player to the other. Orders with keys of their own are in `orders`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from gan_runner.core import Batch, Latent, RowIndices
from gan_runner.training.game import Game, LossFunction, critic_loss, generator_loss
from gan_runner.training.update import update

Iteration = Callable[[Game, Sequence[RowIndices]], dict[str, Tensor]]
"""One generator iteration of a game: maps row numbers or rows of the data to logs."""


def averaged(order: Iteration) -> Iteration:
    """Return an order that takes one step of each average of the generator after its iteration."""

    def iteration(game: Game, batches: Sequence[RowIndices]) -> dict[str, Tensor]:
        logs = order(game, batches)
        for average in game.averages:
            average.update()
        return logs

    return iteration


def alternating(
    game: Game, batches: Iterable[RowIndices], *, loss: LossFunction = generator_loss
) -> dict[str, Tensor]:
    """Take one critic update per batch, then the generator's update (WGAN, Algorithm 1).

    The generator takes `objective.n_generator` updates, one by default, each with new noise.

    An objective that compares samples with data in the generator's step gets the last of the
    critic's batches there: all objectives consume the data equally fast.

    Args:
        game: the players and their losses.
        batches: of data, one for each critic update.
        loss: the generator's, for orders that change it.

    Returns:
        The logs of each player's last update, as device tensors.
    """
    reals = [game.to_batch(*batch) for batch in batches]
    for real, fake in zip(reals, _fakes(game, reals), strict=True):
        critic_logs = _update_critic(game, real, fake)
    return {**critic_logs, **_update_generator(game, reals[-1], loss)}


def generator_first(game: Game, batches: Iterable[RowIndices]) -> dict[str, Tensor]:
    """Take one generator update, then one critic update per batch: `alternating` the other way.

    An objective that compares samples with data in the generator's step gets the first batch.
    """
    reals = [game.to_batch(*batch) for batch in batches]
    logs = _update_generator(game, reals[0], generator_loss)
    for real, fake in zip(reals, _fakes(game, reals), strict=True):
        critic_logs = _update_critic(game, real, fake)
    return {**critic_logs, **logs}


def simultaneous(game: Game, batches: Iterable[RowIndices]) -> dict[str, Tensor]:
    """Compute both gradients at the same point, on the last batch, then take both steps.

    Gradient descent-ascent: x - lr df/dx(x, y), y + lr df/dy(x, y). On min_x max_y xy both
    eigenvalues of a step have modulus sqrt(1 + lr^2) > 1, so the distance grows for every lr.
    The other n_critic - 1 batches serve updates of the critic alone, which come first.
    """
    point = _last_batch(game, batches)
    logs = _assign_both(game, *point)
    _move_both(game)
    return logs


def extragradient(game: Game, batches: Iterable[RowIndices]) -> dict[str, Tensor]:
    """Look ahead with both players, then step from the start with the gradients found there.

    Korpelevich 1976: u' = u - lr F(u), u <- u - lr F(u'), F the gradients of both players. Both
    gradients see the same data and noise (Mishchenko et al. 2020). The n_critic - 1 updates of the
    critic alone come first and do not look ahead. Logs are of the start point.
    """
    real, fake, latent = _last_batch(game, batches)
    logs = _assign_both(game, real, fake, latent)
    _move_both(game, "extrapolate")
    assert fake.z is not None  # a generated batch knows its noise
    _assign_both(game, real, _samples(game, Latent(fake.z, fake.y)), latent)
    _move_both(game)
    return logs


def _update_critic(game: Game, real: Batch, fake: Batch) -> dict[str, Tensor]:
    """Take one step of the critic and project it; return its logs."""
    logs = update(critic_loss, game, "critic", real, fake)
    _project(game)
    return logs


def _update_generator(game: Game, real: Batch, loss: LossFunction) -> dict[str, Tensor]:
    """Take `n_generator` steps of the generator, each with new noise; return the last logs."""
    real = _repeated(game, real)
    for _ in range(game.objective.n_generator):
        logs = update(loss, game, "generator", real, _noise(game, real))
    return logs


def _repeated(game: Game, real: Batch) -> Batch:
    """Repeat a batch of data to the size of the generator's batch: a label for each sample."""
    count = game.generator_batch_multiple
    if count == 1:
        return real
    x = torch.cat([real.x] * count, game.batch_dim)
    return Batch(x, None if real.y is None else torch.cat([real.y] * count, game.batch_dim))


def _noise(game: Game, real: Batch) -> Latent:
    """Draw noise for the generator's update, with the labels of the (repeated) batch of data."""
    count = game.batch_size * game.generator_batch_multiple
    return game.prior(count)._replace(y=real.y)


def _last_batch(game: Game, batches: Iterable[RowIndices]) -> tuple[Batch, Batch, Latent]:
    """Update the critic on all batches but the last; return the inputs of the joint step.

    These are the last batch, samples for the critic and noise for the generator.
    """
    reals = [game.to_batch(*batch) for batch in batches]
    *early, last = zip(reals, _fakes(game, reals), strict=True)
    for real, fake in early:
        _update_critic(game, real, fake)
    return *last, _noise(game, _repeated(game, last[0]))


def _assign_both(game: Game, real: Batch, fake: Batch, latent: Latent) -> dict[str, Tensor]:
    """Assign the gradients of both players at the present point; return their logs."""
    critic_logs, critic_gradients = game.gradients(critic_loss, "critic", real, fake)
    inputs = _repeated(game, real), latent
    logs, gradients = game.gradients(generator_loss, "generator", *inputs)
    game.critic.assign(critic_gradients)
    game.generator.assign(gradients)
    return {**critic_logs, **logs}


def _move_both(game: Game, step: Literal["step", "extrapolate"] = "step") -> None:
    """Move both players by their gradients, and project the critic."""
    for optimizer in (game.critic_optimizer, game.generator_optimizer):
        getattr(optimizer, step)()  # the builder has checked that it can look ahead
    _project(game)


def _project(game: Game) -> None:
    if game.objective.constraint is not None:
        for network in game.critic.networks:
            game.objective.constraint(network)


@torch.no_grad()
def _samples(game: Game, latent: Latent) -> Batch:
    return Batch(game.generator(*latent), latent.y, latent.z)


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

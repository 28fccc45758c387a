"""One generator iteration: the only place that differentiates, and the only one that steps.

`critic_gradients` and `generator_gradients` are pure functions of networks and tensors; gradients
are assigned, never accumulated, so nothing leaks from one player to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, autograd, nn
from torch.optim import Optimizer

from gan_runner.core import Batch, Critic, Latent, Loss, Nets

Gradients = Sequence[Tensor]
Logs = dict[str, Tensor]


class Objective(Protocol):
    """What the update asks of an objective."""

    n_critic: int
    constraint: Callable[[nn.Module], None] | None

    def critic_loss(self, critic: Critic, real: Batch, fake: Batch) -> Loss:
        """The critic's loss on a batch of data and one of detached generated samples."""
        ...

    def generator_loss(self, critic: Critic, fake: Batch) -> Loss:
        """The generator's loss on a batch of its samples."""
        ...


@dataclass(frozen=True, eq=False)
class Game:
    """The players, what they minimise, how they descend, and where the noise comes from."""

    nets: Nets
    objective: Objective
    critic_optimizer: Optimizer
    generator_optimizer: Optimizer
    prior: Callable[[int], Latent]


def critic_gradients(
    nets: Nets, objective: Objective, real: Batch, latent: Latent
) -> tuple[Logs, Gradients]:
    """Loss of the critic and its gradients, at a generator that is held fixed."""
    with torch.no_grad():
        fake = Batch(nets.generator(latent.z, latent.y), latent.y)
    loss = objective.critic_loss(nets.critic, real, fake)
    return _differentiate(loss, nets.critic)


def generator_gradients(nets: Nets, objective: Objective, latent: Latent) -> tuple[Logs, Gradients]:
    """Loss of the generator and its gradients; none are computed for the critic's weights."""
    fake = Batch(nets.generator(latent.z, latent.y), latent.y)
    loss = objective.generator_loss(nets.critic, fake)
    return _differentiate(loss, nets.generator)


def alternating(game: Game, reals: Sequence[Batch]) -> Logs:
    """One critic update a batch of `reals`, then one generator update (WGAN, Algorithm 1).

    Returns the logs of the generator and of the last critic update, as 0-d device tensors.
    """
    for real in reals:
        latent = game.prior(len(real.x))
        critic_logs, critic_grads = critic_gradients(game.nets, game.objective, real, latent)
        _step(game.nets.critic, game.critic_optimizer, critic_grads)
        if game.objective.constraint is not None:
            game.objective.constraint(game.nets.critic)
    latent = game.prior(len(reals[-1].x))
    generator_logs, generator_grads = generator_gradients(game.nets, game.objective, latent)
    _step(game.nets.generator, game.generator_optimizer, generator_grads)
    norms = {
        "grad_norm/critic": nn.utils.get_total_norm(critic_grads),
        "grad_norm/generator": nn.utils.get_total_norm(generator_grads),
    }
    return {**critic_logs, **generator_logs, **norms}


def _differentiate(loss: Loss, player: nn.Module) -> tuple[Logs, Gradients]:
    gradients = autograd.grad(loss.total, list(player.parameters()))
    return {tag: value.detach() for tag, value in loss.logs.items()}, gradients


def _step(player: nn.Module, optimizer: Optimizer, gradients: Gradients) -> None:
    for parameter, gradient in zip(player.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()

"""Orders of updates with keys of their own, and the names of all orders.

On min_x max_y xy, simultaneous gradient steps spiral away from the solution and alternating ones
circle it. Steps that look ahead or back (extragradient, optimistic, lookahead) approach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.func import grad

from gan_runner.core import Batch, Latent, Loss, RowIndices
from gan_runner.training.game import Game, OptimizerLike, Player
from gan_runner.training.step import (
    Iteration,
    alternating,
    extragradient,
    generator_first,
    simultaneous,
)

BaseOrder = Literal["alternating", "generator_first", "simultaneous", "extragradient"]
BASES: Mapping[str, Iteration] = {
    "alternating": alternating,
    "generator_first": generator_first,
    "simultaneous": simultaneous,
    "extragradient": extragradient,
}


@dataclass(frozen=True, kw_only=True)
class Unrolled:
    """Alternating updates with the generator's loss at a critic that is some steps ahead.

    The critic in the generator's loss is w_k(theta), w_{i+1} = w_i - lr grad L_critic(w_i, theta),
    w_0 the present weights. The generator's gradient includes d w_k / d theta: Metz et al. 2017,
    equations 7 to 10. All inner steps see the generator's batch; the critic itself does not move.

    Attributes:
        steps: k.
        lr: of the inner steps, which are plain gradient descent whatever the critic's optimizer.
    """

    steps: Annotated[int, Ge(1)] = 5
    lr: Annotated[float, Gt(0)] = 0.01

    def __call__(self, game: Game, batches: Iterable[RowIndices]) -> dict[str, Tensor]:
        """Take one iteration."""
        return alternating(game, batches, loss=self.generator_loss)

    def generator_loss(self, game: Game, real: Batch, latent: Latent) -> Loss:
        """Return the generator's loss at the unrolled critic."""
        player = game.critic
        assert isinstance(player, Player)  # losses are written for one game; replicas map over them
        fake = Batch(game.generator(latent.z, latent.y), latent.y, latent.z)
        weights = {name: weight.detach() for name, weight in player.named_parameters()}

        def loss(weights: dict[str, Tensor]) -> Tensor:
            return game.objective.critic_loss(player.with_parameters(weights), real, fake).total

        for _ in range(self.steps):
            slopes = grad(loss)(weights)
            weights = {name: weight - self.lr * slopes[name] for name, weight in weights.items()}
        critic = player.with_parameters(weights)
        return game.objective.generator_loss(critic, real, fake, game.generator)


@dataclass(frozen=True, kw_only=True)
class Lookahead:
    """Another order, after which both players go back to an average every few iterations.

    Slow weights s: every k iterations s <- s + alpha (w - s), then w <- s, for both players at
    once. Zhang et al. 2019, Algorithm 1; for games Chavdarova et al. 2021, Algorithm 1. The slow
    weights and the counter are part of the optimizers' states, which checkpoints contain.

    Attributes:
        every: k, iterations between two averages.
        alpha: the step towards the players' present weights.
        base: the order of the iterations in between.
    """

    every: Annotated[int, Ge(1)] = 5
    alpha: Annotated[float, Gt(0), Le(1)] = 0.5
    base: BaseOrder = "alternating"

    def __call__(self, game: Game, batches: Sequence[RowIndices]) -> dict[str, Tensor]:
        """Take one iteration; go back if it is the k-th since the last time."""
        starts = [_SlowWeights(o) for o in (game.critic_optimizer, game.generator_optimizer)]
        logs = BASES[self.base](game, batches)
        for slow in starts:
            slow.average(self.every, self.alpha)
        return logs


class _SlowWeights:
    """Slow weights of one player, in the state of its optimizer; the first are the start's."""

    def __init__(self, optimizer: OptimizerLike) -> None:
        self.state = optimizer.state
        self.weights = [p for group in optimizer.param_groups for p in group["params"]]
        is_new = "slow" not in self.state[self.weights[0]]
        # not yet in the state, which optimizers fill where they find it empty
        self.start = [w.detach().clone() for w in self.weights] if is_new else []

    @torch.no_grad()
    def average(self, every: int, alpha: float) -> None:
        """Count one iteration; average and go back on every k-th, without asking the device."""
        for weight, start in zip(self.weights, self.start, strict=False):
            self.state[weight]["slow"] = start
        first = self.state[self.weights[0]]
        counter = first.setdefault("since_average", self.weights[0].new_zeros(()))
        is_due = counter.add_(1) == every
        for weight in self.weights:
            slow = self.state[weight]["slow"]
            slow.copy_(torch.where(is_due, slow + alpha * (weight - slow), slow))
            weight.copy_(torch.where(is_due, slow, weight))
        counter.remainder_(every)


Order = Literal[BaseOrder, "unrolled", "lookahead"]
ORDERS: Mapping[str, Iteration] = {**BASES, "unrolled": Unrolled(), "lookahead": Lookahead()}
"""The orders that an optimizer may name; a card sets the keys of the last two in a node."""

"""One step of one player's optimizer, from a gradient or from a closure.

An optimizer with `takes_closure` evaluates the loss itself, several times in a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from gan_runner.core import StateDict
from gan_runner.training.game import Game, Logs, LossFunction, PlayerName
from gan_runner.training.random_state import random_state, set_random_state


class ClosureOptimizer(Protocol):
    """An optimizer that calls `closure() -> (loss, outputs of the critic)` within a step.

    Attributes:
        takes_closure: True.
        costs: of the last step, by name; "grad_norm" and "seconds" among them.
    """

    takes_closure: bool
    costs: Mapping[str, float]

    def step(self, closure: Callable[[], tuple[Tensor, Sequence[Tensor]]]) -> Any:
        """Move the parameters, by any number of evaluations."""
        ...


def takes_closure(optimizer: Any) -> bool:
    """Return True if an optimizer's step evaluates the loss; see `ClosureOptimizer`."""
    return bool(getattr(optimizer, "takes_closure", False))


def needs_closure(optimizer: Any) -> bool:
    """Return True if an optimizer cannot step without a function that evaluates the loss."""
    closure = signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is Parameter.empty


class Closure:
    """The loss of one player on one batch, evaluated at the weights as they are.

    Every evaluation has the same random numbers and starts from the same buffers: dropout, a
    penalty's eps, the power iteration of spectral norm and the averages of batch norm are the same.
    `finish` leaves all of them as the first evaluation did, as a step of any optimizer does.

    Args:
        loss: (game, *inputs) -> loss.
        game: the players.
        inputs: batches on the device.

    Attributes:
        logs: of the first evaluation.
    """

    def __init__(self, loss: LossFunction, game: Game, *inputs: Any) -> None:
        self.loss, self.game, self.inputs = loss, game, inputs
        players = (game.critic, game.generator)
        self.networks = [network for player in players for network in player.networks]
        self.device = next(game.critic.networks[0].parameters()).device
        self.before = self._state()
        self.after: tuple[list[Tensor], dict[str, Any]] | None = None
        self.logs: Logs = {}

    def __call__(self) -> tuple[Tensor, list[Tensor]]:
        """Return the loss, and the critic's outputs that depend on the player."""
        self._restore(self.before)
        outputs: list[Tensor] = []
        critic = self.game.critic.networks[0]
        hook = critic.register_forward_hook(lambda _, inputs, output: outputs.append(output))
        try:
            value = self.loss(self.game, *self.inputs)
        finally:
            hook.remove()
        if self.after is None:
            self.logs = {tag: log.detach() for tag, log in value.logs.items()}
            self.after = self._state()
        return value.total, [output for output in outputs if output.requires_grad]

    def finish(self) -> None:
        """Set random state and buffers to what the first evaluation left."""
        if self.after is not None:
            self._restore(self.after)

    def _buffers(self) -> list[Tensor]:
        return [buffer for network in self.networks for buffer in network.buffers()]

    def _state(self) -> tuple[list[Tensor], dict[str, Any]]:
        return [buffer.clone() for buffer in self._buffers()], random_state(self.device)

    @torch.no_grad()
    def _restore(self, state: tuple[list[Tensor], dict[str, Any]]) -> None:
        buffers, random = state
        for buffer, value in zip(self._buffers(), buffers, strict=True):
            buffer.copy_(value)
        set_random_state(random, self.device)


def update(loss: LossFunction, game: Game, player: PlayerName, *inputs: Any) -> dict[str, Tensor]:
    """Take one step on `loss(game, *inputs)`; return the logs of the loss before it."""
    optimizer = getattr(game, f"{player}_optimizer")
    if takes_closure(optimizer):
        return _with_closure(optimizer, Closure(loss, game, *inputs), player)
    logs, gradients = game.gradients(loss, player, *inputs)
    getattr(game, player).assign(gradients)
    optimizer.step()
    return logs


def _with_closure(
    optimizer: ClosureOptimizer, closure: Closure, player: PlayerName
) -> dict[str, Tensor]:
    """Let an optimizer evaluate the loss within its step; return logs and costs of the step."""
    optimizer.step(closure)
    closure.finish()
    costs = dict(optimizer.costs)
    tags = {
        f"grad_norm/{player}": costs.pop("grad_norm"),
        f"speed/{player}_step_seconds": costs.pop("seconds"),
        **{f"optimizer/{player}_{name}": value for name, value in costs.items()},
    }
    numbers = torch.tensor(list(tags.values()), device=closure.device).unbind()
    return {**closure.logs, **dict(zip(tags, numbers, strict=True))}


def load_optimizer(optimizer: Optimizer, state: StateDict) -> None:
    """Load the saved state of an optimizer.

    Raises:
        ValueError: it is the state of another optimizer, which lacks a setting of this one.
    """
    settings = [set(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for names, group in zip(settings, optimizer.param_groups, strict=True):
        if missing := sorted(names - set(group)):
            raise ValueError(f"the saved optimizer has no {missing[0]}")

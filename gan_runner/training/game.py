"""The game: two players, the losses that they minimise, and the gradients of these losses.

The only place that differentiates. `critic_loss` and `generator_loss` are pure functions of a game
and tensors. `Game.differentiate` differentiates them: here directly, compiled in
`accelerate`, for several replicas at once in `replicas`. The order of updates is in `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, autograd, nn
from torch.func import functional_call

from gan_runner.core import Batch, Critic, Latent, Loss, StateDict
from gan_runner.training.ema import EMA

Gradients = Sequence[Tensor]
Logs = dict[str, Tensor]
PlayerName = Literal["critic", "generator"]


class Objective(Protocol):
    """The interface of an objective in training."""

    n_critic: int
    n_generator: int
    constraint: Callable[[nn.Module], None] | None

    def set_step(self, step: int) -> None:
        """Set schedules to a step, before it and outside of compiled or captured code."""
        ...

    def adapt(self, step: int, logs: Logs) -> Logs:
        """Adapt what follows the logs of a step, after it; return the values in force by tag."""
        ...

    def state_dict(self) -> StateDict:
        """Return the state that the next steps depend on."""
        ...

    def load_state_dict(self, state: StateDict) -> None:
        """Continue where `state_dict` was called."""
        ...

    def critic_loss(self, critic: Critic, real: Batch, fake: Batch) -> Loss:
        """Return the critic's loss on a batch of data and one of detached generated samples."""
        ...

    def generator_loss(self, critic: Any, real: Batch, fake: Batch, generator: Any = None) -> Loss:
        """Return the generator's loss on a batch of its samples, compared with one of data."""
        ...


@dataclass(frozen=True, eq=False)
class Player:
    """A network as training calls it: in some precision inside, float32 outside.

    Attributes:
        network: critic or generator.
        is_per_sample: True if each row of the output depends on its own row of the input alone, so
            that batches may be joined; see `core.is_per_sample`.
        dtype: of the convolutions and matrix products inside; None: that of the weights.
        weights: parameters and buffers to use in place of the network's own, by name.
    """

    network: nn.Module
    is_per_sample: bool = False
    dtype: torch.dtype | None = None
    weights: Mapping[str, Tensor] | None = None

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the output, never in half precision: norms and means follow."""
        return self._call(self.network, self.weights, x, y)

    def submodule(self, name: str, *inputs: Tensor | None) -> Any:
        """Call a module inside the network, with float32 outputs; see `core.HasHeads`."""
        weights, prefix = self.weights, f"{name}."
        if weights is not None:
            parts = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
            weights = parts
        return self._call(self.network.get_submodule(name), weights, *inputs)

    def _call(
        self, network: nn.Module, weights: Mapping[str, Tensor] | None, *inputs: Tensor | None
    ) -> Any:
        assert inputs[0] is not None
        with torch.autocast(
            inputs[0].device.type,
            dtype=self.dtype or torch.bfloat16,
            enabled=self.dtype is not None,
            cache_enabled=False,  # a cached cast would outlive the memory of a captured graph
        ):
            if weights is None:
                out = network(*inputs)
            else:
                out = functional_call(network, dict(weights), inputs)
        if isinstance(out, tuple):
            return tuple(map(_at_least_float32, out))
        return _at_least_float32(out)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters that a call uses, by name: see `core.HasParameters`."""
        for name, parameter in self.network.named_parameters():
            yield name, parameter if self.weights is None else self.weights[name]

    def with_weights(self, weights: Mapping[str, Tensor]) -> Player:
        """Return the same network with other weights."""
        return replace(self, weights=weights)

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> Player:
        """Return the same network with other parameters, and copies of the present buffers."""
        present = self.weights or {}
        buffers = {n: present.get(n, b).clone() for n, b in self.network.named_buffers()}
        return self.with_weights({**parameters, **buffers})

    @cached_property
    def parameters(self) -> list[Tensor]:
        """Return the parameters that its optimizer moves."""
        return list(self.network.parameters())

    @cached_property
    def networks(self) -> list[nn.Module]:
        """Return the networks that a constraint is applied to."""
        return [self.network]

    def assign(self, gradients: Gradients) -> None:
        """Hand gradients to the optimizer."""
        assign(self.parameters, gradients)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def assign(parameters: Sequence[Tensor], gradients: Gradients) -> None:
    """Set gradients, not add them, in the memory layout of their parameters.

    Fused optimizers walk both as flat arrays, and would pair the wrong numbers otherwise.
    """
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient.stride() != parameter.stride():
            gradient = torch.empty_like(parameter).copy_(gradient)
        parameter.grad = gradient


class PlayerLike(Protocol):
    """The interface of `Player` and `replicas.StackedPlayer`."""

    @property
    def is_per_sample(self) -> bool:
        """Return True if rows do not depend on each other; see `Player`."""
        ...

    @property
    def networks(self) -> Sequence[nn.Module]:
        """Return the networks that a constraint is applied to."""
        ...

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map samples to scores, or noise to samples."""
        ...

    def assign(self, gradients: Gradients) -> None:
        """Hand gradients to the optimizer."""
        ...


class OptimizerLike(Protocol):
    """The interface of an optimizer in training.

    Attributes:
        param_groups: the parameters that it moves, as "params" of each group, and their settings.
        state: its state by parameter.
    """

    param_groups: list[dict[str, Any]]
    state: Any

    def step(self) -> Any:
        """Move the parameters by the gradients that they were assigned."""
        ...


LossFunction = Callable[..., Loss]
"""(game, *inputs) -> the loss of one player."""

Differentiate = Callable[..., tuple[Logs, Gradients]]
"""(loss, game, player, *inputs) -> its logs, and its gradients in the parameters of one player."""


def differentiate(
    loss: LossFunction, game: Game, player: PlayerName, *inputs: Any
) -> tuple[Logs, Gradients]:
    """Return the logs of `loss(game, *inputs)` and its gradients in one player's parameters."""
    value = loss(game, *inputs)
    parameters = getattr(game, player).parameters
    gradients = autograd.grad(value.total, parameters, materialize_grads=True)  # 0 where unused
    norm = {f"grad_norm/{player}": nn.utils.get_total_norm(gradients)}
    return {tag: v.detach() for tag, v in value.logs.items()} | norm, gradients


@dataclass(frozen=True, eq=False)
class Game:
    """Two players with their losses, their optimizers, and the sources of data and noise.

    Attributes:
        critic: the network that scores.
        generator: the network that makes samples.
        objective: the losses that they minimise.
        critic_optimizer: moves the critic's parameters.
        generator_optimizer: moves the generator's.
        prior: n -> noise for n samples.
        to_batch: turns row numbers or rows of the stream into samples on the device, normalised.
        batch_size: samples of a batch.
        differentiate: computes the gradients of a loss.
        batch_dim: the dimension of a batch that counts samples; 1 where replicas are stacked.
        generator_batch_multiple: samples of the generator's update, in batches.
        averages: of the generator, which follow it after each iteration.
    """

    critic: PlayerLike
    generator: PlayerLike
    objective: Objective
    critic_optimizer: OptimizerLike
    generator_optimizer: OptimizerLike
    prior: Callable[[int], Latent]
    to_batch: Callable[..., Batch]
    batch_size: int
    differentiate: Differentiate = differentiate
    batch_dim: int = 0
    generator_batch_multiple: int = 1
    averages: Sequence[EMA] = ()

    def gradients(
        self, loss: LossFunction, player: PlayerName, *inputs: Any
    ) -> tuple[Logs, Gradients]:
        """Return the logs of `loss(self, *inputs)`, and its gradients in a player's parameters."""
        return self.differentiate(loss, self, player, *inputs)

    def with_players(self, critic: PlayerLike, generator: PlayerLike) -> Game:
        """Return the same game between other players."""
        return replace(self, critic=critic, generator=generator)


def critic_loss(game: Game, real: Batch, fake: Batch) -> Loss:
    """Return the critic's loss, at a generator that is held fixed."""
    return game.objective.critic_loss(game.critic, real, fake)


def generator_loss(game: Game, real: Batch, latent: Latent) -> Loss:
    """Return the generator's loss; gradients are asked for in the generator's weights alone."""
    z, y = latent
    fake = Batch(game.generator(z, y), y, z)
    return game.objective.generator_loss(game.critic, real, fake, game.generator)

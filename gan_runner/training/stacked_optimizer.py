"""The optimizers of several replicas as one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_runner.training.update import takes_closure


class StackedOptimizer:
    """The optimizers of K players as one of the same class, with a group per distinct setting.

    Gradient methods work elementwise, so stacked parameters take the steps that they would take
    alone.

    Args:
        optimizers: one per replica, each with a single group, equal but for numbers such as `lr`.
        parameters: of the stacked player, which the groups' parameters are slices of.

    Attributes:
        parts: the replicas of each group, and its parameters.

    Raises:
        ValueError: the optimizers choose their steps from the loss, which differs by replica.
    """

    def __init__(self, optimizers: Sequence[Optimizer], parameters: Sequence[Tensor]) -> None:
        if takes_closure(optimizers[0]):
            raise ValueError(
                f"trainer.replicas={len(optimizers)}: not supported by"
                f" {type(optimizers[0]).__name__}, because each replica would need its own number"
                " of iterations in a step; set trainer.replicas=1"
            )
        self.optimizers = optimizers
        settings = [
            {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
            for optimizer in optimizers
        ]
        self.parts: list[tuple[slice, list[nn.Parameter]]] = []
        for _, equal in groupby(range(len(settings)), key=lambda k: repr(settings[k])):
            first, *rest = equal
            rows = slice(first, (rest[-1] if rest else first) + 1)
            self.parts.append((rows, [nn.Parameter(p.data[rows]) for p in parameters]))
        groups = [{**settings[rows.start], "params": parts} for rows, parts in self.parts]
        self.stacked: Optimizer = type(optimizers[0])(groups)  # type: ignore[call-arg]
        self.param_groups, self.state = self.stacked.param_groups, self.stacked.state

    def step(self) -> None:
        """Take one step of every replica."""
        self.stacked.step()

    def sync_settings(self) -> None:
        """Take over the numbers of the replicas' optimizers, which schedules have set."""
        for group, (rows, _) in zip(self.stacked.param_groups, self.parts, strict=True):
            settings = self.optimizers[rows.start].param_groups[0]
            group.update({key: value for key, value in settings.items() if key != "params"})

    def extrapolate(self) -> None:
        """Look ahead with every replica; see `optim.games`."""
        self.stacked.extrapolate()  # type: ignore[attr-defined]  # checked by the builder

    def sync_views(self) -> None:
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

    def load(self) -> None:
        """Stack the state that the replicas' optimizers have loaded."""
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
    """Return True if an entry of an optimizer's state has the shape of its parameter."""
    return isinstance(value, Tensor) and value.shape == parameter.shape

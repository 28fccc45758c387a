"""Schedules: values that are functions of the step alone, so a resumed run continues them exactly.

A schedule maps the number of iterations already taken to a value. A learning rate is multiplied by
its schedule. Adam's beta2 and the weight of a term take the schedule's value itself.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.optim import Optimizer

Schedule = Callable[[int], float]
"""Iterations taken -> the value that the next iteration uses."""

Steps = Annotated[int, Gt(0)]
NonNegative = Annotated[float, Ge(0)]


def constant(step: int) -> float:
    """Return 1: the learning rate of the optimizer, unchanged."""
    return 1.0


def linear(step: int, *, steps: Steps, first: NonNegative = 1.0, last: NonNegative = 0.0) -> float:
    """Return first + (last - first) min(step / steps, 1).

    Gulrajani et al. 2017 and Miyato et al. 2018 decay Adam's rate so, to 0 (torch's `LinearLR`).
    """
    return first + (last - first) * min(step / steps, 1.0)


def cosine(step: int, *, steps: Steps, first: NonNegative = 1.0, last: NonNegative = 0.0) -> float:
    """Return last + (first - last) (1 + cos(pi min(step / steps, 1))) / 2.

    Loshchilov & Hutter 2017, equation 5, without restarts (torch's `CosineAnnealingLR`).
    """
    return last + (first - last) * (1 + cos(pi * min(step / steps, 1.0))) / 2


def warmup(
    step: int,
    *,
    warmup_steps: Steps,
    steps: Steps,
    then: Literal["constant", "linear", "cosine"] = "constant",
    first: NonNegative = 1.0,
    last: NonNegative = 0.0,
) -> float:
    """Return first step / warmup_steps, and from step `warmup_steps` on the shape `then`.

    Args:
        step: iterations taken.
        warmup_steps: iterations in which the value rises from 0 to `first`.
        steps: iterations of both parts together.
        then: shape of the second part, from `first` at `warmup_steps` to `last` at `steps`.
        first: value at the end of the rise.
        last: value of `linear` and `cosine` at `steps`.

    Raises:
        ValueError: `warmup_steps` leaves none of `steps`.
    """
    if warmup_steps >= steps:
        raise ValueError(f"warmup_steps={warmup_steps}: should be less than steps={steps}")
    if step < warmup_steps:
        return first * step / warmup_steps
    if then == "constant":
        return first
    shape = {"linear": linear, "cosine": cosine}[then]
    return shape(step - warmup_steps, steps=steps - warmup_steps, first=first, last=last)


def robbins_monro(
    step: int,
    *,
    first: NonNegative = 1.0,
    offset: NonNegative = 0.0,
    power: Annotated[float, Gt(0)] = 1.0,
) -> float:
    """Return first / (j + offset)^power of iteration j = step + 1.

    With a rate alpha / j and 2 c alpha > 1, SGD on a loss of strong convexity c has an error
    E|theta_j - theta*|^2 of order 1 / j. The sum of the rates diverges and that of their squares
    converges (Robbins & Monro 1951) where 1/2 < power <= 1.
    """
    return first / (step + 1 + offset) ** power


class Scheduled(Protocol):
    """A value that follows a schedule."""

    def set_step(self, step: int) -> tuple[float, torch.device]:
        """Set the value of a step; return it with the device of what it acts on."""
        ...


class Schedules:
    """Everything in a run that follows a schedule.

    Called once before each iteration, outside of compiled or captured code. On a GPU the values
    are 0-d tensors that are filled in place, so a captured graph reads the new ones.
    """

    def __init__(self) -> None:
        self.parts: dict[str, Scheduled] = {}

    def set_step(self, step: int) -> dict[str, Tensor]:
        """Set every value for the iteration after `step` others; return the values by tag."""
        values = {tag: part.set_step(step) for tag, part in self.parts.items()}
        return {tag: torch.full((), v, device=device) for tag, (v, device) in values.items()}


class LearningRateSchedule:
    """The learning rate of an optimizer: the configured one times a schedule.

    Args:
        optimizer: with `lr` in its groups.
        schedule: the factor.

    Raises:
        ValueError: the optimizer has no learning rate.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        groups = optimizer.param_groups
        if any("lr" not in group for group in groups):
            raise ValueError(f"{type(optimizer).__name__} has no lr; set schedule=constant")
        self.optimizer, self.schedule = optimizer, schedule
        self.rates = [float(group["lr"]) for group in groups]
        self.numbers = [_Number(torch.float32) for _ in groups]

    def set_step(self, step: int) -> tuple[float, torch.device]:
        """Set the rate of every group; return that of the first."""
        factor = self.schedule(step)
        for group, rate, number in zip(
            self.optimizer.param_groups, self.rates, self.numbers, strict=True
        ):
            group["lr"] = number.set(rate * factor, _device(group))
        return self.rates[0] * factor, _device(self.optimizer.param_groups[0])


class SecondMomentSchedule:
    """Adam's beta2, the decay of its mean of squared gradients, as R3GAN anneals it.

    Args:
        optimizer: with `betas` in its groups; see `adam.with_tensor_betas` for one on a GPU.
        schedule: beta2 itself, in [0, 1).

    Raises:
        ValueError: the optimizer has no betas.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        if any("betas" not in group for group in optimizer.param_groups):
            raise ValueError(
                f"{type(optimizer).__name__} has no betas; set optimizer=adam or schedule=constant"
            )
        self.optimizer, self.schedule = optimizer, schedule
        self.numbers = [_Number(torch.float64) for _ in optimizer.param_groups]

    def set_step(self, step: int) -> tuple[float, torch.device]:
        """Set beta2 of every group."""
        value = self.schedule(step)
        for group, number in zip(self.optimizer.param_groups, self.numbers, strict=True):
            group["betas"] = (group["betas"][0], number.set(value, _device(group)))
        return value, _device(self.optimizer.param_groups[0])


class WeightSchedule:
    """The weight of an objective's term, a 0-d tensor that the term reads.

    Args:
        weight: filled in place.
        schedule: the weight itself.
    """

    def __init__(self, weight: Tensor, schedule: Schedule) -> None:
        self.weight, self.schedule = weight, schedule

    def set_step(self, step: int) -> tuple[float, torch.device]:
        """Fill the weight."""
        value = self.schedule(step)
        self.weight.fill_(value)
        return value, self.weight.device


class _Number:
    """A number of an optimizer: a float for a CPU, for a GPU a 0-d tensor filled in place."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype, self.tensor = dtype, torch.empty((), dtype=dtype)

    def set(self, value: float, device: torch.device) -> float | Tensor:
        if device.type == "cpu":
            return value
        if self.tensor.device != device:
            self.tensor = torch.empty((), dtype=self.dtype, device=device)
        return self.tensor.fill_(value)


def _device(group: dict[str, Any]) -> torch.device:
    """Return the device of a group's parameters; a checkpoint may have replaced its numbers."""
    device: torch.device = group["params"][0].device
    return device

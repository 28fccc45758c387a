"""Averages of a generator's weights over the iterations, which samples are drawn from.

A rule maps the number of iterations already taken to d in average <- d average + (1 - d) network.
It is a function of the step alone, so an average needs no state but its tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from gan_runner.private_apis import is_spectral_norm

AveragingRule = Callable[[int], float]
"""Iterations taken -> d, in [0, 1]; 0 makes the average a copy."""

Step = Annotated[int, Ge(0)]


@dataclass(frozen=True, kw_only=True)
class Exponential:
    """Exponential average, d = min(decay, (1 + n) / (10 + n)) after n steps of the average.

    A young average so forgets its random start.

    Attributes:
        decay: d in the long run.
        start: iterations before which the average is a copy.
    """

    decay: Annotated[float, Ge(0), Lt(1)] = 0.999
    start: Step = 0

    def __call__(self, step: int) -> float:
        """Return d, after `step` iterations."""
        n = step - self.start
        return min(self.decay, (1 + n) / (10 + n)) if n >= 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class HalfLife:
    """Exponential average whose weights halve every H images: d = 2^(-batch_size / H).

    Karras et al. 2020 (StyleGAN2): while the average is young, H = min(images, rampup * seen).

    Attributes:
        images: H in the long run.
        batch_size: images of an iteration.
        rampup: H as a share of the images seen since `start`, at most; None: H from the first step.
        start: iterations before which the average is a copy.
    """

    images: Annotated[float, Gt(0)] = 10_000.0
    batch_size: Annotated[int, Gt(0)] = 64
    rampup: Annotated[float, Gt(0)] | None = 0.05
    start: Step = 0

    def __call__(self, step: int) -> float:
        """Return d, after `step` iterations."""
        seen = (step - self.start) * self.batch_size
        if seen < 0:
            return 0.0
        half_life = self.images if self.rampup is None else min(self.images, self.rampup * seen)
        return 0.5 ** (self.batch_size / half_life) if half_life else 0.0


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Arithmetic mean of the weights after each iteration from `start` on: d = n / (n + 1).

    Polyak & Juditsky 1992; n counts the weights in the mean so far.

    Attributes:
        start: iterations before which the average is a copy.
    """

    start: Step = 0

    def __call__(self, step: int) -> float:
        """Return d, after `step` iterations."""
        n = max(step - self.start, 0)
        return n / (n + 1)


class EMA:
    """Average of weights and of batch-norm statistics, in place.

    ema <- d ema + (1 - d) network; integer buffers are copied.

    Args:
        averages: the tensors that hold the average.
        tensors: those that it follows, one for each.
        decay: the rule that gives d; a number stands for `Exponential(decay=...)`.
        spectral: see `spectral_parts`, of the network that holds the average. A mean of singular
            vectors is not a singular vector, so each step takes a power iteration of the average.
    """

    def __init__(
        self,
        averages: Iterable[Tensor],
        tensors: Iterable[Tensor],
        *,
        decay: float | AveragingRule,
        spectral: Iterable[tuple[nn.Module, Tensor]] = (),
    ) -> None:
        self.spectral = list(spectral)
        vectors = {id(v) for part, _ in self.spectral for v in part.buffers()}
        pairs = [p for p in zip(averages, tensors, strict=True) if id(p[0]) not in vectors]
        self.floats = [(a, n) for a, n in pairs if a.is_floating_point()]
        self.others = [(a, n) for a, n in pairs if not a.is_floating_point()]
        self.rule = Exponential(decay=decay) if isinstance(decay, float | int) else decay
        self.weight: float | Tensor = 1.0  # 1 - d
        device = self.floats[0][0].device
        if device.type != "cpu":
            self.weight = torch.ones((), device=device)  # which a captured graph reads

    def set_step(self, step: int) -> None:
        """Set d for the update after `step` others, outside of captured code."""
        weight = 1 - self.rule(step)
        self.weight = self.weight.fill_(weight) if isinstance(self.weight, Tensor) else weight

    @torch.no_grad()
    def update(self) -> None:
        """Take one step of the average."""
        for average, tensor in self.floats:
            weight = self.weight
            average.lerp_(tensor, weight.to(average) if isinstance(weight, Tensor) else weight)
        for average, tensor in self.others:
            average.copy_(tensor)
        for part, weight in self.spectral:
            part.train()(weight)
            part.eval()


def tensors_of(network: nn.Module) -> list[Tensor]:
    """Return parameters, then buffers."""
    return [*network.parameters(), *network.buffers()]


def ema_of(average: nn.Module, network: nn.Module, *, decay: float | AveragingRule) -> EMA:
    """Return the moving average of a whole network, held by a copy of it."""
    tensors = tensors_of(average), tensors_of(network)
    return EMA(*tensors, decay=decay, spectral=spectral_parts(average))


def spectral_parts(network: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    """Return torch's spectral-norm parametrizations, each with the weight that it divides."""
    return [
        (part, module.original)
        for module in network.modules()
        if isinstance(module, ParametrizationList)
        for part in module
        if is_spectral_norm(part)
    ]

"""Optimizers of a player in a game: they look one step ahead, or back at the last gradient.

Gradient steps of two players circle the solution of min_x max_y xy or leave it; these approach it.
Nothing here reads a number from the device, so that a step may become part of a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor, optim
from torch.nn import Parameter

from gan_runner.optim.adam import Adam
from gan_runner.optim.shared import (
    Decay,
    LearningRate,
    NonNegative,
    adam_moments,
    on_gpu,
    with_gradients,
)

Closure = Callable[[], float]


class _LooksAhead(optim.Optimizer):
    """Part of an optimizer: a move to look at, which the step then begins before.

    The return is a hook before the step, so that hooks of limits act once in either move.
    """

    starts: list[Tensor] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_step_pre_hook(_return_to_starts)

    def extrapolate(self) -> None:
        """Move to the point to look at; `step` starts from the present one."""
        starts = [p.detach().clone() for p in _parameters(self)]
        self.step()
        self.starts = starts


class ExtraSGD(_LooksAhead, optim.SGD):
    """SGD that looks ahead: u' = u - lr F(u) by `extrapolate`, u <- u - lr F(u') by `step`.

    Korpelevich 1976; Gidel et al. 2019, Algorithm 2. Between the two calls both players compute
    their gradients at the points that they looked ahead to: see `training.step.extragradient`.
    A step without a look ahead is SGD's.
    """


class TensorExtraAdam(_LooksAhead, Adam):
    """`ExtraAdam` whose learning rate and beta2 may be tensors."""


class ExtraAdam(_LooksAhead, optim.Adam):
    """Adam that looks ahead: both moves update the same moments and count as a step of them.

    Gidel et al. 2019, Algorithm 4: m and v take in the gradient at u for u', that at u' for u. The
    moments are those of torch's fused kernel, which corrects the bias in float64.
    """

    tensor_form = TensorExtraAdam


class OptimisticSGD(optim.Optimizer):
    """Optimistic mirror descent: u <- u - 2 lr g_t + lr g_{t-1}, the gradient before the first 0.

    Daskalakis et al. 2018, equation 2: the last gradient serves as a forecast of the next.

    Args:
        params: weights to move.
        lr: learning rate.
        weight_decay: adds the gradient of an L2 penalty.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        *,
        lr: LearningRate = 1e-3,
        weight_decay: NonNegative = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> None:  # type: ignore[override]
        """Step with the gradients in `grad` of the parameters; `closure` is ignored."""
        for group, parameter, gradient in with_gradients(self):
            direction = _decayed(gradient, parameter, group)
            _optimistic_step(parameter, self.state[parameter], direction, lr=group["lr"])


class OptimisticAdam(optim.Optimizer):
    """Optimistic mirror descent with Adam's direction d_t = m^_t / (sqrt(v^_t) + eps) as gradient.

    u <- u - 2 lr d_t + lr d_{t-1}, the direction before the first 0; m^ and v^ are the moments
    with their bias corrected. Daskalakis et al. 2018, Algorithm 1.

    Args:
        params: weights to move.
        lr: learning rate.
        betas: decays of the first and second moment.
        eps: added to the root of the second moment.
        weight_decay: adds the gradient of an L2 penalty.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        *,
        lr: LearningRate = 2e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.999),
        eps: Annotated[float, Gt(0)] = 1e-8,
        weight_decay: NonNegative = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        # torch then loads the step number to the parameters' device
        super().__init__(params, {**defaults, "capturable": True})

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> None:  # type: ignore[override]
        """Step with the gradients in `grad` of the parameters; `closure` is ignored."""
        for group, parameter, gradient in with_gradients(self):
            state = self.state[parameter]
            direction = _adam_direction(_decayed(gradient, parameter, group), state, group)
            _optimistic_step(parameter, state, direction, lr=group["lr"])


def extra_sgd(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 1e-3,
    momentum: Decay = 0.0,
    weight_decay: NonNegative = 0.0,
) -> ExtraSGD:
    """Build `ExtraSGD`; momentum takes in both gradients."""
    return ExtraSGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def extra_adam(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 2e-4,
    betas: tuple[Decay, Decay] = (0.5, 0.999),
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> ExtraAdam:
    """Build `ExtraAdam`."""
    first, second = betas  # torch rejects a list, which YAML gives
    parameters = list(params)
    return ExtraAdam(
        parameters, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay,
        fused=True, capturable=on_gpu(parameters),
    )  # fmt: skip


def _parameters(optimizer: optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _return_to_starts(optimizer: _LooksAhead, args: Any, kwargs: Any) -> None:
    """Put the parameters back to where a look ahead began, if there was one."""
    for parameter, start in zip(_parameters(optimizer), optimizer.starts or [], strict=False):
        parameter.copy_(start)
    optimizer.starts = None


def _decayed(gradient: Tensor, parameter: Tensor, group: dict[str, Any]) -> Tensor:
    decay = group["weight_decay"]
    return gradient.add(parameter, alpha=decay) if decay else gradient


def _optimistic_step(
    parameter: Tensor, state: dict[str, Any], direction: Tensor, *, lr: Any
) -> None:
    """Move by -lr (2 d_t - d_{t-1}); `lr` may be a number or a tensor."""
    if "last" not in state:
        state["last"] = torch.zeros_like(parameter)
    parameter.sub_(lr * (2 * direction - state["last"]))
    state["last"].copy_(direction)


def _adam_direction(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """Return Adam's direction m^ / (sqrt(v^) + eps) after taking in a gradient."""
    mean, square, correction1, correction2 = adam_moments(gradient, state, group["betas"])
    return mean / correction1 / ((square / correction2).sqrt() + group["eps"])

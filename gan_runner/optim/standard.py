"""Optimizers of torch with typed, checked arguments and the fast implementation per device.

`fused=True` runs the whole update in one kernel per device, with the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import optim
from torch.nn import Parameter

LearningRate = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Decay = Annotated[float, Ge(0), Lt(1)]


def adam(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 2e-4,
    betas: tuple[Decay, Decay] = (0.5, 0.999),
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> optim.Optimizer:
    """Build Adam (Kingma & Ba 2015, Algorithm 1).

    `weight_decay` adds the gradient of an L2 penalty.
    """
    first, second = betas  # torch rejects a list, which YAML gives
    parameters = list(params)
    return optim.Adam(
        parameters, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay,
        fused=True, capturable=_on_gpu(parameters),
    )  # fmt: skip


def rmsprop(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 5e-5,
    alpha: Decay = 0.99,
    eps: Annotated[float, Gt(0)] = 1e-8,
    momentum: Decay = 0.0,
    weight_decay: NonNegative = 0.0,
) -> optim.Optimizer:
    """Build RMSProp (Tieleman & Hinton 2012).

    The step is lr g / sqrt(v), where v is a moving average of g^2 with decay `alpha`.
    """
    parameters = list(params)
    return optim.RMSprop(
        parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay,
        foreach=True, capturable=_on_gpu(parameters),
    )  # fmt: skip


def sgd(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 1e-3,
    momentum: Decay = 0.0,
    weight_decay: NonNegative = 0.0,
) -> optim.Optimizer:
    """Build stochastic gradient descent (Robbins & Monro 1951) with Polyak's momentum."""
    return optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def _on_gpu(parameters: list[Parameter]) -> bool:
    """Return whether the optimizer's step may become part of a CUDA graph."""
    return any(parameter.is_cuda for parameter in parameters)

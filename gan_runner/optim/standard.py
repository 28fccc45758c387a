"""torch's optimizers with typed, checked arguments and the fast implementation of each device.

`fused=True` runs the whole update in one kernel a device; it is the same arithmetic.
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
    """Adam (Kingma & Ba 2015, Algorithm 1). `weight_decay` adds an L2 penalty to the gradient."""
    first, second = betas  # a list from YAML would do for us, but not for torch
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
    """RMSProp (Tieleman & Hinton 2012): lr g / sqrt(v), v a running mean of g^2, decay `alpha`."""
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
    """Stochastic gradient descent (Robbins & Monro 1951) with Polyak's momentum."""
    return optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def _on_gpu(parameters: list[Parameter]) -> bool:
    """Whether the optimizer's step may become part of a CUDA graph."""
    return any(parameter.is_cuda for parameter in parameters)

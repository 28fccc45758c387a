"""Optimizers of torch with typed, checked arguments and the fast implementation per device.

`fused=True` runs the whole update in one kernel per device, with the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from annotated_types import Gt
from torch import optim
from torch.nn import Parameter

from gan_runner.optim.adam import Adam, TensorFlowRMSProp
from gan_runner.optim.shared import Decay, LearningRate, NonNegative, on_gpu

Flavor = Literal["torch", "tensorflow"]
"""The library whose formula is used: they differ in the place of eps; see `optim.adam`."""


def adam(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 2e-4,
    betas: tuple[Decay, Decay] = (0.5, 0.999),
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: NonNegative = 0.0,
    flavor: Flavor = "torch",
) -> optim.Optimizer:
    """Build Adam (Kingma & Ba 2015, Algorithm 1; TensorFlow's flavor has epsilon hat).

    `weight_decay` adds the gradient of an L2 penalty.
    """
    first, second = betas  # torch rejects a list, which YAML gives
    parameters = list(params)
    if flavor == "tensorflow":
        return Adam(parameters, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay)
    return optim.Adam(
        parameters, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay,
        fused=True, capturable=on_gpu(parameters),
    )  # fmt: skip


def adamw(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 2e-4,
    betas: tuple[Decay, Decay] = (0.5, 0.999),
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: NonNegative = 0.01,
    flavor: Flavor = "torch",
) -> optim.Optimizer:
    """Build AdamW (Loshchilov & Hutter 2019): Adam, and weights shrink by lr weight_decay."""
    first, second = betas
    parameters = list(params)
    if flavor == "tensorflow":
        return Adam(
            parameters, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay,
            decoupled=True,
        )  # fmt: skip
    return optim.AdamW(
        parameters, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay,
        fused=True, capturable=on_gpu(parameters),
    )  # fmt: skip


def rmsprop(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 5e-5,
    alpha: Decay = 0.99,
    eps: Annotated[float, Gt(0)] | None = None,
    momentum: Decay = 0.0,
    weight_decay: NonNegative = 0.0,
    flavor: Flavor = "torch",
) -> optim.Optimizer:
    """Build RMSProp (Tieleman & Hinton 2012).

    The step is lr g / sqrt(v), where v is a moving average of g^2 with decay `alpha`. Without
    `eps`, it is the library's: torch's 1e-8 beside the root, TensorFlow's 1e-10 below it.
    """
    parameters = list(params)
    if eps is None:
        eps = 1e-8 if flavor == "torch" else 1e-10
    if flavor == "tensorflow":
        return TensorFlowRMSProp(
            parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay
        )
    return optim.RMSprop(
        parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay,
        foreach=True, capturable=on_gpu(parameters),
    )  # fmt: skip


def sgd(
    params: Iterable[Parameter],
    *,
    lr: LearningRate = 1e-3,
    momentum: Decay = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
) -> optim.Optimizer:
    """Build stochastic gradient descent (Robbins & Monro 1951) with Polyak's momentum.

    With `nesterov` the step is that of Sutskever et al. 2013, g + momentum b.

    Raises:
        ValueError: `nesterov` without momentum.
    """
    if nesterov and not momentum:
        raise ValueError("optimizer.nesterov=true: needs momentum; set optimizer.momentum=0.9")
    return optim.SGD(
        params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )

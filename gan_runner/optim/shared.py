"""Pieces that several optimizers share: types of arguments, the loop over parameters, moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.optim import Optimizer

LearningRate = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Decay = Annotated[float, Ge(0), Lt(1)]


def with_gradients(optimizer: Optimizer) -> Iterator[tuple[dict[str, Any], Tensor, Tensor]]:
    """Yield group, parameter and gradient of each parameter that has a gradient."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield group, parameter, parameter.grad


def adam_moments(
    gradient: Tensor, state: dict[str, Any], betas: tuple[float | Tensor, float | Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Update Adam's moments in place; return both and the factors that correct their bias.

    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,  c_i = 1 - beta_i^t

    Kingma & Ba 2015, Algorithm 1: m / c1 and v / c2 are the unbiased moments after t gradients.
    Nothing is read from the device, so that a captured graph counts t itself.

    Args:
        gradient: g, of one parameter.
        state: of the parameter, with `step`, `exp_avg` and `exp_avg_sq` as torch names t, m and v;
            without them before the first gradient.
        betas: beta1 and beta2, numbers or 0-d tensors on the device of the gradient.

    Returns:
        m and v, in the shape of the gradient; c1 and c2, 0-d and float64 on the same device.
    """
    if "step" not in state:
        state["step"] = torch.zeros((), device=gradient.device)
        state["exp_avg"] = torch.zeros_like(gradient)
        state["exp_avg_sq"] = torch.zeros_like(gradient)
    mean, square, step = state["exp_avg"], state["exp_avg_sq"], state["step"].add_(1)
    beta1, beta2 = betas
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).add_((1 - beta2) * gradient.square())
    # in float64: 1 - 0.999 in float32 has but five digits
    return mean, square, 1 - beta1 ** step.double(), 1 - beta2 ** step.double()


def on_gpu(parameters: Iterable[Tensor]) -> bool:
    """Return whether an optimizer's step may become part of a CUDA graph."""
    return any(parameter.is_cuda for parameter in parameters)

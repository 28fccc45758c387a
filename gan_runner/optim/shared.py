"""Pieces that several optimizers share: types of their arguments, the loop over parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

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


def on_gpu(parameters: Iterable[Tensor]) -> bool:
    """Return whether an optimizer's step may become part of a CUDA graph."""
    return any(parameter.is_cuda for parameter in parameters)

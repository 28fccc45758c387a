"""Adam and RMSProp whose numbers may be tensors, with TensorFlow's formulas.

The learning rate and beta2 may be 0-d tensors on the device of the parameters. So a captured graph
follows a schedule of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor, optim
from torch.nn import Parameter
from torch.optim import Optimizer

from gan_runner.optim.shared import (
    Decay,
    LearningRate,
    NonNegative,
    adam_moments,
    with_gradients,
)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), with eps in the place of Algorithm 1 or of section 2's remark.

    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,  c_i = 1 - beta_i^t
    theta <- theta - lr / c1 * m / (sqrt(v / c2) + eps)              (Algorithm 1, torch)
    theta <- theta - lr sqrt(c2) / c1 * m / (sqrt(v) + eps)          (epsilon hat, TensorFlow)

    Args:
        params: weights to train.
        lr: learning rate.
        betas: decays of the two means.
        eps: added to the root.
        weight_decay: weight of the L2 penalty, or the decoupled decay.
        epsilon_hat: use TensorFlow's formula.
        decoupled: shrink the weights by lr weight_decay (Loshchilov & Hutter 2019, AdamW).
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        *,
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        eps: float = 1e-8,
        weight_decay: NonNegative = 0.0,
        epsilon_hat: bool = True,
        decoupled: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "epsilon_hat": epsilon_hat, "decoupled": decoupled,
            "capturable": True,  # torch then loads `step` to the device of its parameter
        }  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step with the gradients in `grad` of the parameters; `closure` is ignored."""
        for group, parameter, gradient in with_gradients(self):
            self._update(parameter, gradient, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr, eps = group["lr"], group["eps"]
        if group["weight_decay"] and group["decoupled"]:
            parameter.mul_(1 - lr * group["weight_decay"])
        elif group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * parameter
        state = self.state[parameter]
        mean, square, correction1, correction2 = adam_moments(gradient, state, group["betas"])
        if group["epsilon_hat"]:
            root = square.sqrt().add_(eps).div_(correction2.sqrt())
        else:
            root = square.sqrt().div_(correction2.sqrt()).add_(eps)
        parameter.sub_(mean / root * (lr / correction1))


class TensorFlowRMSProp(Optimizer):
    """RMSProp (Tieleman & Hinton 2012) in TensorFlow's form.

    v <- alpha v + (1 - alpha) g^2 with v = 1 at the start
    b <- momentum b + lr g / sqrt(v + eps),  theta <- theta - b

    Torch begins with v = 0, adds eps to the root, and multiplies the whole of b by the present lr.

    Args:
        params: weights to train.
        lr: learning rate.
        alpha: decay of the mean of squares.
        eps: added below the root.
        momentum: of the steps.
        weight_decay: weight of the L2 penalty.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        *,
        lr: LearningRate = 5e-5,
        alpha: Decay = 0.99,
        eps: Annotated[float, Gt(0)] = 1e-10,
        momentum: Decay = 0.0,
        weight_decay: NonNegative = 0.0,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step with the gradients in `grad` of the parameters; `closure` is ignored."""
        for group, parameter, gradient in with_gradients(self):
            self._update(parameter, gradient, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["square_avg"] = torch.ones_like(parameter)
            state["momentum_buffer"] = torch.zeros_like(parameter)
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * parameter
        square = state["square_avg"].mul_(group["alpha"])
        square.addcmul_(gradient, gradient, value=1 - group["alpha"])
        step = gradient / (square + group["eps"]).sqrt() * group["lr"]
        parameter.sub_(state["momentum_buffer"].mul_(group["momentum"]).add_(step))


def with_tensor_betas(optimizer: Optimizer) -> Optimizer:
    """Return Adam in a form whose beta2 may be a tensor; torch's reads it on the host.

    A CPU has no captured graph: there every optimizer is returned as it is. A subclass of torch's
    names its own form in `tensor_form`.
    """
    group = optimizer.param_groups[0]
    if not isinstance(optimizer, optim.Adam) or group["params"][0].device.type == "cpu":
        return optimizer
    names = ("lr", "betas", "eps", "weight_decay")
    form: type[Adam] = getattr(optimizer, "tensor_form", Adam)
    return form(
        group["params"], **{name: group[name] for name in names}, epsilon_hat=False,
        decoupled=group["decoupled_weight_decay"],
    )  # fmt: skip

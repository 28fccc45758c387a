"""Stochastic gradient Hamiltonian Monte Carlo (Chen, Fox & Guestrin 2014, arXiv 1402.4102)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from gan_runner.optim.shared import LearningRate, NonNegative, adam_moments, with_gradients

_BETAS, _EPS = (0.5, 0.999), 1e-8  # of Adam in the warm-up; the authors' code sets beta1 alone


class SGHMC(Optimizer):
    """Sampler of weights: momentum with friction, balanced by noise, instead of descent.

    v <- (1 - a) v - lr g + N(0, 2 a lr T),  theta <- theta + v      (Chen et al. 2014, equation 15)

    For small `lr` the weights are distributed as exp(-L / T), where L is the loss with gradient g.
    For a posterior, L is the mean over the data of -log likelihood, plus -log prior / N, and
    T = 1 / N for N data. With T = 0 this is SGD with momentum 1 - a.

    The first steps may be Adam's, as in the code of Saatci & Wilson 2017: a chain that starts from
    random weights takes long to find any mode. The chain then starts without momentum.

    Args:
        params: weights to sample.
        lr: step size, eta in the paper.
        friction: a, alpha in the paper, in (0, 1].
        temperature: T; "auto": 1 / N, see `set_data_size`.
        warm_up: steps of Adam before the first of the chain.
        warm_up_lr: learning rate of Adam; the betas are 0.5 and 0.999.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        *,
        lr: LearningRate = 1e-3,
        friction: Annotated[float, Gt(0), Le(1)] = 0.1,
        temperature: NonNegative | Literal["auto"] = 1e-4,
        warm_up: Annotated[int, Ge(0)] = 0,
        warm_up_lr: Annotated[float, Gt(0)] = 2e-4,
    ) -> None:
        defaults = {
            "lr": lr, "friction": friction, "temperature": temperature, "warm_up": warm_up,
            "warm_up_lr": warm_up_lr,
            "capturable": True,  # torch then loads `step` to the device of its parameter
        }  # fmt: skip
        super().__init__(params, defaults)

    def set_data_size(self, rows: int) -> None:
        """Set every temperature "auto" to 1 / rows, that of the posterior given so many data."""
        for group in self.param_groups:
            if group["temperature"] == "auto":
                group["temperature"] = 1 / rows

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step with the gradients in `grad` of the parameters; `closure` is ignored."""
        for group, parameter, gradient in with_gradients(self):
            assert group["temperature"] != "auto", "`set_data_size` comes first"
            self._update(parameter, gradient, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        lr, friction = group["lr"], group["friction"]
        velocity = state["momentum"].mul_(1 - friction)
        variance = 2 * friction * lr * group["temperature"]
        if isinstance(lr, Tensor):  # scheduled, on a GPU: no number of it may come to the host
            velocity.sub_(gradient * lr).add_(torch.randn_like(velocity) * variance.sqrt())
        else:
            velocity.sub_(gradient, alpha=lr)
            if variance:
                velocity.add_(torch.randn_like(velocity), alpha=sqrt(variance))
        if group.get("warm_up"):  # an older checkpoint has no such key
            self._replace_by_adam(parameter, gradient, group)
        parameter.add_(velocity)

    def _replace_by_adam(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Move by Adam and clear the momentum while the warm-up lasts.

        The choice is made on the device, so that a captured graph makes it in every step.
        """
        state: dict[str, Any] = self.state[parameter]
        mean, square, correction1, correction2 = adam_moments(gradient, state, _BETAS)
        root = (square / correction2).sqrt() + _EPS
        move = group["warm_up_lr"] * (mean / correction1) / root
        is_warm_up = state["step"] <= group["warm_up"]
        parameter.sub_(torch.where(is_warm_up, move, torch.zeros_like(move)))
        momentum: Tensor = state["momentum"]
        momentum.copy_(torch.where(is_warm_up, torch.zeros_like(momentum), momentum))

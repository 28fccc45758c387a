"""Stochastic gradient Hamiltonian Monte Carlo (Chen, Fox & Guestrin 2014, arXiv 1402.4102)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from gan_runner.optim.standard import LearningRate


class SGHMC(Optimizer):
    """Sampler of weights: momentum with friction, balanced by noise, instead of descent.

    v <- (1 - a) v - lr g + N(0, 2 a lr T),  theta <- theta + v      (Chen et al. 2014, equation 15)

    For small `lr` the weights are distributed as exp(-L / T), where L is the loss with gradient g.
    For a posterior, L is the mean over the data of -log likelihood, plus -log prior / N, and
    T = 1 / N for N data. With T = 0 this is SGD with momentum 1 - a.

    Args:
        params: weights to sample.
        lr: step size, eta in the paper.
        friction: a, alpha in the paper, in (0, 1].
        temperature: T.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        *,
        lr: LearningRate = 1e-3,
        friction: Annotated[float, Gt(0), Le(1)] = 0.1,
        temperature: Annotated[float, Ge(0)] = 1e-4,
    ) -> None:
        super().__init__(params, {"lr": lr, "friction": friction, "temperature": temperature})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step with the gradients in `grad` of the parameters; `closure` is ignored."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

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
        parameter.add_(velocity)

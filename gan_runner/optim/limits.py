"""Limits on the updates of any optimizer: clipped gradients, parameters projected onto a ball.

They are hooks around `Optimizer.step`, between the gradients and the step or after it. They act on
the device without synchronisation, whichever optimizer and order of updates is in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor
from torch.optim import Optimizer

Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on one player's updates; None: no limit.

    The value of each coordinate is clipped first, then the norm.

    Attributes:
        max_grad_norm: largest Euclidean norm of the gradient in all parameters together.
        max_grad_value: largest absolute value of a coordinate of the gradient.
        radius: of the ball around 0 that the vector of all parameters is projected onto.
    """

    max_grad_norm: Positive | None = None
    max_grad_value: Positive | None = None
    radius: Positive | None = None

    def attach(self, optimizer: Optimizer, *, batch_dims: int = 0) -> None:
        """Apply the limits to every step of an optimizer from now on.

        Args:
            optimizer: of one player, or of the stacked players of replicas.
            batch_dims: leading dimensions of each parameter that count replicas; each replica has
                the limits for itself.
        """

        def clip(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            for parameters in _vectors(optimizer, batch_dims):
                self._clip([p for p in parameters if p.grad is not None], batch_dims)

        def project(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            for parameters in _vectors(optimizer, batch_dims):
                project_onto_ball(parameters, self.radius or 0.0, batch_dims=batch_dims)

        if self.max_grad_norm is not None or self.max_grad_value is not None:
            optimizer.register_step_pre_hook(clip)
        if self.radius is not None:
            optimizer.register_step_post_hook(project)

    def _clip(self, parameters: Sequence[Tensor], batch_dims: int) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.max_grad_value is not None:
            gradients = [g.clamp(-self.max_grad_value, self.max_grad_value) for g in gradients]
        if self.max_grad_norm is not None:
            gradients = clip_by_norm(gradients, self.max_grad_norm, batch_dims=batch_dims)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


def clip_by_norm(
    gradients: Sequence[Tensor], max_norm: float, *, batch_dims: int = 0
) -> list[Tensor]:
    """Return the gradients times min(1, max_norm / (|g| + 1e-6)), |g| over all of them together.

    Pascanu et al. 2013, Algorithm 1; the constant is that of `torch.nn.utils.clip_grad_norm_`. The
    results are new tensors, as two parameters may share one gradient.
    """
    factor = (max_norm / (total_norm(gradients, batch_dims=batch_dims) + 1e-6)).clamp(max=1.0)
    return [gradient * _expanded(factor, gradient) for gradient in gradients]


@torch.no_grad()
def project_onto_ball(parameters: Sequence[Tensor], radius: float, *, batch_dims: int = 0) -> None:
    """Project a vector of parameters onto {|theta|_2 <= radius}, in place.

    Proj(theta) = argmin |theta - theta'| over the ball, theta min(1, radius / |theta|): the step of
    projected stochastic gradient descent that keeps its iterates bounded.
    """
    factor = (radius / total_norm(parameters, batch_dims=batch_dims)).clamp(max=1.0)
    for parameter in parameters:
        parameter.mul_(_expanded(factor, parameter))


def total_norm(tensors: Sequence[Tensor], *, batch_dims: int = 0) -> Tensor:
    """Return the Euclidean norm of all tensors as one vector; one for each replica."""
    rows = [t.detach().reshape(*t.shape[:batch_dims], -1) for t in tensors]
    return torch.stack([row.norm(dim=-1) for row in rows]).norm(dim=0)


def _expanded(factor: Tensor, tensor: Tensor) -> Tensor:
    """Return a factor for each replica in the number of dimensions of a tensor."""
    return factor[(..., *[None] * (tensor.ndim - factor.ndim))]


def _vectors(optimizer: Optimizer, batch_dims: int) -> list[list[Tensor]]:
    """Return the parameters of each player: all groups, or one group of stacked replicas."""
    groups = [list(group["params"]) for group in optimizer.param_groups]
    return groups if batch_dims else [[p for group in groups for p in group]]

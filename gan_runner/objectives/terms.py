"""Terms that an objective adds to its critic's score.

A term is called as `term(critic, real, fake)` with two batches of equal size and returns a 0-d
tensor, its weight included. A term that needs the critic to score each sample by itself says so
with the `per_sample` decorator: the builder then refuses a critic with batch norm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import torch
from annotated_types import Ge
from torch import Tensor
from torch.func import grad

from gan_runner.core import Batch, Critic

Term = TypeVar("Term", bound=Callable[..., Tensor])


def per_sample(term: Term) -> Term:
    """Mark a term that is only defined where one sample's score does not depend on another's."""
    term.needs_per_sample_scores = True  # type: ignore[attr-defined]
    return term


@per_sample
def gradient_penalty(
    critic: Critic, real: Batch, fake: Batch, *, weight: Annotated[float, Ge(0)] = 10.0
) -> Tensor:
    """Two-sided gradient penalty: weight * E (|grad f(x_hat)|_2 - 1)^2.

    Gulrajani et al. 2017, equation 3: x_hat = eps x + (1 - eps) G(z), one eps ~ U[0, 1] a sample;
    the norm runs over all dimensions of a sample.

    Args:
        critic: scores samples one by one.
        real: data, (N, *shape).
        fake: generated samples, (N, *shape), detached.
        weight: lambda.
    """
    eps = torch.rand(len(real.x), *[1] * (real.x.ndim - 1), device=real.x.device)
    x_hat = eps * real.x + (1 - eps) * fake.x
    gradient = input_gradient(critic, x_hat, real.y)
    return weight * (gradient_norm(gradient) - 1).square().mean()


def input_gradient(critic: Critic, x: Tensor, y: Tensor | None) -> Tensor:
    """Gradient of each sample's score in that sample, (N, *shape); differentiable once more.

    `torch.func.grad` gives the bits of `autograd.grad(create_graph=True)`, and unlike it can be
    compiled and vectorised over replicas.
    """
    return grad(lambda at: critic(at, y).sum())(x)


def gradient_norm(gradient: Tensor) -> Tensor:
    """Euclidean norm of each sample's gradient, (N, *shape) -> (N,), never in half precision.

    torch's norm has the subgradient 0 at 0, so a critic that is flat somewhere yields no NaN.
    """
    precise = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.flatten(1).to(precise).norm(dim=1)

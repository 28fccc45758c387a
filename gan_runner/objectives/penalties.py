"""Terms that an objective adds to a player's loss.

A term is called as `term(critic, real, fake)` with two batches of equal size and returns a 0-d
tensor, its weight included. `@requires(per_sample_scores=True)` marks a term that needs the critic
to score each sample by itself: the builder then refuses a critic with batch norm.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.func import grad
from torch.nn.functional import relu

from gan_runner.core import Batch, Critic, HasParameters
from gan_runner.objectives.requires import requires

NonNegative = Annotated[float, Ge(0)]


@requires(per_sample_scores=True, bounds_slope=True)
def gradient_penalty(
    critic: Critic, real: Batch, fake: Batch, *, weight: NonNegative = 10.0
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
    norms = gradient_norm(input_gradient(critic, _between(real, fake), real.y))
    return weight * (norms - 1).square().mean()


@requires(per_sample_scores=True, bounds_slope=True)
def lipschitz_penalty(
    critic: Critic, real: Batch, fake: Batch, *, weight: NonNegative = 10.0
) -> Tensor:
    """One-sided gradient penalty: weight * E max(0, |grad f(x_hat)|_2 - 1)^2.

    Petzka et al. 2018, WGAN-LP: only slopes above 1 contradict a Lipschitz constant of 1. The
    points x_hat and the arguments are those of `gradient_penalty`.
    """
    norms = gradient_norm(input_gradient(critic, _between(real, fake), real.y))
    return weight * relu(norms - 1).square().mean()


@requires(per_sample_scores=True)
def dragan_penalty(
    critic: Critic,
    real: Batch,
    fake: Batch,
    *,
    weight: NonNegative = 10.0,
    noise: NonNegative = 0.5,
    distribution: Literal["uniform", "normal"] = "uniform",
) -> Tensor:
    """Two-sided gradient penalty around the data: weight * E (|grad f(x + delta)|_2 - 1)^2.

    Kodali et al. 2017 (DRAGAN), Algorithm 1, with s the standard deviation of all numbers in the
    batch. The authors' code has delta = a u noise s with noise = 0.5, one a ~ U[0, 1] per sample
    and one u ~ U[0, 1] per coordinate. So delta is not negative, and its root mean square is
    0.17 s. The alternative is delta ~ N(0, (noise s)^2 I).

    Args:
        critic: scores samples one by one.
        real: data, (N, *shape).
        fake: not used.
        weight: lambda.
        noise: size of delta as a share of s.
        distribution: "uniform", the authors', or "normal".
    """
    size = noise * real.x.std(correction=0)
    if distribution == "normal":
        x_hat = real.x + size * torch.randn_like(real.x)
    else:
        alpha = torch.rand(len(real.x), *[1] * (real.x.ndim - 1), device=real.x.device)
        x_hat = real.x + alpha * size * torch.rand_like(real.x)
    norms = gradient_norm(input_gradient(critic, x_hat, real.y))
    return weight * (norms - 1).square().mean()


@requires(per_sample_scores=True)
def r1(critic: Critic, real: Batch, fake: Batch, *, weight: NonNegative = 10.0) -> Tensor:
    """Zero-centred gradient penalty on data: weight / 2 * E |grad f(x)|_2^2.

    Mescheder et al. 2018, equation 9 (R1), whose gamma is the weight.
    """
    return weight / 2 * _squared_norm(input_gradient(critic, real.x, real.y)).mean()


@requires(per_sample_scores=True)
def r2(critic: Critic, real: Batch, fake: Batch, *, weight: NonNegative = 10.0) -> Tensor:
    """Zero-centred gradient penalty on samples: weight / 2 * E |grad f(G(z))|_2^2.

    Mescheder et al. 2018, equation 10 (R2), whose gamma is the weight.
    """
    return weight / 2 * _squared_norm(input_gradient(critic, fake.x, fake.y)).mean()


@requires(own_weights=True)
def weight_decay(
    player: HasParameters,
    real: Batch,
    fake: Batch,
    *,
    weight: NonNegative = 1e-3,
    normalised_only: bool = False,
) -> Tensor:
    """Sum of the squared Frobenius norms of the layers: weight * sum_l |W_l|_F^2.

    |W|_F is at least the spectral norm of W, so that it bounds a dense layer's Lipschitz constant.
    Matrices and kernels alone: biases and the scales of norms are left out. Unlike an optimizer's
    `weight_decay`, it is part of the loss that is logged.

    Args:
        player: whose weights they are.
        real: not looked at.
        fake: not looked at.
        weight: of the sum.
        normalised_only: 0 for a player without norms, which is one without scales (a `weight` that
            is a vector). Gulrajani et al. 2017 decay the weights of normalised critics alone.
    """
    named = list(player.named_parameters())
    matrices = [w for _, w in named if w.ndim > 1]
    has_scales = any(w.ndim == 1 and name.endswith("weight") for name, w in named)
    if normalised_only and not has_scales:
        return matrices[0].new_zeros(())
    return weight * torch.stack([w.square().sum() for w in matrices]).sum()


@requires(own_weights=True)
def gaussian_prior(
    player: HasParameters,
    real: Batch,
    fake: Batch,
    *,
    std: Annotated[float, Gt(0)] = 1.0,
    data_size: Annotated[int, Gt(0)] | None = None,
) -> Tensor:
    """Negative log density of a Gaussian prior of the weights per row of data, up to a constant.

    -log N(W; 0, std^2 I) / N = sum_l |W_l|_F^2 / (2 std^2 N): Saatci & Wilson 2017, section 2.1,
    beside a loss that is a mean over the data. Matrices and kernels alone, as in `weight_decay`.

    Args:
        player: whose weights they are.
        real: not looked at.
        fake: not looked at.
        std: standard deviation of each weight.
        data_size: N; None: the builder sets the number of training rows.
    """
    assert data_size is not None, "the builder sets it"
    return weight_decay(player, real, fake, weight=1 / (2 * std**2 * data_size))


def _between(real: Batch, fake: Batch) -> Tensor:
    """Points between data and samples: eps x + (1 - eps) G(z), one eps ~ U[0, 1] a sample."""
    eps = torch.rand(len(real.x), *[1] * (real.x.ndim - 1), device=real.x.device)
    return eps * real.x + (1 - eps) * fake.x


def input_gradient(critic: Critic, x: Tensor, y: Tensor | None) -> Tensor:
    """Gradient of each sample's score in that sample, (N, *shape); differentiable once more.

    `torch.func.grad` gives the bits of `autograd.grad(create_graph=True)`, and unlike it can be
    compiled and vectorised over replicas.
    """
    return grad(lambda points: critic(points, y).sum())(x)


def gradient_norm(gradient: Tensor) -> Tensor:
    """Euclidean norm of each sample's gradient, (N, *shape) -> (N,), never in half precision.

    torch's norm has the subgradient 0 at 0, so a critic that is flat somewhere yields no NaN.
    """
    precise = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.flatten(1).to(precise).norm(dim=1)


def _squared_norm(gradient: Tensor) -> Tensor:
    """Squared norm of each sample's gradient, (N, *shape) -> (N,): without the root, no kink."""
    precise = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.flatten(1).to(precise).square().sum(dim=1)

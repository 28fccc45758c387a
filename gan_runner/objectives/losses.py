"""Adversarial losses as pure functions of critic outputs.

`r` and `f` are the critic's scores (N,) of real and of generated samples: raw numbers, no sigmoid;
a discriminator's probability is D = sigmoid(score). Every function returns the 0-d mean over the
batch of what its player minimises.

A critic's loss is called as `loss(r, f)`, a generator's as `loss(f)`. A generator's loss that
compares samples with data has `@requires(real_scores=True)`, and is called as `loss(r, f)`.
"""

from __future__ import annotations

from math import log
from typing import Annotated

from annotated_types import Gt, Le
from torch import Tensor
from torch.nn.functional import relu, softplus

from gan_runner.objectives.requires import requires


@requires(zero_decides=True)
def logistic_critic(
    r: Tensor, f: Tensor, *, real_target: Annotated[float, Gt(0), Le(1)] = 1.0
) -> Tensor:
    """Cross-entropy of the discriminator: -E log D(x) - E log(1 - D(G(z))).

    Goodfellow et al. 2014, equation 1, with the sign turned. -log sigmoid(r) = softplus(-r) and
    -log(1 - sigmoid(f)) = softplus(f), which stay exact for large scores.

    With a target a < 1 for data, -E [a log D(x) + (1 - a) log(1 - D(x))] - E log(1 - D(G(z))):
    one-sided label smoothing (Salimans et al. 2016, section 3.4, with a = 0.9), which keeps the
    optimal discriminator from being surer of data than a.
    """
    total = softplus(-r).mean() + softplus(f).mean()
    # a softplus(-r) + (1 - a) softplus(r) = softplus(-r) + (1 - a) r
    return total if real_target == 1 else total + (1 - real_target) * r.mean()


def saturating_generator(f: Tensor) -> Tensor:
    """E log(1 - D(G(z))), Goodfellow et al. 2014, equation 1. Its slope in f is -D(G(z))."""
    return -softplus(f).mean()


def nonsaturating_generator(f: Tensor) -> Tensor:
    """-E log D(G(z)), Goodfellow et al. 2014, section 3. Its slope in f is -(1 - D(G(z)))."""
    return softplus(-f).mean()


def least_squares_critic(
    r: Tensor, f: Tensor, *, fake_target: float = 0.0, real_target: float = 1.0
) -> Tensor:
    """1/2 E (f(x) - b)^2 + 1/2 E (f(G(z)) - a)^2 with a the fake, b the real target.

    Mao et al. 2017 (LSGAN), equation 2.
    """
    return 0.5 * (r - real_target).square().mean() + 0.5 * (f - fake_target).square().mean()


def least_squares_generator(f: Tensor, *, target: float = 1.0) -> Tensor:
    """1/2 E (f(G(z)) - c)^2. Mao et al. 2017 (LSGAN), equation 2."""
    return 0.5 * (f - target).square().mean()


@requires(zero_decides=True)
def hinge_critic(r: Tensor, f: Tensor) -> Tensor:
    """E max(0, 1 - f(x)) + E max(0, 1 + f(G(z))). Lim & Ye 2017; Miyato et al. 2018, eq. 16."""
    return relu(1 - r).mean() + relu(1 + f).mean()


def hinge_generator(f: Tensor) -> Tensor:
    """-E f(G(z)). Lim & Ye 2017; Miyato et al. 2018, equation 17."""
    return -f.mean()


def relativistic_average_critic(r: Tensor, f: Tensor) -> Tensor:
    """-E log sigmoid(f(x) - E f(G(z))) - E log(1 - sigmoid(f(G(z)) - E f(x))).

    Jolicoeur-Martineau 2018, RaSGAN (the logistic loss): how much more real is a sample than the
    average one of the other kind? A constant added to the scores cancels.
    """
    return softplus(f.mean() - r).mean() + softplus(f - r.mean()).mean()


@requires(real_scores=True)
def relativistic_average_generator(r: Tensor, f: Tensor) -> Tensor:
    """-E log sigmoid(f(G(z)) - E f(x)) - E log(1 - sigmoid(f(x) - E f(G(z)))): the roles swapped.

    Jolicoeur-Martineau 2018, RaSGAN. Gradients of both parts reach the generator.
    """
    return relativistic_average_critic(f, r)


def relativistic_pairing_critic(r: Tensor, f: Tensor) -> Tensor:
    """-E log sigmoid(f(x) - f(G(z))), over pairs of the two batches.

    Jolicoeur-Martineau 2018, RSGAN; Huang et al. 2024, section 2, RpGAN. A constant added to the
    scores cancels.
    """
    return softplus(f - r).mean()


@requires(real_scores=True)
def relativistic_pairing_generator(r: Tensor, f: Tensor) -> Tensor:
    """-E log sigmoid(f(G(z)) - f(x)), over pairs: the roles swapped (non-saturating).

    Jolicoeur-Martineau 2018, RSGAN; Huang et al. 2024, section 2, RpGAN.
    """
    return relativistic_pairing_critic(f, r)


def wasserstein_critic(r: Tensor, f: Tensor) -> Tensor:
    """E f(G(z)) - E f(x): minus the Kantorovich-Rubinstein dual. Arjovsky et al. 2017, eq. 2."""
    return f.mean() - r.mean()


def wasserstein_generator(f: Tensor) -> Tensor:
    """-E f(G(z)). Arjovsky et al. 2017, Algorithm 1, line 10."""
    return -f.mean()


def wasserstein_estimate(r: Tensor, f: Tensor) -> Tensor:
    """E f(x) - E f(G(z)), the dual's value at f: at most W1 times f's Lipschitz constant."""
    return r.mean() - f.mean()


def jensen_shannon(r: Tensor, f: Tensor) -> Tensor:
    """Lower bound in nats on the Jensen-Shannon divergence that a classifying discriminator proves.

    log 2 - 1/2 (-E log D(x) - E log(1 - D(G(z)))), from V(D, G) <= 2 JS - log 4 (Goodfellow et al.
    2014, theorem 1): 0 for a guessing discriminator, log 2 for a perfect one, negative for one that
    is worse than guessing.

    The bound holds for single samples only if each is scored by itself: with batch norm a score
    depends on its whole batch, all data or all samples, and the bound is on batches. It holds in
    expectation over data that the discriminator has not memorised.
    """
    return log(2) - 0.5 * logistic_critic(r, f)

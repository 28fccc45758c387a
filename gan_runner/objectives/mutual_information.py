"""Terms that tie a sample to what it was made of: its label, its code, its noise.

Like all terms they are called as `term(critic, real, fake)`. They look at small networks beside the
critic's score, `critic.submodule(NAME, ...)`, which the objective's `heads` have added.
"""

from __future__ import annotations

from math import log, pi
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softplus

from gan_runner.core import Batch, HasHeads, Loss
from gan_runner.objectives.requires import requires

Weight = Annotated[float, Ge(0)]


@requires(needs=("features",), weights=("weight", "covariance"))
def feature_matching(
    critic: HasHeads, real: Batch, fake: Batch, *, weight: Weight = 1.0, covariance: Weight = 0.0
) -> Tensor:
    """weight * |E h(x) - E h(G(z))|_2^2 + covariance * |C(x) - C(G(z))|_F^2.

    h is the critic's last hidden layer, C its covariance E (h - E h)(h - E h)' over the batch. The
    means alone: Salimans et al. 2016, section 3.1; with covariances: Mroueh et al. 2017. For the
    generator, in place of its score.
    """
    with torch.no_grad():
        wanted = critic.submodule("features", real.x, real.y)
    found = critic.submodule("features", fake.x, fake.y)
    means = weight * (wanted.mean(0) - found.mean(0)).square().sum()
    if not covariance:
        return means
    return means + covariance * (_covariance(wanted) - _covariance(found)).square().sum()


def _covariance(h: Tensor) -> Tensor:
    centred = h - h.mean(0)
    return centred.T @ centred / len(h)


@requires(needs=("features", "labels", "head classifier"))
def classification(
    critic: HasHeads,
    real: Batch,
    fake: Batch,
    *,
    weight: Weight = 1.0,
    of: Literal["real", "fake", "both"] = "both",
) -> Tensor:
    """-weight * E log P(C = y | x), summed over the batches: Odena et al. 2017 (AC-GAN), eq. 3.

    Args:
        critic: with a head `classifier`.
        real: data with labels.
        fake: samples with the labels that they were made for.
        weight: factor.
        of: whose labels: those of data, of samples, or of both. A generator sees "fake".
    """
    batches = {"real": [real], "fake": [fake], "both": [real, fake]}[of]
    losses = [_label_loss(critic, batch) for batch in batches]
    return weight * torch.stack(losses).sum()


def _label_loss(critic: HasHeads, batch: Batch) -> Tensor:
    assert batch.y is not None, "the builder has seen to it that there are labels"
    return cross_entropy(
        critic.submodule("classifier", critic.submodule("features", batch.x)), batch.y
    )


@requires(
    needs=(
        "features",
        "head code",
    ),
    logs=("information/categorical", "information/continuous"),
    weights=("categorical", "continuous"),
)
def code_information(
    critic: HasHeads,
    real: Batch,
    fake: Batch,
    *,
    categorical: Weight = 1.0,
    continuous: Weight = 1.0,
) -> Loss:
    """-lam L_I of both codes: the bound L_I = H(c) + E log Q(c|G(z)) <= I(c; G(z)), in nats.

    Chen et al. 2016 (InfoGAN), equation 5, for both players. H is log K for the categorical code,
    and n log 2 for n codes in [-1, 1], whose Q is a product of Gaussians. The bounds are logged as
    information/categorical and information/continuous.

    Args:
        critic: with a head `code`, see `heads.CodePosterior`.
        real: not used.
        fake: samples with the noise that they were made of, see `priors.infogan_prior`.
        categorical: lam of the categorical code.
        continuous: lam of the continuous codes.
    """
    assert fake.z is not None, "a sample knows what it was made of"
    logits, mean, log_std = critic.submodule("code", critic.submodule("features", fake.x, fake.y))
    k, n = logits.shape[1], mean.shape[1]
    one_hot, u = fake.z[:, :k], fake.z[:, k : k + n]
    discrete = log(k) + (one_hot * log_softmax(logits, dim=1)).sum(1).mean()
    density = -0.5 * ((u - mean) / log_std.exp()).square() - log_std - 0.5 * log(2 * pi)
    smooth = n * log(2) + density.sum(1).mean()
    logs = {"information/categorical": discrete.detach(), "information/continuous": smooth.detach()}
    return Loss(-categorical * discrete - continuous * smooth, logs)


@requires(
    needs=(
        "features",
        "head pairs",
    ),
    logs=("information/noise",),
)
def noise_information(
    critic: HasHeads, real: Batch, fake: Batch, *, weight: Weight = 1.0, train_features: bool = True
) -> Loss:
    """-weight * I_JSD(G(z); z): keeps the generator's entropy up. Kumar et al. 2019 (MEG), eq. 8.

    I_JSD = -E softplus(-T(x, z)) - E softplus(T(x, z')), z' the noise of another sample of the
    batch: 2 log 2 less than twice a Jensen-Shannon divergence between pairs that belong together
    and pairs that do not. H(G(z)) = I(G(z); z) for a generator without noise of its own. Logged,
    shifted so that 0 means independent, as information/noise.

    Args:
        critic: with a head `pairs`, see `heads.StatisticsNetwork`.
        real: not used.
        fake: samples with the noise that they were made of.
        weight: factor.
        train_features: False in the critic's own loss, where it is T alone that should learn.
    """
    assert fake.z is not None, "a sample knows what it was made of"
    h = critic.submodule("features", fake.x, fake.y)
    h = h if train_features else h.detach()
    together = critic.submodule("pairs", h, fake.z)
    apart = critic.submodule("pairs", h, fake.z.roll(1, dims=0))
    information = -softplus(-together).mean() - softplus(apart).mean()
    shifted = (information + 2 * log(2)).detach()
    return Loss(-weight * information, {"information/noise": shifted})

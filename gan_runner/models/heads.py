"""Heads: small networks on a critic's features, in addition to the score.

An objective names heads in `heads`. The builder makes each for the critic's last hidden layer, the
noise and the data. It adds them to the critic, so that the critic's optimizer trains them.
"""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.blocks import InitOrTorchs, PositiveInt, init_weights


def classifier(
    features: int, latent_dim: int, spec: DataSpec, *, init: InitOrTorchs = "default"
) -> nn.Module:
    """Build a head for logits of the label, h -> (N, n_classes). Odena et al. 2017 (AC-GAN).

    Args:
        features: d, the dimension of the critic's last hidden layer.
        latent_dim: dimension of the noise.
        spec: facts about the data.
        init: initialization of the weights, "default" (torch's) or see `blocks.initialise`.

    Raises:
        ValueError: the data has no labels.
    """
    if not spec.n_classes:
        raise ValueError(
            f"objective.heads.classifier: the head needs data with labels, but the data is {spec};"
            " set another dataset, such as dataset=digits"
        )
    head = nn.Linear(features, spec.n_classes)
    init_weights(head, init=init, norm="none")
    return head


class CodePosterior(nn.Module):
    """Q(c|x) of InfoGAN (Chen et al. 2016, section 6) with one hidden layer on the features.

    Args:
        features: d, the dimension of the critic's last hidden layer.
        latent_dim: dimension of the noise.
        spec: facts about the data.
        categorical: K, the number of values of the categorical code.
        continuous: n, the number of uniform codes.
        width: width of the hidden layer.
        fixed_std: give all Gaussians the standard deviation 1, as the authors' MNIST run does
            (`fix_std=True`). A learned one lets the bound on the information grow without limit
            when the generator is deterministic.
    """

    def __init__(
        self,
        features: int,
        latent_dim: int,
        spec: DataSpec,
        *,
        categorical: PositiveInt = 10,
        continuous: Annotated[int, Ge(0)] = 2,
        width: PositiveInt = 128,
        fixed_std: bool = False,
    ) -> None:
        super().__init__()
        self.fixed_std = fixed_std
        self.sizes = [categorical, continuous, *([] if fixed_std else [continuous])]
        self.layers = nn.Sequential(
            nn.Linear(features, width), nn.LeakyReLU(0.1), nn.Linear(width, sum(self.sizes))
        )

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, d) to logits (N, K), means (N, n) and log standard deviations (N, n)."""
        logits, mean, *log_std = self.layers(h).split(self.sizes, dim=1)
        return logits, mean, torch.zeros_like(mean) if self.fixed_std else log_std[0]


class StatisticsNetwork(nn.Module):
    """T(x, z): a score for "sample x comes from noise z", with one hidden layer on [h(x), z].

    This is the statistics network of Kumar et al. 2019 (MEG), section 3.1.

    Args:
        features: d, the dimension of the critic's last hidden layer.
        latent_dim: dimension of the noise.
        spec: facts about the data.
        width: width of the hidden layer.
    """

    def __init__(
        self,
        features: int,
        latent_dim: int,
        spec: DataSpec,
        *,
        width: PositiveInt = 512,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features + latent_dim, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        )

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Map features (N, d) and noise (N, latent_dim) to scores (N,)."""
        return self.layers(torch.cat([h, z], dim=1)).squeeze(1)

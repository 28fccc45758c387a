"""Small networks on a critic's features, beside its score: what some objectives ask of it.

An objective names them in `heads`; the builder makes each for the critic's last hidden layer, the
noise and the data, and adds it to the critic, whose optimizer then trains it.
"""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.blocks import PositiveInt


def classifier(features: int, latent_dim: int, spec: DataSpec) -> nn.Module:
    """Logits of the label: h -> (N, n_classes). Odena et al. 2017 (AC-GAN).

    Raises:
        ValueError: the data has no labels.
    """
    if not spec.n_classes:
        raise ValueError(
            f"objective.heads.classifier needs data with labels, but the data is {spec}"
        )
    return nn.Linear(features, spec.n_classes)


class CodePosterior(nn.Module):
    """Q(c|x) of InfoGAN (Chen et al. 2016, section 6) by one hidden layer on the features.

    Args:
        features: d, of the critic's last hidden layer.
        latent_dim: size of the noise.
        spec: facts about the data.
        categorical: K, values of the categorical code.
        continuous: n, uniform codes.
        width: of the hidden layer.
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
    ) -> None:
        super().__init__()
        self.sizes = [categorical, continuous, continuous]
        self.layers = nn.Sequential(
            nn.Linear(features, width), nn.LeakyReLU(0.1), nn.Linear(width, sum(self.sizes))
        )

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, d) -> logits (N, K), means (N, n) and logarithms of standard deviations (N, n)."""
        logits, mean, log_std = self.layers(h).split(self.sizes, dim=1)
        return logits, mean, log_std


class StatisticsNetwork(nn.Module):
    """T(x, z): whether a sample was made of that noise, by one hidden layer on [h(x), z].

    The statistics network of Kumar et al. 2019 (MEG), section 3.1.

    Args:
        features: d, of the critic's last hidden layer.
        latent_dim: size of the noise.
        spec: facts about the data.
        width: of the hidden layer.
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
        """(N, d) features and (N, latent_dim) noise -> scores (N,)."""
        return self.layers(torch.cat([h, z], dim=1)).squeeze(1)

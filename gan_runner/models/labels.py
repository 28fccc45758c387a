"""Conditioning on labels: embedding next to the noise, concatenation, or projection.

Conditional norms are in `norms`. A layer that needs the labels sets `takes_labels`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gan_runner.core import DataSpec

GeneratorLabels = Literal["none", "embedding", "conditional_norm"]
CriticLabels = Literal["none", "concatenation", "projection"]


class ConcatLabelEmbedding(nn.Module):
    """[z, E_y]: the noise and a learned vector of the label, of the same dimension.

    Mirza & Osindero 2014 (conditional GAN). Initially E ~ N(0, I), like the noise.
    """

    takes_labels = True

    def __init__(self, n_classes: int, latent_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_classes, latent_dim)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Map noise (N, d) and labels (N,) to (N, 2 d)."""
        return torch.cat([z, self.embedding(y)], dim=1)


class ConcatLabels(nn.Module):
    """The label as one-hot coordinates of a vector, or as one-hot planes of an image.

    Mirza & Osindero 2014 (conditional GAN), for the discriminator.
    """

    takes_labels = True

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map (N, C, ...) and labels (N,) to (N, C + n_classes, ...)."""
        one_hot = (y.unsqueeze(1) == torch.arange(self.n_classes, device=y.device)).to(x.dtype)
        planes = one_hot.view(*one_hot.shape, *[1] * (x.ndim - 2))
        return torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], dim=1)


def noise_input(
    spec: DataSpec, labels: GeneratorLabels, latent_dim: int
) -> tuple[list[nn.Module], int]:
    """Return the layers before a generator's first layer, and that layer's input dimension."""
    if labels != "embedding":
        return [], latent_dim
    return [ConcatLabelEmbedding(spec.n_classes, latent_dim)], 2 * latent_dim


def sample_input(
    spec: DataSpec, labels: CriticLabels, channels: int
) -> tuple[list[nn.Module], int]:
    """Return the layers before a critic's first layer, and that layer's input channels."""
    if labels != "concatenation":
        return [], channels
    return [ConcatLabels(spec.n_classes)], channels + spec.n_classes


def classes_used(spec: DataSpec, labels: GeneratorLabels | CriticLabels, player: str) -> int:
    """Return the number of labels that a network distinguishes; 0 for labels=none.

    Raises:
        ValueError: the data has no labels.
    """
    if labels == "none":
        return 0
    if not spec.n_classes:
        raise ValueError(
            f"model.{player}.labels={labels}: the network needs data with labels, but the data is"
            f" {spec}; set model.{player}.labels=none, or other data, such as dataset=digits"
        )
    return spec.n_classes

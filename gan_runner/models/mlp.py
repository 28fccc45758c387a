"""Fully connected networks, for points and for (flattened) images.

With three hidden ReLU layers of 512 these are the toy networks of Gulrajani et al. 2017, figure 1.
"""

from __future__ import annotations

from math import prod
from typing import Literal

from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.activations import Activation, activation_layer, channels_into
from gan_runner.models.blocks import (
    ConditionalSequential,
    InitOrTorchs,
    PositiveInt,
    init_weights,
    initialise,
)
from gan_runner.models.critic_output import BatchStatistics, CriticOutput
from gan_runner.models.labels import (
    CriticLabels,
    GeneratorLabels,
    classes_used,
    noise_input,
    sample_input,
)
from gan_runner.models.norms import Norm, norm_layer

_IMAGE_LATENT = 128


class Generator(nn.Module):
    """Noise to samples: `depth` hidden layers of `width`, then Linear (and tanh for images).

    Args:
        spec: facts about the data.
        latent_dim: size of the noise; "auto": the number of coordinates of points, 128 for images.
        width: of each hidden layer.
        depth: number of hidden layers.
        norm: before each activation; see `norms.norm_layer`.
        activation: see `activations`.
        labels: how the label enters; see `labels` and `norms.ConditionalNorm`.
        init: "default" is torch's, U(-1/sqrt(fan_in), 1/sqrt(fan_in)); else see
            `blocks.initialise`, but "he" leaves the last layer of both players to Glorot & Bengio
            2010, as the authors of WGAN-GP do.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: PositiveInt | Literal["auto"] = "auto",
        width: PositiveInt = 512,
        depth: PositiveInt = 3,
        norm: Norm = "none",
        activation: Activation = "relu",
        labels: GeneratorLabels = "none",
        init: InitOrTorchs = "default",
    ) -> None:
        super().__init__()
        default = _IMAGE_LATENT if spec.is_image else spec.shape[0]
        self.latent_dim = default if latent_dim == "auto" else latent_dim
        self.n_classes = classes_used(spec, labels, "generator")
        first, inputs = noise_input(spec, labels, self.latent_dim)
        by_label = self.n_classes if labels == "conditional_norm" else 0
        self.layers = ConditionalSequential(
            *first, *_hidden(inputs, width, depth, norm, activation, n_classes=by_label)
        )
        self.layers.append(last := nn.Linear(width, prod(spec.shape)))
        if spec.is_image:
            self.layers.append(nn.Tanh())
        self.layers.append(nn.Unflatten(1, spec.shape))
        _finish(self, last, init=init, norm=norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, latent_dim) noise and labels (N,) or None -> (N, *shape)."""
        return self.layers(z, y)


class Critic(nn.Module):
    """Samples to one score: `depth` hidden layers of `width`, then Linear -> 1.

    Args: as of `Generator`, and
        labels: how the label enters; see `labels` and `head`.
        batch_statistics: statistics of the batch that the score sees; see `critic_output`.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        width: PositiveInt = 512,
        depth: PositiveInt = 3,
        norm: Norm = "none",
        activation: Activation = "relu",
        labels: CriticLabels = "none",
        batch_statistics: BatchStatistics = "none",
        init: InitOrTorchs = "default",
    ) -> None:
        super().__init__()
        self.n_classes = classes_used(spec, labels, "critic")
        first, inputs = sample_input(spec, labels, prod(spec.shape))
        self.features = ConditionalSequential(
            nn.Flatten(),
            *first,
            *_hidden(inputs, width, depth, norm, activation, double_backward=True),
        )
        projected = self.n_classes if labels == "projection" else 0
        self.score = CriticOutput(width, n_classes=projected, batch_statistics=batch_statistics)
        _finish(self, self.score.linear, init=init, norm=norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, *shape) and labels (N,) or None -> scores (N,)."""
        return self.score(self.features(x, y), y)


def _finish(network: nn.Module, last: nn.Linear, *, init: InitOrTorchs, norm: Norm) -> None:
    """Draw the weights, the last layer's by Glorot under "he": He's would saturate a tanh."""
    if init != "default":
        initialise(network, init)
    if init == "he":
        nn.init.xavier_normal_(last.weight)
    init_weights(network, init="default", norm=norm)


def _hidden(
    inputs: int,
    width: int,
    depth: int,
    norm: Norm,
    name: Activation,
    *,
    n_classes: int = 0,
    double_backward: bool = False,
) -> list[nn.Module]:
    """Hidden layers: Linear, norm, activation."""
    layers: list[nn.Module] = []
    out = channels_into(name, width)
    for fan_in in [inputs] + [width] * (depth - 1):
        layers.append(nn.Linear(fan_in, out))
        if norm not in {"none", "spectral"} or n_classes:
            layers.append(norm_layer(norm, out, n_classes=n_classes, of_maps=False))
        layers.append(activation_layer(name, double_backward=double_backward))
    return layers

"""Residual networks of 101 weight layers each (Gulrajani et al. 2017, figure 2; their code).

Bottlenecks without a norm before the first convolution, and residual branches with a factor of
0.3. At 64x64x3 with 64 filters: 9,189,587 and 7,618,801 trainable parameters.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import ceil, log2
from typing import Literal

import torch
from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.activations import Activation, activation_layer, channels_out_of
from gan_runner.models.blocks import (
    ConditionalSequential,
    Init,
    PositiveInt,
    Shortcut,
    ToImage,
    crop,
    downsample,
    image_sides,
    init_weights,
    upsample,
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

Resample = Literal["none", "up", "down"]
_RESIDUAL = 0.3  # factor of a residual branch
_OUTPUT = 0.2  # factor of the last layer
_BLOCKS, _BLOCKS_AT_THE_IMAGE = 6, 5


class Generator(nn.Module):
    """Generator: Linear; per grid, bottlenecks and an up bottleneck; Conv1, tanh(x / 5).

    Each grid has six bottlenecks, the image's size five. With F filters, channels are F/2 at the
    image and double at every halving of the sides: for 64 pixels, 8 F at 4x4.

    Args:
        spec: facts about the images.
        latent_dim: dimension of the noise.
        filters: F, a multiple of 4 (of 8 for gated activations).
        norm: norm at the end of each residual branch; see `norms.norm_layer`.
        activation: activation before each convolution.
        labels: conditioning on the label; see `labels` and `norms.ConditionalNorm`.
        init: initialization of the weights; see `blocks.initialise`. "glorot" is the authors'.

    Raises:
        ValueError: the data is not images of a supported size, or `filters` is not such a multiple.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: PositiveInt = 128,
        filters: PositiveInt = 64,
        norm: Norm = "batch",
        activation: Activation = "relu",
        labels: GeneratorLabels = "none",
        init: Init = "he",
    ) -> None:
        super().__init__()
        channels, *self.sides = image_sides(spec)
        widths = _widths(self.sides, filters, activation)[::-1]
        grid = [ceil(side / 2 ** (len(widths) - 1)) for side in self.sides]
        self.latent_dim = latent_dim
        self.n_classes = classes_used(spec, labels, "generator")
        by_label = self.n_classes if labels == "conditional_norm" else 0
        first, inputs = noise_input(spec, labels, latent_dim)
        self.project = ConditionalSequential(
            *first,
            nn.Linear(inputs, widths[0] * grid[0] * grid[1]),
            nn.Unflatten(1, (widths[0], *grid)),
        )
        self.blocks = ConditionalSequential()
        for inside, out in pairwise([*widths, 0]):
            count = _BLOCKS if out else _BLOCKS_AT_THE_IMAGE
            for outputs, resample in _stage(inside, out, count, "up"):
                self.blocks.append(
                    Bottleneck(
                        inside,
                        outputs,
                        resample,
                        norm,
                        activation,
                        n_classes=by_label,
                        double_backward=False,
                    )
                )
        self.to_image = ToImage(widths[-1], channels, 1)
        init_weights(self, init=init, norm=norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map noise (N, latent_dim) and labels (N,) or None to (N, C, H, W) in [-1, 1]."""
        x = self.to_image(self.blocks(self.project(z, y), y))
        return crop(torch.tanh(_OUTPUT * x), self.sides)


class Critic(nn.Module):
    """Critic, mirroring the generator: Conv1; per grid, bottlenecks and a down one; Linear / 5.

    Args: those of `Generator`, and
        labels: conditioning on the label; see `labels` and `critic_output`.
        batch_statistics: statistics of the batch that the score depends on; see `critic_output`.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        filters: PositiveInt = 64,
        norm: Norm = "batch",
        activation: Activation = "relu",
        labels: CriticLabels = "none",
        batch_statistics: BatchStatistics = "none",
        init: Init = "he",
    ) -> None:
        super().__init__()
        channels, *sides = image_sides(spec)
        widths = _widths(sides, filters, activation)
        self.n_classes = classes_used(spec, labels, "critic")
        first, inputs = sample_input(spec, labels, channels)
        self.features = ConditionalSequential(*first, Shortcut(inputs, widths[0], 1))
        for i, (inside, out) in enumerate(pairwise([*widths, 0])):
            count = _BLOCKS if i else _BLOCKS_AT_THE_IMAGE
            for outputs, resample in _stage(inside, out, count, "down"):
                self.features.append(
                    Bottleneck(inside, outputs, resample, norm, activation, double_backward=True)
                )
        self.features.append(nn.Flatten())
        height, width = (side // 2 ** (len(widths) - 1) for side in sides)
        size = widths[-1] * height * width
        projected = self.n_classes if labels == "projection" else 0
        self.score = CriticOutput(size, n_classes=projected, batch_statistics=batch_statistics)
        init_weights(self, init=init, norm=norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) and labels (N,) or None to scores (N,)."""
        return _OUTPUT * self.score(self.features(x, y), y)


class Bottleneck(nn.Module):
    """Residual block: shortcut(x) + 0.3 residual(x).

    The residual branch: ReLU, Conv1 in -> in/2, ReLU, Conv3 in/2 -> out/2, ReLU, Conv1 -> out
    without bias, norm. Conv3 has stride 2 for "down", and is transposed with stride 2 for "up".
    The shortcut is the identity for "none", and Conv1 of stride 2 for "down". For "up" it is Conv1
    to 4 out channels, which become 2x2 pixels.
    """

    takes_labels = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        resample: Resample,
        norm: Norm,
        name: Activation,
        *,
        n_classes: int = 0,
        double_backward: bool,
    ) -> None:
        super().__init__()
        narrow_in, narrow = inputs // 2, outputs // 2
        left, act = (
            partial(channels_out_of, name),
            partial(activation_layer, name, double_backward=double_backward),
        )
        self.shortcut = _shortcut(inputs, outputs, resample)
        self.residual = ConditionalSequential(
            act(),
            nn.Conv2d(left(inputs), narrow_in, 1),
            act(),
            *_conv3(left(narrow_in), narrow, resample),
            act(),
            nn.Conv2d(left(narrow), outputs, 1, bias=False),
            norm_layer(norm, outputs, n_classes=n_classes),
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, in, H, W) to (N, out, H, W), or to half or double the sides."""
        residual = self.residual(x, y)
        height, width = residual.shape[2:]  # half an odd side is rounded down
        return self.shortcut(x)[..., :height, :width] + _RESIDUAL * residual


def _shortcut(inputs: int, outputs: int, resample: Resample) -> nn.Module:
    if resample == "up":
        return nn.Sequential(Shortcut(inputs, 4 * outputs, 1), nn.PixelShuffle(2))
    return Shortcut(inputs, outputs, 1, 2) if resample == "down" else nn.Identity()


def _conv3(inputs: int, outputs: int, resample: Resample) -> list[nn.Module]:
    if resample == "up":
        return upsample(inputs, outputs, kernel=3)
    if resample == "down":
        return downsample(inputs, outputs, kernel=3)
    return [nn.Conv2d(inputs, outputs, 3, 1, 1)]


def _stage(
    inside: int, out: int, count: int, direction: Literal["up", "down"]
) -> list[tuple[int, Resample]]:
    """Return output channels and resampling of each block on one grid; out = 0: last grid."""
    blocks: list[tuple[int, Resample]] = [(inside, "none")] * count
    return [*blocks, (out, direction)] if out else blocks


def _widths(sides: list[int], filters: int, name: Activation) -> list[int]:
    """Return channels per grid, from the image to a grid of 4 to 7 pixels.

    Raises:
        ValueError: `filters` would give a block a fractional number of channels.
    """
    divisor = 8 if name == "gated" else 4
    if filters % divisor:
        raise ValueError(
            f"model.filters={filters}: the number does not suit this model; set a multiple of"
            f" {divisor}"
        )
    halvings = int(log2(min(sides) / 4))
    return [filters // 2 * 2**stage for stage in range(halvings + 1)]

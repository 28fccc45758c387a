"""Residual networks of Gulrajani et al. 2017 (appendix F; CIFAR-10), for 8 to 128 pixels.

Pre-activation blocks of two 3x3 convolutions, all of the same width. With 128 filters at 32x32x3
these are the networks of table 3: 1,204,483 and 1,053,825 trainable parameters.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Literal

from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.activations import Activation, activation_layer, channels_out_of
from gan_runner.models.blocks import (
    ConditionalSequential,
    Init,
    PositiveInt,
    Shortcut,
    ToImage,
    Unrectified,
    crop,
    image_sides,
    init_weights,
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

Upsample = Literal["first", "second"]
Pool = Literal["mean", "sum"]


class Generator(nn.Module):
    """Generator: a dense layer to the smallest grid, then one block per doubling of the sides.

    Linear latent_dim -> F x 4 x 4; blocks (norm, ReLU, upsample, Conv3, norm, ReLU, Conv3; shortcut
    Conv1, upsample); norm, ReLU, Conv3 -> channels, tanh. Upsampling repeats pixels.

    Args:
        spec: facts about the images.
        latent_dim: dimension of the noise.
        filters: F, channels of every block.
        norm: see `norms.norm_layer`.
        activation: replaces ReLU; see `activations`.
        upsample: upsample before the block's "first" convolution (the authors' code) or before the
            "second" (the paper).
        labels: conditioning on the label; see `labels` and `norms.ConditionalNorm`.
        init: initialization of the weights; see `blocks.initialise`. "glorot" is the authors'.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: PositiveInt = 128,
        filters: PositiveInt = 128,
        norm: Norm = "batch",
        activation: Activation = "relu",
        upsample: Upsample = "first",
        labels: GeneratorLabels = "none",
        init: Init = "he",
    ) -> None:
        super().__init__()
        channels, *self.sides = image_sides(spec)
        doublings = ceil(log2(min(self.sides) / 4))
        grid = [ceil(side / 2**doublings) for side in self.sides]
        self.latent_dim = latent_dim
        self.n_classes = classes_used(spec, labels, "generator")
        by_label = self.n_classes if labels == "conditional_norm" else 0
        first, inputs = noise_input(spec, labels, latent_dim)
        self.project = ConditionalSequential(
            *first,
            nn.Linear(inputs, filters * grid[0] * grid[1]),
            nn.Unflatten(1, (filters, *grid)),
        )
        self.blocks = ConditionalSequential(
            *(
                UpBlock(filters, norm, activation, upsample=upsample, n_classes=by_label)
                for _ in range(doublings)
            )
        )
        self.to_image = nn.Sequential(
            *_before_convolution(filters, norm, activation, double_backward=False),
            ToImage(channels_out_of(activation, filters), channels, 3, 1, 1),
            nn.Tanh(),
        )
        init_weights(self, init=init, norm=norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map noise (N, latent_dim) and labels (N,) or None to (N, C, H, W) in [-1, 1]."""
        return crop(self.to_image(self.blocks(self.project(z, y), y)), self.sides)


class Critic(nn.Module):
    """Critic: blocks that halve the sides to at most 8, two that keep them, global pool, score.

    First block Conv3 channels -> F, ReLU, Conv3, mean pool; shortcut mean pool, Conv1. Further
    blocks (norm, ReLU, Conv3, norm, ReLU, Conv3, mean pool; shortcut mean pool, Conv1), then two
    without pooling, whose shortcut is the identity. ReLU, pool over the grid, Linear -> 1.

    Args: those of `Generator`, and
        labels: conditioning on the label; see `labels` and `critic_output`.
        batch_statistics: statistics of the batch that the score depends on; see `critic_output`.
        pool: pool over the grid by the "mean" (gan_cifar_resnet.py) or by the "sum" (Miyato et al.
            2018, snresnet_32.py), which is 64 times as large on a grid of 8x8.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        filters: PositiveInt = 128,
        norm: Norm = "none",
        activation: Activation = "relu",
        labels: CriticLabels = "none",
        batch_statistics: BatchStatistics = "none",
        pool: Pool = "mean",
        init: Init = "he",
    ) -> None:
        super().__init__()
        channels, *sides = image_sides(spec)
        halvings = max(1, ceil(log2(min(sides) / 8)))
        self.n_classes = classes_used(spec, labels, "critic")
        first, inputs = sample_input(spec, labels, channels)
        blocks: list[nn.Module] = [FirstBlock(inputs, filters, activation)]
        halves = [True] * (halvings - 1) + [False] * 2
        blocks.extend(DownBlock(filters, norm, activation, pool=half) for half in halves)
        self.features = ConditionalSequential(
            *first, *blocks, activation_layer(activation, double_backward=True), _POOLS[pool]()
        )
        projected = self.n_classes if labels == "projection" else 0
        width = channels_out_of(activation, filters)
        self.score = CriticOutput(width, n_classes=projected, batch_statistics=batch_statistics)
        init_weights(self, init=init, norm=norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) and labels (N,) or None to scores (N,)."""
        return self.score(self.features(x, y), y)


class UpBlock(nn.Module):
    """Residual block of the generator that doubles the sides.

    The shortcut's 1x1 convolution commutes with the upsampling. It runs before it, on a quarter of
    the pixels.
    """

    takes_labels = True

    def __init__(
        self, filters: int, norm: Norm, name: Activation, *, upsample: Upsample, n_classes: int = 0
    ) -> None:
        super().__init__()
        inside = channels_out_of(name, filters)
        self.shortcut = nn.Sequential(Shortcut(filters, filters, 1), nn.Upsample(scale_factor=2))
        self.residual = ConditionalSequential(
            *_before_convolution(filters, norm, name, n_classes=n_classes, double_backward=False),
            nn.Upsample(scale_factor=2) if upsample == "first" else nn.Identity(),
            nn.Conv2d(inside, filters, 3, 1, 1),
            *_before_convolution(filters, norm, name, n_classes=n_classes, double_backward=False),
            nn.Upsample(scale_factor=2) if upsample == "second" else nn.Identity(),
            nn.Conv2d(inside, filters, 3, 1, 1),
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, F, H, W) to (N, F, 2H, 2W)."""
        return self.shortcut(x) + self.residual(x, y)


class FirstBlock(nn.Module):
    """First residual block of the critic, without a norm or activation before the image."""

    def __init__(self, channels: int, filters: int, name: Activation) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), Shortcut(channels, filters, 1))
        self.residual = nn.Sequential(
            Unrectified(channels, filters, 3, 1, 1),
            activation_layer(name, double_backward=True),
            nn.Conv2d(channels_out_of(name, filters), filters, 3, 1, 1),
            nn.AvgPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, F, H/2, W/2)."""
        return self.shortcut(x) + self.residual(x)


class DownBlock(nn.Module):
    """Residual block of the critic; `pool` halves the sides."""

    def __init__(self, filters: int, norm: Norm, name: Activation, *, pool: bool) -> None:
        super().__init__()
        inside = channels_out_of(name, filters)
        self.shortcut: nn.Module = nn.Identity()
        if pool:
            self.shortcut = nn.Sequential(nn.AvgPool2d(2), Shortcut(filters, filters, 1))
        self.residual = nn.Sequential(
            *_before_convolution(filters, norm, name, double_backward=True),
            nn.Conv2d(inside, filters, 3, 1, 1),
            *_before_convolution(filters, norm, name, double_backward=True),
            nn.Conv2d(inside, filters, 3, 1, 1),
            nn.AvgPool2d(2) if pool else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F, H, W) to (N, F, H, W), or to half the sides."""
        return self.shortcut(x) + self.residual(x)


class GlobalMean(nn.Module):
    """The mean of each channel over the grid."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C)."""
        return x.mean((2, 3))


class GlobalSum(nn.Module):
    """The sum of each channel over the grid."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C)."""
        return x.sum((2, 3))


_POOLS: dict[Pool, type[nn.Module]] = {"mean": GlobalMean, "sum": GlobalSum}


def _before_convolution(
    filters: int, norm: Norm, name: Activation, *, n_classes: int = 0, double_backward: bool
) -> list[nn.Module]:
    return [
        norm_layer(norm, filters, n_classes=n_classes),
        activation_layer(name, double_backward=double_backward),
    ]

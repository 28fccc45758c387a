"""Residual networks of Gulrajani et al. 2017 (appendix F; CIFAR-10), for 8 to 128 pixels.

Pre-activation blocks of two 3x3 convolutions and one constant width. With 128 filters at 32x32x3
these are the networks of table 3: 1,204,483 and 1,053,825 trainable parameters.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Literal

from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.blocks import (
    Init,
    Norm,
    PiecewiseLinear,
    PositiveInt,
    crop,
    image_sides,
    initialise,
    norm_layer,
)

Upsample = Literal["first", "second"]


class Generator(nn.Module):
    """Noise to images: a dense layer to the smallest grid, then a block for each doubling.

    Linear latent_dim -> F x 4 x 4; blocks (norm, ReLU, upsample, Conv3, norm, ReLU, Conv3; shortcut
    Conv1, upsample); norm, ReLU, Conv3 -> channels, tanh. Upsampling repeats pixels.

    Args:
        spec: facts about the images.
        latent_dim: size of the noise.
        filters: F, channels of every block.
        norm: "none" or "batch".
        upsample: before the block's "first" convolution, as the authors' code has it, or before the
            "second", as the paper says.
        init: of the weights, "dcgan" or "he".
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: PositiveInt = 128,
        filters: PositiveInt = 128,
        norm: Norm = "batch",
        upsample: Upsample = "first",
        init: Init = "he",
    ) -> None:
        super().__init__()
        channels, *self.sides = image_sides(spec, model="resnet", smallest=8, largest=128)
        doublings = ceil(log2(min(self.sides) / 4))
        grid = [ceil(side / 2**doublings) for side in self.sides]
        self.latent_dim = latent_dim
        self.project = nn.Sequential(
            nn.Linear(latent_dim, filters * grid[0] * grid[1]),
            nn.Unflatten(1, (filters, *grid)),
        )
        self.blocks = nn.Sequential(
            *(UpBlock(filters, norm, upsample=upsample) for _ in range(doublings))
        )
        self.to_image = nn.Sequential(
            norm_layer(norm, filters), nn.ReLU(), nn.Conv2d(filters, channels, 3, 1, 1), nn.Tanh()
        )
        initialise(self, init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, latent_dim) noise -> (N, C, H, W) in [-1, 1]. Labels are not used."""
        return crop(self.to_image(self.blocks(self.project(z))), self.sides)


class Critic(nn.Module):
    """Images to one score: blocks that halve the sides to 8 or less, two that do not, global mean.

    First block Conv3 channels -> F, ReLU, Conv3, mean pool; shortcut mean pool, Conv1. Further ones
    (norm, ReLU, Conv3, norm, ReLU, Conv3, mean pool; shortcut mean pool, Conv1), then two without
    pooling, whose shortcut is the identity; ReLU, mean over the grid, Linear -> 1.

    Args: as of `Generator`.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        filters: PositiveInt = 128,
        norm: Norm = "none",
        init: Init = "he",
    ) -> None:
        super().__init__()
        channels, *sides = image_sides(spec, model="resnet", smallest=8, largest=128)
        halvings = max(1, ceil(log2(min(sides) / 8)))
        self.blocks = nn.Sequential(FirstBlock(channels, filters))
        self.blocks.extend(DownBlock(filters, norm, pool=True) for _ in range(halvings - 1))
        self.blocks.extend(DownBlock(filters, norm, pool=False) for _ in range(2))
        self.last = PiecewiseLinear()
        self.score = nn.Linear(filters, 1)
        initialise(self, init)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> scores (N,). Labels are not used."""
        return self.score(self.last(self.blocks(x)).mean((2, 3))).squeeze(1)


class UpBlock(nn.Module):
    """Residual block of the generator that doubles the sides.

    The shortcut's 1x1 convolution runs before the upsampling, which it commutes with, on a quarter
    of the pixels.
    """

    def __init__(self, filters: int, norm: Norm, *, upsample: Upsample) -> None:
        super().__init__()
        double = nn.Upsample(scale_factor=2)
        self.shortcut = nn.Sequential(nn.Conv2d(filters, filters, 1), double)
        self.residual = nn.Sequential(
            norm_layer(norm, filters),
            nn.ReLU(),
            double if upsample == "first" else nn.Identity(),
            nn.Conv2d(filters, filters, 3, 1, 1),
            norm_layer(norm, filters),
            nn.ReLU(),
            double if upsample == "second" else nn.Identity(),
            nn.Conv2d(filters, filters, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, H, W) -> (N, F, 2H, 2W)."""
        return self.shortcut(x) + self.residual(x)


class FirstBlock(nn.Module):
    """Residual block of the critic that reads the image: no norm and no ReLU before it."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, filters, 1))
        self.residual = nn.Sequential(
            nn.Conv2d(channels, filters, 3, 1, 1),
            PiecewiseLinear(),
            nn.Conv2d(filters, filters, 3, 1, 1),
            nn.AvgPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F, H/2, W/2)."""
        return self.shortcut(x) + self.residual(x)


class DownBlock(nn.Module):
    """Residual block of the critic; `pool` halves the sides."""

    def __init__(self, filters: int, norm: Norm, *, pool: bool) -> None:
        super().__init__()
        halve = nn.AvgPool2d(2) if pool else nn.Identity()
        self.shortcut = nn.Sequential(halve, nn.Conv2d(filters, filters, 1)) if pool else halve
        self.residual = nn.Sequential(
            norm_layer(norm, filters),
            PiecewiseLinear(),
            nn.Conv2d(filters, filters, 3, 1, 1),
            norm_layer(norm, filters),
            PiecewiseLinear(),
            nn.Conv2d(filters, filters, 3, 1, 1),
            halve,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, H, W) -> (N, F, H, W), or half the sides."""
        return self.shortcut(x) + self.residual(x)

"""DCGAN (Radford et al. 2015, arXiv 1511.06434), sized by the data: 8 to 128 pixels.

Strided convolutions down, transposed convolutions up, no pooling and no hidden dense layers; ReLU
in the generator, LeakyReLU(0.2) in the critic, tanh at the output; batch norm everywhere but at the
generator's output and the critic's input.
"""

from __future__ import annotations

from itertools import pairwise

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


class Generator(nn.Module):
    """Noise to images: a projection to the smallest grid, then one doubling of the sides a stage.

    Linear latent_dim -> F_k x s x s, norm, ReLU; transposed convolutions 4x4, stride 2, F_k -> ...
    -> F, each norm and ReLU; the last one F -> channels, tanh. Sides that are no multiple of the
    stride's power are cropped from the centre.

    Args:
        spec: facts about the images.
        latent_dim: size of the noise.
        filters: F, of the layer next to the image.
        norm: "none" or "batch".
        init: of the weights, "dcgan" or "he".
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: PositiveInt = 128,
        filters: PositiveInt = 64,
        norm: Norm = "batch",
        init: Init = "dcgan",
    ) -> None:
        super().__init__()
        channels, *self.sides = image_sides(spec, model="dcgan", smallest=8, largest=128)
        widths = _widths(min(self.sides), filters)[::-1]
        grid = [-(-side // 2 ** len(widths)) for side in self.sides]
        affine = norm == "none"  # a norm layer has a bias of its own
        self.latent_dim = latent_dim
        self.project = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * grid[0] * grid[1], bias=affine),
            nn.Unflatten(1, (widths[0], *grid)),
            norm_layer(norm, widths[0]),
            nn.ReLU(),
        )
        self.stages = nn.Sequential()
        for wide, narrow in pairwise(widths):
            self.stages.append(nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=affine))
            self.stages.append(norm_layer(norm, narrow))
            self.stages.append(nn.ReLU())
        self.to_image = nn.Sequential(
            nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1),
            nn.Tanh(),
        )
        initialise(self, init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, latent_dim) noise -> (N, C, H, W) in [-1, 1]. Labels are not used."""
        return crop(self.to_image(self.stages(self.project(z))), self.sides)


class Critic(nn.Module):
    """Images to one score: one halving of the sides a stage, then a dense layer.

    Convolutions 4x4, stride 2, channels -> F -> 2F -> ..., each with LeakyReLU(0.2), all but the
    first with a norm; Linear -> 1. There is no sigmoid: an objective that wants a probability
    applies it to the score.

    Args: as of `Generator`.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        filters: PositiveInt = 64,
        norm: Norm = "batch",
        init: Init = "dcgan",
    ) -> None:
        super().__init__()
        channels, *sides = image_sides(spec, model="dcgan", smallest=8, largest=128)
        widths = _widths(min(sides), filters)
        self.stages = nn.Sequential(nn.Conv2d(channels, widths[0], 4, 2, 1), PiecewiseLinear(0.2))
        for narrow, wide in pairwise(widths):
            self.stages.append(nn.Conv2d(narrow, wide, 4, 2, 1, bias=norm == "none"))
            self.stages.append(norm_layer(norm, wide))
            self.stages.append(PiecewiseLinear(0.2))
        height, width = (side // 2 ** len(widths) for side in sides)
        self.score = nn.Linear(widths[-1] * height * width, 1)
        initialise(self, init)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> scores (N,). Labels are not used."""
        return self.score(self.stages(x).flatten(1)).squeeze(1)


def _widths(side: int, filters: int) -> list[int]:
    """Channels a stage, from the image inwards: doubling down to a grid of 4 to 7, two at least."""
    stages = max(2, (side // 4).bit_length() - 1)
    return [filters * 2**stage for stage in range(stages)]

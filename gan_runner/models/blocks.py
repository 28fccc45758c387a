"""Pieces that the architectures share: resampling, initialisation, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.norms import Norm, normalise_weights

PositiveInt = Annotated[int, Ge(1)]
KernelSize = Annotated[int, Ge(3)]
Init = Literal["he", "dcgan"]
InitOrTorchs = Init | Literal["default"]

SMALLEST, LARGEST = 8, 128  # pixels a side


def downsample(inputs: int, outputs: int, *, kernel: int, bias: bool = True) -> list[nn.Module]:
    """A convolution of stride 2 that halves the sides; half of an odd one is rounded down.

    kernel - 2 zeros are padded, half of them before; an odd one goes after, as TensorFlow's SAME
    does for even sides.
    """
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    if before == after:
        return [nn.Conv2d(inputs, outputs, kernel, 2, before, bias=bias)]
    padding = nn.ZeroPad2d((before, after, before, after))
    return [padding, nn.Conv2d(inputs, outputs, kernel, 2, bias=bias)]


def upsample(inputs: int, outputs: int, *, kernel: int, bias: bool = True) -> list[nn.Module]:
    """The transposed convolution that doubles the sides, with the padding of `halving`."""
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, 2, before, bias=bias)
    return [layer] if before == after else [layer, nn.ZeroPad2d((0, -1, 0, -1))]


class Unrectified(nn.Conv2d):
    """A convolution that no activation comes before: a shortcut's, or one that reads the image."""


def init_weights(network: nn.Module, *, init: InitOrTorchs, norm: Norm) -> None:
    """Draw the weights of a network that is complete, and normalise them if norm=spectral.

    init="default" keeps the weights that are there: torch's, if nobody has drawn others.
    """
    if init != "default":
        initialise(network, init)
    if norm == "spectral":
        normalise_weights(network)


def initialise(network: nn.Module, how: Init) -> None:
    """Draw the weights of all dense and convolutional layers; biases become 0.

    "dcgan": N(0, 0.02^2), and N(1, 0.02^2) for the scales of norms (Radford et al. 2015, sec. 4).
    "he": N(0, 2 / fan_in), which keeps the size of activations through ReLU layers (He et al.
    2015), so that a critic starts with a slope near 1; without the 2, which makes up for a ReLU in
    front, for an `Unrectified`. An output of a transposed convolution sums
    in_channels * kernel^2 / stride^2 products: that is its fan_in.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            gain = 1 if isinstance(module, Unrectified) else 2
            std = 0.02 if how == "dcgan" else sqrt(gain / _fan_in(module))
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, _NORMS) and module.weight is not None and how == "dcgan":
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * prod(layer.kernel_size) / prod(layer.stride)
    return prod(layer.weight.shape[1:])


def crop(images: Tensor, sides: Sequence[int]) -> Tensor:
    """The centre of (N, C, H, W) images, of the given height and width."""
    (height, width), (rows, columns) = sides, images.shape[2:]
    top, left = (rows - height) // 2, (columns - width) // 2
    return images[:, :, top : top + height, left : left + width]


def image_sides(spec: DataSpec) -> tuple[int, int, int]:
    """Channels, height and width of the data, for a convolutional network: 8 to 128 pixels.

    Raises:
        ValueError: the data is not images, or not of such a size.
    """
    if not spec.is_image:
        raise ValueError(f"this model needs images, but the data is {spec}; use model=mlp")
    channels, height, width = spec.shape
    if not SMALLEST <= min(height, width) <= max(height, width) <= LARGEST:
        raise ValueError(
            f"this model works for {SMALLEST} to {LARGEST} pixels, but the data is {spec};"
            " resize it (dataset.image_size of an image folder) or use model=mlp"
        )
    return channels, height, width

"""Pieces that the architectures share: normalisation by name, initialisation, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec

PositiveInt = Annotated[int, Ge(1)]
Norm = Literal["none", "batch"]
Init = Literal["he", "dcgan"]


class PiecewiseLinear(nn.Module):
    """x for x > 0, slope x elsewhere: ReLU (slope 0) and LeakyReLU, with the bits of torch's.

    Written as a product with a mask that is constant to autograd, because its second derivative is
    zero: under a gradient penalty torch's own layers send those zeros back through the network.
    """

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope, self.lipschitz = slope, max(1.0, abs(slope))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * x.detach().sign().clamp(min=self.slope)

    def extra_repr(self) -> str:
        """For printing."""
        return f"slope={self.slope}"


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Normalisation of (N, channels, H, W) feature maps; the identity for "none"."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def initialise(network: nn.Module, how: Init) -> None:
    """Draw the weights of all dense and convolutional layers; biases become 0.

    "dcgan": N(0, 0.02^2), and N(1, 0.02^2) for the scales of norms (Radford et al. 2015, sec. 4).
    "he": N(0, 2 / fan_in), which keeps the size of activations through ReLU layers (He et al.
    2015), so that a critic starts with a slope near 1. An output of a transposed convolution sums
    in_channels * kernel^2 / stride^2 products: that is its fan_in.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            std = 0.02 if how == "dcgan" else sqrt(2 / _fan_in(module))
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d) and how == "dcgan":
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * prod(layer.kernel_size) / prod(layer.stride)
    return prod(layer.weight.shape[1:])


def crop(images: Tensor, sides: Sequence[int]) -> Tensor:
    """The centre of (N, C, H, W) images, of the given height and width."""
    (height, width), (rows, columns) = sides, images.shape[2:]
    top, left = (rows - height) // 2, (columns - width) // 2
    return images[:, :, top : top + height, left : left + width]


def has_batch_norm(network: nn.Module) -> bool:
    """True if any layer mixes the samples of a batch by batch normalisation."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


def has_spectral_norm(network: nn.Module) -> bool:
    """True if any weight is divided by its spectral norm (torch's parametrization)."""
    kinds = (type(m).__name__ for m in network.modules())
    return "_SpectralNorm" in kinds


def image_sides(spec: DataSpec, *, model: str, smallest: int, largest: int) -> tuple[int, int, int]:
    """Channels, height and width of the data, for a model that needs images of some sizes.

    Raises:
        ValueError: the data is not images, or not of such a size.
    """
    if not spec.is_image:
        raise ValueError(f"model={model} needs images, but the data is {spec}; use model=mlp")
    channels, height, width = spec.shape
    if not smallest <= min(height, width) <= max(height, width) <= largest:
        raise ValueError(
            f"model={model} works for {smallest} to {largest} pixels, but the data is {spec};"
            " resize it (dataset.image_size of an image folder) or use model=mlp"
        )
    return channels, height, width

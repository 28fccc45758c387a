"""Pieces that the architectures share: sequences, the fast ReLU, resampling, initialisation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.norms import Norm, normalise_weights
from gan_runner.private_apis import masked

PositiveInt = Annotated[int, Ge(1)]
KernelSize = Annotated[int, Ge(3)]
Init = Literal["he", "glorot", "dcgan", "dcgan_by_width"]
InitOrTorchs = Init | Literal["default"]

SMALLEST, LARGEST = 8, 128  # pixels a side

_PAPER_WIDTH = 64  # filters next to the image, which the 0.02 of DCGAN was chosen for


class ConditionalSequential(nn.Sequential):
    """A sequence of layers that passes the labels to layers with `takes_labels`."""

    takes_labels = True

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Apply all layers to the first layer's input x and labels (N,) or None."""
        for layer in self:
            x = layer(x, y) if getattr(layer, "takes_labels", False) else layer(x)
        return x


class PiecewiseLinear(nn.Module):
    """ReLU (slope 0) and LeakyReLU, bit-identical to torch: x for x > 0, slope x elsewhere.

    It is a product with a mask that autograd treats as a constant. The second derivative is zero,
    and under a gradient penalty torch's own layers would propagate these zeros through the network.
    Torch's formula for the layer's gradient is this product, in one kernel.
    """

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope, self.lipschitz = slope, max(1.0, abs(slope))
        self.listed_as = "LeakyReLU" if slope else "ReLU"

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to a tensor of any shape."""
        return masked(x, x.detach(), self.slope)

    def extra_repr(self) -> str:
        """Return the arguments for `repr`."""
        return f"slope={self.slope}"


def downsample(inputs: int, outputs: int, *, kernel: int, bias: bool = True) -> list[nn.Module]:
    """Return a convolution of stride 2 that halves the sides, rounding down.

    kernel - 2 zeros are padded, half of them before; an odd one goes after, as TensorFlow's SAME
    does for even sides.
    """
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    if before == after:
        return [nn.Conv2d(inputs, outputs, kernel, 2, before, bias=bias)]
    padding = nn.ZeroPad2d((before, after, before, after))
    return [padding, nn.Conv2d(inputs, outputs, kernel, 2, bias=bias)]


def upsample(inputs: int, outputs: int, *, kernel: int, bias: bool = True) -> list[nn.Module]:
    """Return the transposed convolution that doubles the sides, padded like `downsample`."""
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, 2, before, bias=bias)
    return [layer] if before == after else [layer, nn.ZeroPad2d((0, -1, 0, -1))]


class Unrectified(nn.Conv2d):
    """A convolution that no activation comes before: a shortcut's, or one that reads the image."""

    listed_as = "Conv2d"


class Shortcut(Unrectified):
    """A convolution on the path of shortcuts, from image to score without an activation."""


class ToImage(nn.Conv2d):
    """The last convolution of a residual generator."""

    listed_as = "Conv2d"


def init_weights(
    network: nn.Module, *, init: InitOrTorchs, norm: Norm, filters: int = _PAPER_WIDTH
) -> None:
    """Draw the weights of a network that is complete, and normalise them if norm=spectral.

    init="default" keeps the weights that are there: torch's, if nobody has drawn others.
    """
    if init != "default":
        initialise(network, init, filters=filters)
    if norm == "spectral":
        normalise_weights(network)


def initialise(network: nn.Module, how: Init, *, filters: int = _PAPER_WIDTH) -> None:
    """Draw the weights of all dense and convolutional layers; biases become 0.

    "dcgan": N(0, 0.02^2), and N(1, 0.02^2) for the scales of norms (Radford et al. 2015, sec. 4).
    "dcgan_by_width": the same for 64 filters or more; below, the weights' standard deviation is
    0.02 sqrt(64 / filters), which keeps the size of activations of the published width.
    "glorot": uniform, of variance 2 / (fan_in + fan_out) for dense layers, `Shortcut` and `ToImage`
    (Glorot & Bengio 2010), and 4 / (fan_in + fan_out) for other convolutions. A stride divides a
    convolution's fan_out by stride^2, and a transposed one's fan_in. These are the defaults of
    Gulrajani et al. 2017 (tflib/ops: linear.py, conv2d.py and deconv2d.py, he_init=False for the
    two classes), and Miyato et al. 2018 have the same (resblocks.py).
    "he": N(0, 2 / fan_in), which keeps the size of activations through ReLU layers (He et al.
    2015), so that a critic starts with a slope near 1; without the 2, which makes up for a ReLU in
    front, for an `Unrectified`. An output of a transposed convolution sums
    in_channels * kernel^2 / stride^2 products: that is its fan_in.

    Args:
        network: whose weights are drawn.
        how: the rule.
        filters: of the layer next to the image, for "dcgan_by_width".
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            _draw(module, how, filters)
        elif isinstance(module, _NORMS) and module.weight is not None and how.startswith("dcgan"):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _draw(layer: _Weighted, how: Init, filters: int) -> None:
    if how == "glorot":
        gain = 2 if isinstance(layer, nn.Linear | Shortcut | ToImage) else 4
        limit = sqrt(3 * gain / (_fan_in(layer) + _fan_out(layer)))
        nn.init.uniform_(layer.weight, -limit, limit)
        return
    gain = 1 if isinstance(layer, Unrectified) else 2
    std = sqrt(gain / _fan_in(layer)) if how == "he" else 0.02
    if how == "dcgan_by_width":
        std *= sqrt(max(1.0, _PAPER_WIDTH / filters))
    nn.init.normal_(layer.weight, 0.0, std)


_Weighted = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)


def _fan_in(layer: _Weighted) -> float:
    """Return the number of products that an output sums."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * prod(layer.kernel_size) / prod(layer.stride)
    return prod(layer.weight.shape[1:])


def _fan_out(layer: _Weighted) -> float:
    """Return the number of outputs that an input enters."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    fan_out = layer.out_channels * prod(layer.kernel_size)
    return fan_out if isinstance(layer, nn.ConvTranspose2d) else fan_out / prod(layer.stride)


def crop(images: Tensor, sides: Sequence[int]) -> Tensor:
    """Crop (N, C, H, W) images to their centre of the given height and width."""
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

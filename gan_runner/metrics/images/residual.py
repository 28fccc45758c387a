"""The classifier's convolutions where there is a GPU: a residual network of nine layers.

Two residual blocks between strided stages, as in the fast CIFAR-10 networks of Page 2018 ("How to
train your ResNet"), with strides in place of pooling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WIDTHS = (64, 128, 256, 512)
_SHIFT = 8  # a training image is moved by at most this fraction of its height: 4 of 32 pixels


class Residual(nn.Module):
    """x + block(x) for two 3x3 convolutions with batch norm and ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*convolution(width, width), *convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return x + self.block(x)


def convolution(inputs: int, outputs: int, *, stride: int = 1) -> list[nn.Module]:
    """Return a 3x3 convolution with batch norm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


def residual_layers(channels: int) -> list[nn.Module]:
    """Return the layers from (N, channels, H, W) images to (N, 512) features."""
    first, second, third, fourth = _WIDTHS
    return [
        *convolution(channels, first),
        *convolution(first, second, stride=2),
        Residual(second),
        *convolution(second, third, stride=2),
        *convolution(third, fourth, stride=2),
        Residual(fourth),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    ]


def augmented(x: Tensor, random: torch.Generator) -> Tensor:
    """Move each image by up to an eighth of its height; mirror half of those in colour.

    Args:
        x: images (N, C, H, W).
        random: source of the choices, on the CPU.
    """
    count, _, height, width = x.shape
    shift = max(1, height // _SHIFT)
    padded = F.pad(x, (shift,) * 4, mode="reflect")
    dy, dx = torch.randint(0, 2 * shift + 1, (2, count, 1), generator=random).to(x.device)
    rows = (dy + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (dx + torch.arange(width, device=x.device))[:, None, None, :]
    if x.shape[1] == 3:  # not grey images: digits and letters have a left and a right
        mirrored = torch.rand(count, generator=random).to(x.device) < 0.5
        columns = torch.where(mirrored[:, None, None, None], columns.flip(3), columns)
    images = torch.arange(count, device=x.device)[:, None, None, None]
    channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return padded[images, channels, rows, columns]

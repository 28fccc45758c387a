"""Differentiable augmentation of the critic's inputs, for data and samples alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gan_runner.core import Batch


class DiffAugment(nn.Module):
    """Random colour, translation and cutout: Zhao et al. 2020 (arXiv 2006.10738), section 3.3.

    Both players see T(x) and T(G(z)) in place of x and G(z), with T drawn anew for each image, and
    the generator's gradient passes through T. Terms of the objective see T(x) and T(G(z)), too, so
    a gradient penalty is one in the augmented images. Metrics see neither.

    Args:
        color: brightness, then saturation, then contrast; see `change_color`.
        translation: shift by up to an eighth of the image; see `translate`.
        cutout: a rectangle of half the sides becomes 0, grey; see `cut_out`.
    """

    def __init__(
        self, *, color: bool = True, translation: bool = True, cutout: bool = True
    ) -> None:
        super().__init__()
        policies = {_color: color, _translate: translation, _cut_out: cutout}
        self.functions: list[Callable[[Tensor], Tensor]] = [f for f in policies if policies[f]]

    def forward(self, batch: Batch) -> Batch:
        """Return the batch with augmented images (N, C, H, W)."""
        x = batch.x
        for function in self.functions:
            x = function(x)
        return batch._replace(x=x)


def change_color(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Change brightness, saturation and contrast of images, each by a number u in [0, 1].

    x + u - 1/2; then the distance of each channel to the mean of the channels times 2 u; then the
    distance of each pixel to the mean of the image times u + 1/2.

    Args:
        x: (N, C, H, W).
        brightness: (N, 1, 1, 1), as the two that follow.
        saturation: without effect on grey images.
        contrast: 1/2 leaves it unchanged.
    """
    x = x + (brightness - 0.5)
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (2 * saturation) + mean
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def translate(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift the content of images (N, C, H, W) by (N,) pixels; the border that appears is 0."""
    _, channels, height, width = x.shape
    rows = (_range(height, x)[None] - down[:, None] + 1).clamp(0, height + 1)
    columns = (_range(width, x)[None] - right[:, None] + 1).clamp(0, width + 1)
    x = pad(x, (1, 1, 1, 1))  # a border of 0, which every index outside is clamped to
    x = x.gather(2, rows[:, None, :, None].expand(-1, channels, -1, width + 2))
    return x.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))


def cut_out(x: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Set a rectangle of half the sides of images (N, C, H, W) to 0, from a corner (N,) on."""
    height, width = x.shape[2:]
    rows = _range(height, x)[None] - top[:, None]
    columns = _range(width, x)[None] - left[:, None]
    is_in_rows = (rows >= 0) & (rows < height // 2)
    is_in_columns = (columns >= 0) & (columns < width // 2)
    return x * ~(is_in_rows[:, None, :, None] & is_in_columns[:, None, None, :])


def _color(x: Tensor) -> Tensor:
    """Change the colours of each image by three uniform numbers."""
    numbers = (torch.rand(len(x), 1, 1, 1, device=x.device) for _ in range(3))
    return change_color(x, *numbers)


def _translate(x: Tensor) -> Tensor:
    """Shift each image by up to side // 8 pixels in either direction of each axis."""
    down, right = (_integers(x, -(side // 8), side // 8) for side in x.shape[2:])
    return translate(x, down, right)


def _cut_out(x: Tensor) -> Tensor:
    """Cut a rectangle around a point of each image, of which a part may lie outside."""
    top, left = (_integers(x, 0, side - side // 2 % 2) - side // 4 for side in x.shape[2:])
    return cut_out(x, top, left)


def _integers(x: Tensor, low: int, high: int) -> Tensor:
    """Draw one integer from low to high, both included, for each image, (N,)."""
    return torch.randint(low, high + 1, (len(x),), device=x.device)


def _range(count: int, x: Tensor) -> Tensor:
    return torch.arange(count, device=x.device)

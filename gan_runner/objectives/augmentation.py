"""Differentiable augmentation of the critic's inputs, for data and samples alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn.functional import pad

from gan_runner.core import Batch

Policy = Callable[[Tensor, Tensor | None], Tensor]
"""(images, which of them to change (N,), or None for all) -> images."""


class DiffAugment(nn.Module):
    """Random colour, translation and cutout: Zhao et al. 2020 (arXiv 2006.10738), section 3.3.

    Both players see T(x) and T(G(z)) in place of x and G(z), with T drawn anew for each image. The
    generator's gradient passes through T. Terms of the objective see T(x) and T(G(z)), too, so a
    gradient penalty is one in the augmented images. Metrics see neither.

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
        self.functions: list[Policy] = [f for f in policies if policies[f]]

    def forward(self, batch: Batch) -> Batch:
        """Return the batch with augmented images (N, C, H, W)."""
        x = batch.x
        for function in self.functions:
            x = function(x, self._choose(x))
        return batch._replace(x=x)

    def _choose(self, x: Tensor) -> Tensor | None:
        """Return which images (N,) a policy changes; None: all."""
        return None


class AdaptiveAugment(DiffAugment):
    """`DiffAugment` with probability p for each image and policy, p as strong as overfitting.

    Karras et al. 2020 (arXiv 2006.06676), section 3.1: r_t = E sign f(x) over real images is 0 for
    a critic that cannot tell and 1 for one that knows its data. Every `interval` steps p rises by
    interval batch_size / images where r_t > target, and falls by as much where r_t < target. The
    policies are those of `DiffAugment`, not their pipeline of 18 transformations.

    Args:
        batch_size: of real images in a step.
        target: of r_t; theirs is 0.6.
        images: real images in which p can rise from 0 to 1; theirs are 500,000.
        interval: steps between two adjustments, whose r_t is their mean; theirs is 4.
        start: p at step 0.
        color: as in `DiffAugment`, like `translation` and `cutout`.
        translation: see there.
        cutout: see there.

    Attributes:
        p: probability in [0, 1], 0-d; filled in place, so a captured graph reads the new one.
        signs: sum of the signs since the last adjustment.
    """

    p: Tensor
    signs: Tensor

    def __init__(
        self,
        *,
        batch_size: Annotated[int, Gt(0)],
        target: Annotated[float, Gt(-1), Le(1)] = 0.6,
        images: Annotated[int, Gt(0)] = 500_000,
        interval: Annotated[int, Gt(0)] = 4,
        start: Annotated[float, Ge(0), Le(1)] = 0.0,
        color: bool = True,
        translation: bool = True,
        cutout: bool = True,
    ) -> None:
        super().__init__(color=color, translation=translation, cutout=cutout)
        self.target, self.interval = target, interval
        self.change = interval * batch_size / images
        self.register_buffer("p", torch.tensor(float(start)))
        self.register_buffer("signs", torch.zeros(()))

    def _choose(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), device=x.device) < self.p

    @torch.no_grad()
    def adapt(self, step: int, real_sign: Tensor) -> None:
        """Take in E sign f(x) of a step (0-d), counted from 0; adjust p if it is due.

        Nothing waits for the device.
        """
        self.signs.add_(real_sign)
        if (step + 1) % self.interval == 0:
            excess = self.signs / self.interval - self.target
            self.p.add_(self.change * excess.sign()).clamp_(0, 1)
            self.signs.zero_()


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
    pixels = (rows[:, :, None] * (width + 2) + columns[:, None, :]).flatten(1)
    x = pad(x, (1, 1, 1, 1)).flatten(2)  # a border of 0, which every index outside is clamped to
    return x.gather(2, pixels[:, None].expand(-1, channels, -1)).unflatten(2, (height, width))


def cut_out(x: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Set a rectangle of half the sides of images (N, C, H, W) to 0, from a corner (N,) on."""
    height, width = x.shape[2:]
    rows = _range(height, x)[None] - top[:, None]
    columns = _range(width, x)[None] - left[:, None]
    is_in_rows = (rows >= 0) & (rows < height // 2)
    is_in_columns = (columns >= 0) & (columns < width // 2)
    return x * ~(is_in_rows[:, None, :, None] & is_in_columns[:, None, None, :])


def _color(x: Tensor, chosen: Tensor | None) -> Tensor:
    """Change the colours of chosen images by three uniform numbers, of others by rounding alone."""
    numbers = (torch.rand(len(x), 1, 1, 1, device=x.device) for _ in range(3))
    which = None if chosen is None else chosen[:, None, None, None]
    return change_color(x, *(_or_neutral(number, 0.5, which) for number in numbers))


def _translate(x: Tensor, chosen: Tensor | None) -> Tensor:
    """Shift chosen images by up to side // 8 pixels in either direction of each axis."""
    shifts = (_integers(x, -(side // 8), side // 8) for side in x.shape[2:])
    return translate(x, *(_or_neutral(shift, 0, chosen) for shift in shifts))


def _cut_out(x: Tensor, chosen: Tensor | None) -> Tensor:
    """Cut a rectangle around a point of chosen images, of which a part may lie outside."""
    top, left = (_integers(x, 0, side - side // 2 % 2) - side // 4 for side in x.shape[2:])
    return cut_out(x, _or_neutral(top, x.shape[2], chosen), left)


def _or_neutral(values: Tensor, neutral: float, chosen: Tensor | None) -> Tensor:
    """Return a number per image that leaves the image as it is where it is not chosen."""
    return values if chosen is None else torch.where(chosen, values, neutral)


def _integers(x: Tensor, low: int, high: int) -> Tensor:
    """Draw one integer from low to high, both included, for each image, (N,)."""
    return torch.randint(low, high + 1, (len(x),), device=x.device)


def _range(count: int, x: Tensor) -> Tensor:
    return torch.arange(count, device=x.device)

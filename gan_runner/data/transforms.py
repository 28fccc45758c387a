"""Random changes of training images as they are served: dequantisation and horizontal flips.

They act on the device and draw from torch's random generator there, whose state checkpoints
contain. So a resumed run sees the same pixels, and a captured graph draws anew in every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_runner.core import Batch, to_unit


@dataclass(frozen=True)
class Transform:
    """Map from stored samples to the float32 that training sees; without options, `to_unit`.

    Attributes:
        dequantize: map a pixel p to (p + u) / 128 - 1 with u ~ U[0, 1), so that the data has a
            density: 2 (p / 256 - 1/2) + U[0, 1/128), as in the code of Gulrajani et al. 2017 and of
            Miyato et al. 2018.
        horizontal_flips: mirror each image with probability 1/2.
    """

    dequantize: bool = False
    horizontal_flips: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return float32 samples of uint8 or float ones, (..., C, H, W)."""
        if self.horizontal_flips:
            mirrored = torch.rand(x.shape[:-3], device=x.device) < 0.5
            x = torch.where(mirrored[..., None, None, None], x.flip(-1), x)
        if self.dequantize:
            return (x + torch.rand(x.shape, device=x.device)) / 128 - 1
        return to_unit(x)

    def check(self, table: Batch) -> None:
        """Check that the options apply to the data.

        Raises:
            ValueError: the data has no images, or no pixels of whole numbers.
        """
        if self.horizontal_flips and table.x.ndim != 4:
            raise ValueError("trainer.horizontal_flips=true: needs images; set it to false")
        if self.dequantize and table.x.dtype != torch.uint8:
            raise ValueError("trainer.dequantize=true: needs pixels 0 to 255; set it to false")

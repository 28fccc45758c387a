"""The 8x8 handwritten digits that come with scikit-learn: real images without a download."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt, Lt

from gan_runner.core import Dataset, DataSpec
from gan_runner.data.split import hold_out


def digits(*, heldout: Annotated[float, Gt(0), Lt(1)] = 0.2) -> Dataset:
    """1,797 digits of 8x8 pixels with 10 classes (Alpaydin & Kaynak 1998, UCI).

    The 17 grey levels 0..16 are stretched to 0..255. `heldout` is the share kept from training.
    """
    from sklearn.datasets import load_digits

    table = load_digits()
    pixels = np.round(table.images * (255 / 16)).astype(np.uint8)
    x = torch.from_numpy(pixels)[:, None]
    train, rest = hold_out(x, torch.from_numpy(table.target.astype(np.int64)), heldout)
    return Dataset(DataSpec("digits", (1, 8, 8), n_classes=10), train, rest)

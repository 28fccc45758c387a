"""The 8x8 handwritten digits of scikit-learn: real images without a download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt, Lt

from gan_runner.core import Dataset, DataSpec
from gan_runner.data.split import hold_out


def digits(*, heldout: Annotated[float, Gt(0), Lt(1)] = 0.2) -> Dataset:
    """Return 1,797 digits of 8x8 pixels with 10 classes (Alpaydin & Kaynak 1998, UCI).

    The 17 grey levels 0..16 are scaled to 0..255. `heldout` is the share of the held-out set.
    """
    images, labels = _table()
    pixels = np.round(images * (255 / 16)).astype(np.uint8)
    x = torch.from_numpy(pixels)[:, None]
    train, rest = hold_out(x, torch.from_numpy(labels.astype(np.int64)), heldout)
    names = tuple(map(str, range(10)))
    return Dataset(DataSpec("digits", (1, 8, 8), n_classes=10, class_names=names), train, rest)


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Return images (1797, 8, 8) of 0..16 and labels.

    They are read from scikit-learn's file if it exists at the expected path. Importing scikit-learn
    takes longer than everything else before the first step, except for the import of torch.
    """
    package = find_spec("sklearn")
    origin = Path(package.origin).parent if package and package.origin else Path()
    file = origin / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    from sklearn.datasets import load_digits

    table = load_digits()
    return table.images, table.target

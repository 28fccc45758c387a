"""A data set that is a folder or a file of the user's."""

from __future__ import annotations

from pathlib import Path

import torch

from gan_runner.core import Batch, Dataset, DataSpec
from gan_runner.runs.sample_files import read_samples


def dataset_at(path: Path) -> Dataset:
    """Return images or points of a folder or an .npz file as a data set without labels."""
    if not path.exists():
        raise ValueError(f"--reference {path}: should be heldout, train, or an existing path")
    rows = Batch(torch.from_numpy(read_samples(path)))
    return Dataset(DataSpec(path.name, tuple(rows.x.shape[1:])), rows, rows)

"""Cutting one table of samples into a training part and a held-out part."""

from __future__ import annotations

import numpy as np
import torch

from gan_runner.core import Batch

_SPLIT_SEED = 1797  # the split belongs to the data, not to a run: the same for every seed


def hold_out(x: torch.Tensor, y: torch.Tensor | None, share: float) -> tuple[Batch, Batch]:
    """Split samples at random into (train, heldout), the same way every time.

    Args:
        x: samples (N, ...), N at least 2.
        y: labels (N,), or None.
        share: of the samples that is held out, in (0, 1); at least one sample lands on each side.
    """
    n_heldout = min(max(round(share * len(x)), 1), len(x) - 1)
    order = torch.from_numpy(np.random.default_rng(_SPLIT_SEED).permutation(len(x)))
    parts = (order[n_heldout:].sort().values, order[:n_heldout].sort().values)
    train, heldout = (Batch(x[rows], None if y is None else y[rows]) for rows in parts)
    return train, heldout

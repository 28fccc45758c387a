"""Split of one table of samples into a training set and a held-out set."""

from __future__ import annotations

import numpy as np
import torch

from gan_runner.core import Batch

_SPLIT_SEED = 1797  # fixed: the split must not depend on the seed of a run


def hold_out(x: torch.Tensor, y: torch.Tensor | None, share: float) -> tuple[Batch, Batch]:
    """Split samples at random into (train, heldout), the same way every time.

    Args:
        x: samples (N, ...), N at least 2.
        y: labels (N,), or None.
        share: share of the held-out set, in (0, 1); each set gets at least one sample.
    """
    n_heldout = min(max(round(share * len(x)), 1), len(x) - 1)
    order = torch.from_numpy(np.random.default_rng(_SPLIT_SEED).permutation(len(x)))
    parts = (order[n_heldout:].sort().values, order[:n_heldout].sort().values)
    train, heldout = (Batch(x[rows], None if y is None else y[rows]) for rows in parts)
    return train, heldout

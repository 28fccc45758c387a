"""Samples as rows of numbers, and real rows for the floors of distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_runner.core import EvalContext, to_unit

DRAWS = 5  # draws of training rows that a floor averages
_FEW_DIMENSIONS = 16  # largest dimension for direct differences; above, a matrix product is used


class RealSplit(NamedTuple):
    """Equally many training rows and held-out rows, each (n, d) float64."""

    train: np.ndarray
    heldout: np.ndarray


def as_rows(x: Tensor) -> np.ndarray:
    """Convert (N, *shape) on any device to (N, d) float64; pixels 0..255 are scaled to [-1, 1]."""
    return to_unit(x).flatten(1).cpu().double().numpy()


def real_halves(context: EvalContext, count: int) -> list[RealSplit]:
    """Draw at most `count` training rows, paired with equally many held-out rows, `DRAWS` times.

    The mean distance between the two is the floor: the expected value of a perfect generator. A
    single draw is too noisy; on mixtures it varies by half of its value.
    """
    table = context.dataset.train.x
    n = min(count, len(table), len(context.heldout.x))
    heldout, rng = as_rows(context.heldout.x[:n]), np.random.default_rng(context.seed)
    draws = [np.sort(rng.choice(len(table), size=n, replace=False)) for _ in range(DRAWS)]
    rows = [torch.from_numpy(picked).to(table.device) for picked in draws]
    return [RealSplit(as_rows(table[picked]), heldout) for picked in rows]


def floors_of(draws: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each tag over the draws, and the standard deviation as TAG_std."""
    columns = {tag: [draw[tag] for draw in draws] for tag in draws[0]}
    means = {tag: float(np.mean(values)) for tag, values in columns.items()}
    return means | {f"{tag}_std": float(np.std(v, ddof=1)) for tag, v in columns.items()}


Norm = Literal["l1", "l2", "linf"]
"""A norm |x|_p of rows, with p = 1, 2 or infinity."""


def distances(x: np.ndarray, y: np.ndarray, *, metric: Norm = "l2") -> np.ndarray:
    """Compute distances |a - b|_p (N, M) between rows of (N, d) and (M, d) float64.

    In many dimensions |a - b|_2^2 is computed as |a|^2 - 2 a.b + |b|^2. This is as fast as a matrix
    product, and exact to about 1e-8 |a|, which limits the distances that can be resolved.
    """
    from scipy.spatial.distance import cdist

    if metric != "l2":
        return cdist(x, y, {"l1": "cityblock", "linf": "chebyshev"}[metric])
    if x.shape[1] <= _FEW_DIMENSIONS:
        return cdist(x, y)
    mode = "use_mm_for_euclid_dist"
    return torch.cdist(torch.from_numpy(x), torch.from_numpy(y), compute_mode=mode).numpy()

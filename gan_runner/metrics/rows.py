"""Samples as rows of numbers, and real ones to compare real ones with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_runner.core import EvalContext, to_unit

DRAWS = 5  # of training rows that a floor is the mean of
_FEW_DIMENSIONS = 16  # up to here differences are taken one by one, from here by a matrix product


class RealSplit(NamedTuple):
    """Equally many real rows that were trained on and that were not, each (n, d) float64."""

    train: np.ndarray
    heldout: np.ndarray


def as_rows(x: Tensor) -> np.ndarray:
    """(N, *shape) on any device as (N, d) float64; pixels 0..255 come out in [-1, 1]."""
    return to_unit(x).flatten(1).cpu().double().numpy()


def real_halves(context: EvalContext, count: int) -> list[RealSplit]:
    """Several times at most `count` training rows, drawn at random, beside as many held-out rows.

    The mean distance between the two is what a perfect generator is expected to be measured at: the
    floor. A single draw says little: on mixtures it wanders by half of its value.
    """
    table = context.dataset.train.x
    n = min(count, len(table), len(context.heldout.x))
    heldout, rng = as_rows(context.heldout.x[:n]), np.random.default_rng(context.seed)
    draws = [np.sort(rng.choice(len(table), size=n, replace=False)) for _ in range(DRAWS)]
    rows = [torch.from_numpy(picked).to(table.device) for picked in draws]
    return [RealSplit(as_rows(table[picked]), heldout) for picked in rows]


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances (N, M) between rows of (N, d) and (M, d) float64.

    In many dimensions |a - b|^2 is |a|^2 - 2 a.b + |b|^2, which is as fast as a matrix product and
    exact to about 1e-8 |a|: near rows can be told apart down to there.
    """
    from scipy.spatial.distance import cdist

    if x.shape[1] <= _FEW_DIMENSIONS:
        return cdist(x, y)
    mode = "use_mm_for_euclid_dist"
    return torch.cdist(torch.from_numpy(x), torch.from_numpy(y), compute_mode=mode).numpy()

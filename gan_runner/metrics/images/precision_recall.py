"""Precision, recall, density and coverage of sample manifolds in feature space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_AT_ONCE = 1000  # rows per block of the distance matrix
_TAGS = ("images/precision", "images/recall", "images/density", "images/coverage")


class Manifolds:
    """`images/precision`, `images/recall`, `images/density` and `images/coverage`.

    See Kynkaanniemi et al. 2019, equations 1 to 3, and Naeem et al. 2020, section 3.2.

    The manifold of a set is the union of balls around its points. The radius of each ball is the
    distance to the k-th nearest other point. Precision is the share of samples in the data's
    manifold, recall the share of data in the samples' manifold. Both are at most 1, and depend on
    the number of samples. A collapsed generator may have a precision of 1 but has a low recall.

    Density is the mean number of the data's balls that a sample lies in, over k; it is 1 for equal
    distributions and may exceed 1. Coverage is the share of the data whose ball holds a sample.
    Outliers among the samples do not raise it, unlike recall.

    Args:
        real: features (N, d) of data, N larger than k.
        k: number of neighbours.
    """

    def __init__(self, real: Tensor, *, k: int) -> None:
        self.real, self.k = real, k
        self.radii = _radii(real, k)
        fact = {"better": "higher", "k": k, "features": real.shape[1]}
        self.facts: dict[str, dict[str, Any]] = dict.fromkeys(_TAGS, fact)

    def __call__(self, features: Tensor, probabilities: Tensor | None = None) -> dict[str, float]:
        """Compare features (M, d) with those of the data."""
        if len(features) <= self.k:
            return {}
        radii = _radii(features, self.k)
        covered = torch.zeros(len(self.real), dtype=torch.bool, device=features.device)
        reached, right, held = torch.zeros_like(covered), 0, 0
        for part, radius in zip(features.split(_AT_ONCE), radii.split(_AT_ONCE), strict=True):
            distances = torch.cdist(part, self.real)  # (rows, N)
            inside = distances <= self.radii
            right += int(inside.any(1).sum())
            held += int(inside.sum())
            reached |= inside.any(0)
            covered |= (distances <= radius[:, None]).any(0)
        recall, coverage = (float(rows.double().mean()) for rows in (covered, reached))
        values = (right / len(features), recall, held / (self.k * len(features)), coverage)
        return dict(zip(_TAGS, values, strict=True))


def _radii(x: Tensor, k: int) -> Tensor:
    """Return the distance of each row to the k-th nearest other row, (N,)."""
    nearest = [
        torch.cdist(part, x).topk(k + 1, largest=False).values[:, k]  # the nearest is the row
        for part in x.split(_AT_ONCE)
    ]
    return torch.cat(nearest)

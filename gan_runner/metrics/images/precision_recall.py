"""Precision and recall of sample manifolds in feature space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_AT_ONCE = 1000  # rows per block of the distance matrix


class Manifolds:
    """`images/precision` and `images/recall`, Kynkaanniemi et al. 2019, equations 1 to 3.

    The manifold of a set is the union of balls around its points. The radius of each ball is the
    distance to the k-th nearest other point. Precision is the share of samples in the data's
    manifold, recall the share of data in the samples' manifold. Both are at most 1, and depend on
    the number of samples. A collapsed generator may have a precision of 1 but has a low recall.

    Args:
        real: features (N, d) of data, N larger than k.
        k: number of neighbours.
    """

    def __init__(self, real: Tensor, *, k: int) -> None:
        self.real, self.k = real, k
        self.radii = _radii(real, k)
        fact = {"better": "higher", "k": k, "features": real.shape[1]}
        self.facts: dict[str, dict[str, Any]] = {
            "images/precision": fact,
            "images/recall": fact,
        }

    def __call__(self, features: Tensor, probabilities: Tensor | None = None) -> dict[str, float]:
        """Compare features (M, d) with those of the data."""
        if len(features) <= self.k:
            return {}
        radii = _radii(features, self.k)
        covered = torch.zeros(len(self.real), dtype=torch.bool, device=features.device)
        right = 0
        for part, radius in zip(features.split(_AT_ONCE), radii.split(_AT_ONCE), strict=True):
            distances = torch.cdist(part, self.real)  # (rows, N)
            right += int((distances <= self.radii).any(1).sum())
            covered |= (distances <= radius[:, None]).any(0)
        return {
            "images/precision": right / len(features),
            "images/recall": float(covered.double().mean()),
        }


def _radii(x: Tensor, k: int) -> Tensor:
    """Return the distance of each row to the k-th nearest other row, (N,)."""
    nearest = [
        torch.cdist(part, x).topk(k + 1, largest=False).values[:, k]  # the nearest is the row
        for part in x.split(_AT_ONCE)
    ]
    return torch.cat(nearest)

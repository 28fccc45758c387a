"""Distances between two sets of images in the features of one network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gan_runner.metrics.seeded import seeded

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

_AT_ONCE = 1000  # rows whose distances to all others are in memory


class Frechet:
    """`images/fid`: the Frechet distance between Gaussians of equal means and covariances.

    |m - n|^2 + tr(A + B - 2 (A B)^(1/2)), Heusel et al. 2017, equation 6. It is biased upwards,
    the more the fewer samples there are, so it compares at one number of samples only. It has no
    value of as many samples as features or fewer, whose covariance is singular.

    Args:
        real: features (N, d) of data, float64, N larger than d.
    """

    def __init__(self, real: Tensor) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        self.facts: dict[str, dict[str, Any]] = {"images/fid": {"features": real.shape[1]}}
        passed = nn.Identity()
        passed.num_features = real.shape[1]  # type: ignore[assignment]
        self.distance: FrechetInceptionDistance = FrechetInceptionDistance(
            passed, reset_real_features=False
        ).to(real.device)
        self.distance.update(real, real=True)

    def __call__(self, features: Tensor, probabilities: Tensor | None = None) -> dict[str, float]:
        """Compare features (M, d) with those of the data."""
        if len(features) <= features.shape[1]:
            return {}
        self.distance.update(features, real=False)
        value = max(0.0, float(self.distance.compute()))  # rounding may leave -1e-13
        self.distance.reset()
        return {"images/fid": value}


class Kernel:
    """`images/kid`: the squared maximum mean discrepancy with the kernel (x.y / d + 1)^3.

    The unbiased estimate of Binkowski et al. 2018, section 4: the mean over random subsets, so it
    may be slightly negative. It does not depend on the number of samples.

    Args:
        real: features (N, d) of data, float64.
        subsets: how many.
        subset_size: rows of each, at most N, 2 at least.
        seed: of the subsets.
    """

    def __init__(self, real: Tensor, *, subsets: int, subset_size: int, seed: int) -> None:
        self.real, self.subsets, self.subset_size, self.seed = real, subsets, subset_size, seed
        drawn = {"subsets": subsets, "subset_size": subset_size, "seed": seed}
        self.facts: dict[str, dict[str, Any]] = {
            "images/kid": {"kernel": "(x.y / d + 1)^3", "features": real.shape[1], **drawn}
        }

    def __call__(self, features: Tensor, probabilities: Tensor | None = None) -> dict[str, float]:
        """Compare features (M, d) with those of the data."""
        from torchmetrics.image.kid import KernelInceptionDistance

        if len(features) < self.subset_size:
            return {}
        all_rows = len(features) == len(self.real) == self.subset_size  # then subsets are alike
        with seeded(self.seed):
            distance = KernelInceptionDistance(
                nn.Identity(), subsets=1 if all_rows else self.subsets, subset_size=self.subset_size
            )
            distance.update(self.real, real=True)
            distance.update(features, real=False)
            mean, _ = distance.compute()
        return {"images/kid": float(mean)}


class Manifolds:
    """`images/precision` and `images/recall`, Kynkaanniemi et al. 2019, equations 1 to 3.

    The manifold of a set is the union of balls around its points, as large as the distance to the
    k-th nearest other point. Precision is the share of samples in the data's manifold, recall the
    share of data in the samples'. Both are 1 at best, and depend on the numbers of samples. A
    collapsed generator may well have a precision of 1: its recall is what tells.

    Args:
        real: features (N, d) of data, N larger than k.
        k: neighbours.
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
        for part, its in zip(features.split(_AT_ONCE), radii.split(_AT_ONCE), strict=True):
            apart = torch.cdist(part, self.real)  # (rows, N)
            right += int((apart <= self.radii).any(1).sum())
            covered |= (apart <= its[:, None]).any(0)
        return {
            "images/precision": right / len(features),
            "images/recall": float(covered.double().mean()),
        }


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest other row, (N,)."""
    nearest = [
        torch.cdist(part, x).topk(k + 1, largest=False).values[:, k]  # the nearest one is itself
        for part in x.split(_AT_ONCE)
    ]
    return torch.cat(nearest)

"""Frechet distance between feature distributions (FID)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Frechet:
    """`images/fid`: the Frechet distance between Gaussians of equal means and covariances.

    |m - n|^2 + tr(A + B - 2 (A B)^(1/2)), Heusel et al. 2017, equation 6. The upward bias grows as
    the number of samples falls, so only values at equal numbers of samples are comparable. There is
    no value if samples do not outnumber features, because the covariance is singular.

    Args:
        real: features (N, d) of data, float64, N larger than d.
    """

    def __init__(self, real: Tensor) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        self.facts: dict[str, dict[str, Any]] = {"images/fid": {"features": real.shape[1]}}
        passed = nn.Identity()
        passed.num_features = real.shape[1]  # type: ignore[assignment]
        self.distance: Any = FrechetInceptionDistance(passed, reset_real_features=False).to(
            real.device
        )
        self.distance.update(real, real=True)

    def __call__(self, features: Tensor, probabilities: Tensor | None = None) -> dict[str, float]:
        """Compare features (M, d) with those of the data."""
        if len(features) <= features.shape[1]:
            return {}
        self.distance.update(features, real=False)
        value = max(0.0, float(self.distance.compute()))  # rounding may leave -1e-13
        self.distance.reset()
        return {"images/fid": value}

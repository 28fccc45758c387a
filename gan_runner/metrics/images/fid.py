"""Frechet distance between feature distributions; in Inception's features it is the FID."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Frechet:
    """`images/frechet`: the Frechet distance between Gaussians of equal means and covariances.

    |m - n|^2 + tr(A + B - 2 (A B)^(1/2)), Heusel et al. 2017, equation 6. The upward bias grows as
    the number of samples falls, so only values at equal numbers of samples are comparable. There is
    no value if samples do not outnumber features, because the covariance is singular.

    Args:
        real: features (N, d) of data, float64, N larger than d.
        tag: of the value: `images/fid` for Inception's features.
        singular: compute the value for singular covariances too, as published programs do.
    """

    def __init__(
        self, real: Tensor, *, tag: str = "images/frechet", singular: bool = False
    ) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        self.tag, self.singular = tag, singular
        self.facts: dict[str, dict[str, Any]] = {tag: {"features": real.shape[1]}}
        passed = nn.Identity()
        passed.num_features = real.shape[1]  # type: ignore[assignment]
        self.distance: Any = FrechetInceptionDistance(passed, reset_real_features=False).to(
            real.device
        )
        self.distance.update(real, real=True)

    def __call__(self, features: Tensor, probabilities: Tensor | None = None) -> dict[str, float]:
        """Compare features (M, d) with those of the data."""
        if len(features) <= features.shape[1] and not self.singular:
            return {}
        self.distance.update(features, real=False)
        value = max(0.0, float(self.distance.compute()))  # rounding may leave -1e-13
        self.distance.reset()
        return {self.tag: value}

"""Kernel distance between feature distributions; in Inception's features it is the KID."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from gan_runner.metrics.fork_rng import fork_rng


class Kernel:
    """`images/kernel`: the squared maximum mean discrepancy with the kernel (x.y / d + 1)^3.

    This is the unbiased estimate of Binkowski et al. 2018, section 4: a mean over random subsets.
    It may be slightly negative. Its expectation does not depend on the number of samples.

    Args:
        real: features (N, d) of data, float64.
        subsets: number of subsets.
        subset_size: rows of each subset, 2 to N.
        seed: seed of the subsets.
        tag: of the value: `images/kid` for Inception's features.
    """

    def __init__(
        self,
        real: Tensor,
        *,
        subsets: int,
        subset_size: int,
        seed: int,
        tag: str = "images/kernel",
    ) -> None:
        self.tag = tag
        self.real, self.subsets, self.subset_size, self.seed = real, subsets, subset_size, seed
        drawn = {"subsets": subsets, "subset_size": subset_size, "seed": seed}
        self.facts: dict[str, dict[str, Any]] = {
            tag: {"kernel": "(x.y / d + 1)^3", "features": real.shape[1], **drawn}
        }

    def __call__(self, features: Tensor, probabilities: Tensor | None = None) -> dict[str, float]:
        """Compare features (M, d) with those of the data."""
        from torchmetrics.image.kid import KernelInceptionDistance

        if len(features) < self.subset_size:
            return {}
        all_rows = len(features) == len(self.real) == self.subset_size  # then all subsets are equal
        with fork_rng(self.seed):
            distance = KernelInceptionDistance(
                nn.Identity(), subsets=1 if all_rows else self.subsets, subset_size=self.subset_size
            )
            distance.update(self.real, real=True)
            distance.update(features, real=False)
            mean, _ = distance.compute()
        return {self.tag: float(mean)}

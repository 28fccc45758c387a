"""A metric and a plot of the samples' radius."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge

from gan_runner.core import EvalContext, Snapshot


class RadiusError:
    """`ring/radius_error`: E | |G(z)| - 1 |, 0 on the ring."""

    def __init__(self, context: EvalContext) -> None:
        applies = context.spec.shape == (2,)
        provenance = {**context.reference, "better": "lower"}
        self.provenance = {"ring/radius_error": provenance} if applies else {}

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Return the error of the averaged generator."""
        return {"ring/radius_error": (snapshot.samples_ema.norm(dim=1) - 1).abs().mean().item()}


class RadiusHistogram:
    """A histogram of radii: data above, samples below, drawn without a plotting library."""

    def __init__(self, context: EvalContext, *, bins: Annotated[int, Ge(2)] = 64) -> None:
        self.bins = bins
        self.real = self.histogram(context.heldout.x.cpu().numpy())

    def __call__(self, snapshot: Snapshot) -> np.ndarray:
        """Return the picture, (2 * 64, 4 * bins, 3) uint8."""
        rows = [self.real, self.histogram(snapshot.samples_ema.cpu().numpy())]
        return np.concatenate([self.bars(row) for row in rows])

    def histogram(self, points: np.ndarray) -> np.ndarray:
        """Return the share of points per bin of radius, between 0 and 2."""
        counts, _ = np.histogram(np.linalg.norm(points, axis=1), bins=self.bins, range=(0, 2))
        return counts / max(1, counts.max())

    def bars(self, shares: np.ndarray) -> np.ndarray:
        """Return white bars on black, (64, 4 * bins, 3)."""
        heights = np.repeat(np.round(63 * shares).astype(int), 4)
        lit = np.arange(63, -1, -1)[:, None] < heights[None]
        return np.repeat((255 * lit.astype(np.uint8))[..., None], 3, axis=2)

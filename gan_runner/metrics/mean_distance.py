"""Distance between the means of samples and data: the error of an estimate of the mean."""

from __future__ import annotations

import numpy as np

from gan_runner.core import EvalContext, Snapshot
from gan_runner.metrics.provenance import of_generators
from gan_runner.metrics.rows import as_rows


class MeanDistance:
    """`convergence/squared_distance`: |E G(z) - mu|^2, where mu is the known mean of the data.

    It applies to data with one mode, whose centre is mu. For a generator G(z) = theta it is
    |theta - theta*|^2, the distance from the minimum of `objectives.regression.quadratic`.
    """

    def __init__(self, context: EvalContext) -> None:
        modes = context.spec.modes
        self.provenance = {}
        if modes is not None and len(modes) == 1:
            self.mean = modes[0]
            about = {"reference": "centre", "better": "lower"}
            self.provenance = of_generators({"convergence/squared_distance": about})

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute the squared distance for both generators."""
        means = {w: as_rows(x).mean(axis=0) for w, x in snapshot.samples_by_generator.items()}
        return {
            f"convergence/squared_distance{which}": float(np.square(mean - self.mean).sum())
            for which, mean in means.items()
        }

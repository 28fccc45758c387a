"""Mean distance between samples, relative to the mean distance between data."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor

from gan_runner.core import EvalContext, Snapshot
from gan_runner.metrics.provenance import of_generators

_SHIFTS = 4  # partners of each row


class Diversity:
    """`coverage/diversity`: E |G(z) - G(z')|_2 / E |x - x'|_2, of samples over held-out data.

    It is 1 if samples lie as far apart as data, and 0 if the generator ignores the noise. It
    detects collapse, not missing modes: a generator of one of two far clusters halves it at most.
    For a conditional generator only pairs of equal labels count on either side. Labels alone would
    keep other pairs apart.

    Distances are Euclidean, in the units of the players' data. The means are not over all pairs:
    each row is compared with the 4 next rows (of its label) in an order drawn once.
    """

    def __init__(self, context: EvalContext) -> None:
        provenance = {**context.reference, "distance": "euclidean", "better": "higher"}
        x, y, _ = context.heldout
        self.apart = mean_distance(x)
        self.apart_by_label = None if y is None else mean_distance(x, y)
        self.provenance = of_generators({"coverage/diversity": provenance}) if self.apart else {}

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compare the samples of both generators with the held-out data."""
        apart = self.apart if snapshot.labels is None else self.apart_by_label
        if not apart:
            return {}
        drawn = {
            which: mean_distance(x, snapshot.labels)
            for which, x in snapshot.samples_by_generator.items()
        }
        return {
            f"coverage/diversity{which}": distance / apart
            for which, distance in drawn.items()
            if distance is not None
        }


def mean_distance(x: Tensor, y: Tensor | None = None) -> float | None:
    """Compute E |x_i - x_j|_2 over pairs of rows, or None if it is not finite.

    With labels, only pairs of equal labels count. The rows are shuffled first: the samples of an
    ensemble alternate between generators, so neighbours would never be of one generator.

    Args:
        x: rows, (N, ...) float.
        y: labels of the rows, (N,).
    """
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(x.device)
    rows = x.flatten(1)[shuffled]
    if y is not None:
        y = y[shuffled]
        order = y.argsort(stable=True)
        rows, y = rows[order], y[order]
    distances = []
    for shift in range(1, min(_SHIFTS, len(rows) - 1) + 1):
        apart = (rows[shift:] - rows[:-shift]).norm(dim=1)
        distances.append(apart if y is None else apart[y[shift:] == y[:-shift]])
    mean = torch.cat(distances).mean().item() if distances else float("nan")
    return mean if isfinite(mean) else None

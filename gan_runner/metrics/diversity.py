"""How much samples differ from one another, compared with data."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor

from gan_runner.core import EvalContext, Snapshot
from gan_runner.metrics.provenance import of_generators

_SHIFTS = 4  # partners of each row that its distance is taken to


class Diversity:
    """`coverage/diversity`: E |G(z) - G(z')|_2 / E |x - x'|_2, of samples over held-out data.

    1 where samples lie as far apart as data, 0 where the generator says one thing whatever its
    noise. It sees collapse, not what is missing: a generator of one of two far clusters halves it
    at most. Where the generator is told labels, only pairs of one label count on either side, for
    labels alone would keep samples apart.

    Distances are Euclidean, in the units of the players' data. The means are over each row and the
    4 that follow it (within its label) in an order drawn once, not over all pairs.
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
    """E |x_i - x_j|_2 over pairs of rows, of equal labels if there are any; None: not finite.

    The rows are shuffled first: those of an ensemble's samples take turns, so that neighbours are
    never of one generator.

    Args:
        x: rows, (N, ...) float.
        y: their labels, (N,).
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

"""How much of the data samples cover: modes of a mixture, and duplicates among the samples."""

from __future__ import annotations

from functools import cached_property
from math import ceil
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from gan_runner.core import EvalContext, Provenance, Snapshot
from gan_runner.metrics.grid_divergence import kl
from gan_runner.metrics.provenance import of_generators
from gan_runner.metrics.rows import DRAWS, as_rows, distances, real_halves

WITHIN = 3.0  # standard deviations
_ROUNDING = 1e-7  # of the rows' lengths: distances are no more exact
_FAIR = 0.2  # of its fair share of the samples that a mode needs


class Coverage(NamedTuple):
    """What samples find of a mixture.

    Attributes:
        modes: how many modes have `enough` samples of high quality or more.
        touched: how many have one or more.
        quality: share of the samples that are of high quality.
    """

    modes: int
    touched: int
    quality: float


def coverage(samples: np.ndarray, modes: np.ndarray, std: float, *, enough: int) -> Coverage:
    """Count modes by the convention of VEEGAN and PacGAN.

    A sample is of high quality if it lies within 3 standard deviations of the nearest centre, in
    Euclidean distance, and then it belongs to that mode (Srivastava et al. 2017, section 4.1; Lin
    et al. 2018, section 4.1). In the plane 1 - exp(-9/2) = 98.9% of the data is.

    Args:
        samples: (N, d); what is not finite is of no quality.
        modes: centres (K, d).
        std: standard deviation of each component along each axis.
        enough: samples of high quality that a mode needs.
    """
    nearest, distance = _nearest(samples, modes)
    near = distance <= WITHIN * std  # false for NaN
    counts = np.bincount(nearest[near], minlength=len(modes))
    return Coverage(int((counts >= enough).sum()), int((counts > 0).sum()), float(near.mean()))


def fair(count: int, modes: int, *, share: float = _FAIR) -> int:
    """Samples of `count` that a mode needs to be found: this share of what would be fair."""
    return max(1, ceil(share * count / modes - 1e-9))


def _nearest(samples: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    apart = np.linalg.norm(samples[:, None] - modes[None], axis=2)
    return apart.argmin(axis=1), apart.min(axis=1)


def modes_reverse_kl(samples: np.ndarray, modes: np.ndarray) -> float:
    """KL(generator || data) in nats between shares of the modes: 0 to log K.

    Each sample counts for the mode that it is nearest to, of whatever quality; the data's shares
    are equal (Lin et al. 2018, section 4.1).

    Args:
        samples: (N, d), finite.
        modes: centres (K, d).
    """
    counts = np.bincount(_nearest(samples, modes)[0], minlength=len(modes))
    return kl(counts / len(samples), np.full(len(modes), 1 / len(modes)))


class ModesFound:
    """`modes/found`, `modes/touched`, `modes/high_quality` and `modes/reverse_kl` of a mixture.

    See `coverage` and `modes_reverse_kl`. The papers count a mode that one sample of high quality
    touches, of 2,500; so does `modes/touched`. A uniform blur touches nearly all of a grid, for
    which reason `modes/found` counts modes with a fifth of their fair share or more.

    Args:
        share: of its fair share of the samples that a mode needs to be found.
    """

    def __init__(
        self, context: EvalContext, *, share: Annotated[float, Gt(0), Le(1)] = _FAIR
    ) -> None:
        self.share, self.provenance = share, dict[str, Provenance]()
        centres, std = context.spec.modes, context.spec.mode_std
        if centres is None or std is None:
            return
        self.centres, self.std = centres, std
        about = {"reference": "centres", "of": len(centres), "within": f"{WITHIN:g} std"}
        higher = {**about, "better": "higher"}
        self.provenance = of_generators(
            {
                "modes/found": {**higher, "least share of a fair one": share},
                "modes/touched": higher,
                "modes/high_quality": higher,
                "modes/reverse_kl": {"reference": "equal shares", "of": len(centres)},
            }
        )

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Count what both generators find."""
        values: dict[str, float] = {}
        for which, samples in snapshot.samples_by_generator.items():
            points = as_rows(samples)
            enough = fair(len(points), len(self.centres), share=self.share)
            found = coverage(points, self.centres, self.std, enough=enough)
            values |= {
                f"modes/found{which}": float(found.modes),
                f"modes/touched{which}": float(found.touched),
                f"modes/high_quality{which}": found.quality,
            }
            if np.isfinite(points).all():
                values[f"modes/reverse_kl{which}"] = modes_reverse_kl(points, self.centres)
        return values


def apart(x: np.ndarray) -> np.ndarray:
    """Distances (N, N) between different rows of (N, d); infinite from a row to itself."""
    between = distances(x, x)
    np.fill_diagonal(between, np.inf)
    return between


def closest_pairs(x: np.ndarray, *, count: int) -> np.ndarray:
    """The `count` pairs (count, 2) of rows that are nearest to each other, nearest first."""
    first, second = np.triu_indices(len(x), k=1)
    order = np.argsort(apart(x)[first, second], kind="stable")[:count]
    return np.stack([first[order], second[order]], axis=1)


def support_size(pairs: float, *, rows: int) -> float:
    """How many different samples there seem to be, from pairs of duplicates among `rows`.

    Two draws from N equally likely values are equal with probability 1 / N, so that s (s - 1) / 2
    pairs of rows hold s (s - 1) / (2 N) of duplicates: N is about s^2 where there is half a one
    (Arora & Zhang 2017, section 3, with the number of pairs instead of whether there is one). With
    none the largest number that so many rows could have shown: s (s - 1) / 2.
    """
    return rows * (rows - 1) / 2 / max(pairs, 1)


class NearDuplicates:
    """`coverage/near_duplicates` and `coverage/support`: the birthday test for duplicates.

    Arora & Zhang 2017 ("Do GANs actually learn the distribution? An empirical study") look for
    duplicates among s samples: where they are found, the generator makes about s^2 different ones.
    There a person judges the nearest pairs (see `nearest_neighbours.ClosestPairs`); here a sample
    is a duplicate if another one is nearer than the threshold that `real_share` of as many held-out
    rows have another one within. So `coverage/near_duplicates` is `real_share` for data like the
    held-out rows. `coverage/near_duplicates_floor` is what as many training rows have.

    `coverage/support` is `support_size` of the pairs that are nearer than the threshold: an order
    of magnitude, and one that real data limits too; see `coverage/support_floor`.

    Distances are Euclidean, of images between pixels. With fewer than 1 / `real_share` held-out
    rows there is no threshold, and no value.

    Args:
        context: of the run.
        samples: s, at most; all pairs of them are looked at.
        real_share: of held-out rows that count as duplicates of others.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        samples: Annotated[int, Ge(2)] = 5000,
        real_share: Annotated[float, Gt(0), Lt(1)] = 0.01,
    ) -> None:
        self.context, self.real_share, self.provenance = (
            context,
            real_share,
            dict[str, Provenance](),
        )
        rows = self.rows = min(samples, len(context.heldout.x))
        if rows < max(2, 1 / real_share):
            return
        about = {**context.reference, "metric": "Euclidean", "samples": rows, "real": real_share}
        values = {
            "coverage/near_duplicates": {**about, "beside": "coverage/near_duplicates"},
            "coverage/support": {**about, "beside": "coverage/support", "better": "higher"},
        }
        drawn = {
            "rows": min(rows, len(context.dataset.train.x)),
            "draws": DRAWS,
            "seed": context.seed,
        }
        floors = {
            f"{tag}_floor": {**provenance, "of": "training rows", **drawn}
            for tag, provenance in values.items()
        }
        self.provenance = {**of_generators(values), **floors}

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Measure the samples of both generators, beside training data."""
        values = dict(self._floors)
        for which, samples in snapshot.samples_by_generator.items():
            x = as_rows(samples[: self.rows])
            if np.isfinite(x).all():
                values |= _values(*self._count(x), rows=len(x), suffix=which)
        return values

    @cached_property
    def _threshold(self) -> float:
        """The distance that the rarest `real_share` of held-out rows have another one within."""
        real = as_rows(self.context.heldout.x[: self.rows])
        rounding = _ROUNDING * float(np.linalg.norm(real, axis=1).max())  # of copies in the data
        return max(rounding, float(np.quantile(apart(real).min(axis=1), self.real_share)))

    @cached_property
    def _floors(self) -> dict[str, float]:
        halves = real_halves(self.context, self.rows)
        share, pairs = np.mean([self._count(half.train) for half in halves], axis=0)
        return _values(float(share), float(pairs), rows=len(halves[0].train), suffix="_floor")

    def _count(self, x: np.ndarray) -> tuple[float, int]:
        """The share of duplicates, and how many pairs they form."""
        near = apart(x) <= self._threshold
        return float(near.any(axis=1).mean()), int(near.sum()) // 2


def _values(share: float, pairs: float, *, rows: int, suffix: str) -> dict[str, float]:
    return {
        f"coverage/near_duplicates{suffix}": share,
        f"coverage/support{suffix}": support_size(pairs, rows=rows),
    }

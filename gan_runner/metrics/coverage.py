"""Coverage of the data by samples: modes of a mixture, and duplicates among the samples."""

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
_ROUNDING = 1e-7  # relative error of distances, as a share of the rows' norms
_FAIR = 0.2  # least share of a fair share that counts as finding a mode


class Coverage(NamedTuple):
    """Mode coverage of a mixture by samples.

    Attributes:
        modes: number of modes with at least `enough` high-quality samples.
        touched: number of modes with at least one high-quality sample.
        quality: share of the samples that are of high quality.
    """

    modes: int
    touched: int
    quality: float


def coverage(samples: np.ndarray, modes: np.ndarray, std: float, *, enough: int) -> Coverage:
    """Count modes by the convention of VEEGAN and PacGAN.

    A high-quality sample lies within 3 standard deviations of the nearest centre, in Euclidean
    distance; it belongs to that mode (Srivastava et al. 2017, section 4.1; Lin et al. 2018,
    section 4.1). In the plane, 1 - exp(-9/2) = 98.9% of the data is of high quality.

    Args:
        samples: (N, d); a row that is not finite is not of high quality.
        modes: centres (K, d).
        std: standard deviation of each component along each axis.
        enough: high-quality samples that a mode needs to be counted in `modes`.
    """
    nearest, distance = _nearest(samples, modes)
    near = distance <= WITHIN * std  # false for NaN
    counts = np.bincount(nearest[near], minlength=len(modes))
    return Coverage(int((counts >= enough).sum()), int((counts > 0).sum()), float(near.mean()))


def fair(count: int, modes: int, *, share: float = _FAIR) -> int:
    """Return how many of `count` samples a mode needs: `share` of count / modes, at least 1."""
    return max(1, ceil(share * count / modes - 1e-9))


def _nearest(samples: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gaps = np.linalg.norm(samples[:, None] - modes[None], axis=2)
    return gaps.argmin(axis=1), gaps.min(axis=1)


def modes_reverse_kl(samples: np.ndarray, modes: np.ndarray) -> float:
    """Compute KL(generator || data) in nats between shares of the modes: 0 to log K.

    Each sample, whether of high quality or not, counts for its nearest mode. The data's shares are
    equal (Lin et al. 2018, section 4.1).

    Args:
        samples: (N, d), finite.
        modes: centres (K, d).
    """
    counts = np.bincount(_nearest(samples, modes)[0], minlength=len(modes))
    return kl(counts / len(samples), np.full(len(modes), 1 / len(modes)))


class ModesFound:
    """`modes/found`, `modes/touched`, `modes/high_quality` and `modes/reverse_kl` of a mixture.

    See `coverage` and `modes_reverse_kl`. The papers count a mode that one high-quality sample of
    2,500 touches; `modes/touched` does the same. A uniform blur touches nearly all modes of a grid.
    Therefore `modes/found` counts modes with at least a fifth of their fair share.

    Args:
        share: least share of its fair share of the samples with which a mode counts as found.
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
        """Compute the metrics for both generators."""
        values: dict[str, float] = {}
        for which, samples in snapshot.samples_by_generator.items():
            points = as_rows(samples)
            enough = fair(len(points), len(self.centres), share=self.share)
            covered = coverage(points, self.centres, self.std, enough=enough)
            values |= {
                f"modes/found{which}": float(covered.modes),
                f"modes/touched{which}": float(covered.touched),
                f"modes/high_quality{which}": covered.quality,
            }
            if np.isfinite(points).all():
                values[f"modes/reverse_kl{which}"] = modes_reverse_kl(points, self.centres)
        return values


def apart(x: np.ndarray) -> np.ndarray:
    """Return distances (N, N) between different rows of (N, d); infinite from a row to itself."""
    between = distances(x, x)
    np.fill_diagonal(between, np.inf)
    return between


def closest_pairs(x: np.ndarray, *, count: int) -> np.ndarray:
    """Return the `count` closest pairs of rows, (count, 2) row numbers, nearest first."""
    first, second = np.triu_indices(len(x), k=1)
    order = np.argsort(apart(x)[first, second], kind="stable")[:count]
    return np.stack([first[order], second[order]], axis=1)


def support_size(pairs: float, *, rows: int) -> float:
    """Estimate the number of different samples from the number of duplicate pairs in `rows` rows.

    Two draws from N equally likely values are equal with probability 1 / N. So s (s - 1) / 2 pairs
    of rows hold s (s - 1) / (2 N) duplicate pairs on average; half a pair means N of about s^2.
    Arora & Zhang 2017, section 3, test for one duplicate; this function uses the number of pairs.
    Without duplicates it returns the largest number that the rows can show: s (s - 1) / 2.
    """
    return rows * (rows - 1) / 2 / max(pairs, 1)


class NearDuplicates:
    """`coverage/near_duplicates` and `coverage/support`: the birthday test for duplicates.

    Arora & Zhang 2017 ("Do GANs actually learn the distribution? An empirical study") search for
    duplicates among s samples. If there are any, the generator makes about s^2 different samples.
    In the paper a person judges the nearest pairs (see `nearest_neighbours.ClosestPairs`). Here a
    sample is a duplicate if its distance to another sample is at most a threshold.
    The threshold is the `real_share` quantile of nearest-neighbour distances among equally many
    held-out rows. So `coverage/near_duplicates` is `real_share` for data like the held-out rows.
    `coverage/near_duplicates_floor` is the value of equally many training rows.

    `coverage/support` is `support_size` of the number of pairs within the threshold. It is an order
    of magnitude, and limited for real data too; see `coverage/support_floor`.

    Distances are Euclidean; for images, between pixels. With fewer than 1 / `real_share` held-out
    rows there is no threshold and no value.

    Args:
        context: constants of the run.
        samples: largest number s of samples; all pairs of them are compared.
        real_share: share of held-out rows that count as duplicates.
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
        """Compute the metrics for both generators, and the floors for training data."""
        values = dict(self._floors)
        for which, samples in snapshot.samples_by_generator.items():
            x = as_rows(samples[: self.rows])
            if np.isfinite(x).all():
                values |= _values(*self._count(x), rows=len(x), suffix=which)
        return values

    @cached_property
    def _threshold(self) -> float:
        """Compute the `real_share` quantile of held-out rows' nearest-neighbour distances."""
        real = as_rows(self.context.heldout.x[: self.rows])
        # Exact copies in the data may differ by rounding.
        rounding = _ROUNDING * float(np.linalg.norm(real, axis=1).max())
        return max(rounding, float(np.quantile(apart(real).min(axis=1), self.real_share)))

    @cached_property
    def _floors(self) -> dict[str, float]:
        halves = real_halves(self.context, self.rows)
        share, pairs = np.mean([self._count(half.train) for half in halves], axis=0)
        return _values(float(share), float(pairs), rows=len(halves[0].train), suffix="_floor")

    def _count(self, x: np.ndarray) -> tuple[float, int]:
        """Return the share of duplicates and the number of duplicate pairs."""
        near = apart(x) <= self._threshold
        return float(near.any(axis=1).mean()), int(near.sum()) // 2


def _values(share: float, pairs: float, *, rows: int, suffix: str) -> dict[str, float]:
    return {
        f"coverage/near_duplicates{suffix}": share,
        f"coverage/support{suffix}": support_size(pairs, rows=rows),
    }

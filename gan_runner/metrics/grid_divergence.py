"""Divergences between data and samples in the plane, from the masses of grid cells.

A grid loses details finer than a cell. So each divergence between cells is a lower bound on the
divergence between densities (data processing inequality). n samples scatter over the cells even if
they come from the data. The scatter adds about (K - 1) / (8 n) to the Jensen-Shannon divergence,
where K is the number of cells reached.

Jensen-Shannon divergences in nats for mixtures of 8 and of 25 components, with cells of two
standard deviations of a component and 1,000 samples:
- samples of the data itself: .015 and .04;
- components twice as wide: .14 and .17;
- components half as wide: .10 and .16;
- components shifted by one standard deviation along both axes: .17 and .19;
- half of the components missing: .22 and .24.
"""

from __future__ import annotations

from math import log
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt

from gan_runner.core import EvalContext, Snapshot
from gan_runner.metrics.provenance import of_generators
from gan_runner.metrics.rows import as_rows

_MARGIN = 5.0  # standard deviations from the outermost centres to the edge of the grid
_NOTHING = 1e-200  # smaller masses become 0, so that their fractions cannot underflow
_FINEST = 512  # largest number of cells per side
_DRAWS = 20  # histograms drawn from the data that the floor averages


class Grid(NamedTuple):
    """Cells in the plane, and one more for points outside of them.

    Attributes:
        x: edges (I + 1,) along the first coordinate, evenly spaced.
        y: edges (J + 1,) along the second.
    """

    x: np.ndarray
    y: np.ndarray

    def __str__(self) -> str:
        side = self.x[1] - self.x[0]
        return f"{len(self.x) - 1}x{len(self.y) - 1} cells of side {side:.3g}, and the rest"


def grid_over(low: np.ndarray, high: np.ndarray, *, side: float) -> Grid:
    """Return square cells over the rectangle from `low` to `high`, at most 512 per side.

    Args:
        low: lower left corner, (2,).
        high: upper right corner, (2,).
        side: side of a cell in the data's units; enlarged if it would need more than 512 cells.
    """
    side = max(side, float((high - low).max()) / _FINEST)
    counts = np.maximum(np.ceil((high - low) / side - 1e-9), 1).astype(int)
    starts = (low + high - side * counts) / 2
    return Grid(*(s + side * np.arange(n + 1) for s, n in zip(starts, counts, strict=True)))


def shares(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the share of points in each cell, (I J + 1,).

    The last entry is the share of points that are outside of the grid or not finite.

    Args:
        points: (N, 2).
        grid: the cells.
    """
    inside = points[np.isfinite(points).all(axis=1)]
    table, _, _ = np.histogram2d(inside[:, 0], inside[:, 1], bins=(grid.x, grid.y))
    masses = table.ravel() / len(points)
    return np.append(masses, max(0.0, 1.0 - masses.sum()))


def mixture_masses(centres: np.ndarray, std: float, grid: Grid) -> np.ndarray:
    """Compute the exact mass of equally weighted Gaussians in each cell, (I J + 1,).

    Args:
        centres: (K, 2).
        std: standard deviation of each along either axis.
        grid: the cells.
    """
    from scipy.special import ndtr

    along_x, along_y = (
        np.diff(ndtr((edges[None] - centres[:, [axis]]) / std), axis=1)
        for axis, edges in enumerate(grid)
    )
    masses = (along_x.T @ along_y / len(centres)).ravel()
    masses[masses < _NOTHING] = 0.0
    return np.append(masses, max(0.0, 1.0 - masses.sum()))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """Compute KL(p || q) = sum p log(p / q) in nats; infinite where q is 0 and p is not."""
    from scipy.special import rel_entr

    return float(rel_entr(p, q).sum())


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Compute JS(p, q) = (KL(p || m) + KL(q || m)) / 2 in nats, m = (p + q) / 2: 0 to log 2."""
    twice_m = p + q  # twice, because half of the smallest float is 0
    return (kl(p, twice_m) + kl(q, twice_m) + log(2) * float(twice_m.sum())) / 2


def skewed_kl(p: np.ndarray, q: np.ndarray, *, skew: float) -> float:
    """Compute KL(p || (1 - skew) q + skew p) in nats: below KL(p || q), at most log(1 / skew).

    This is the skew divergence of Lee 1999 ("Measures of distributional similarity", section 2). It
    is finite even where q is 0.
    """
    return kl(p, (1 - skew) * q + skew * p)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Compute the total variation distance sum |p - q| / 2: 0 to 1."""
    return float(np.abs(p - q).sum() / 2)


def divergences(data: np.ndarray, samples: np.ndarray, *, n: int) -> dict[str, float]:
    """Compute all divergences between masses of cells, by tag.

    KL of n samples is infinite as soon as they miss a cell. So both KLs are skewed by 1 / (n + 1),
    as though one of n + 1 rows came from the other side. A missed cell costs log(n + 1) at most.

    Args:
        data: masses (K,) of the data.
        samples: masses (K,) of the generator.
        n: number of samples that the generator's masses were counted from.
    """
    skew = 1 / (n + 1)
    return {
        "jsd/grid": jensen_shannon(data, samples),
        "divergence/kl": skewed_kl(data, samples, skew=skew),
        "divergence/reverse_kl": skewed_kl(samples, data, skew=skew),
        "divergence/total_variation": total_variation(data, samples),
    }


class GridDivergences:
    """`jsd/grid`, `divergence/kl`, `divergence/reverse_kl`, `divergence/total_variation`.

    Divergences between 2-D data and samples on a grid. KL is KL(data || generator), reverse KL is
    KL(generator || data); both are skewed (see `divergences`). The masses of a mixture are exact;
    other data is counted, held-out and training rows together. Samples that are not finite count
    as outside of the grid. The tags with `_floor` hold the expected values of equally many draws
    from the data itself: pure bias.

    Args:
        cell: for a mixture, side of a cell in standard deviations of a component.
        cells: for other data, number of cells along the longer side.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        cell: Annotated[float, Gt(0)] = 2.0,
        cells: Annotated[int, Ge(2)] = 32,
    ) -> None:
        self.seed, self.provenance, self._floors = context.seed, {}, dict[int, dict[str, float]]()
        if context.spec.shape != (2,):
            return
        if context.spec.mode_std is None:
            about = self._count(context, cells)
        else:
            about = self._integrate(context, cell)
        about |= {"grid": str(self.grid), "bias": "about (cells reached - 1) / (8 samples) of jsd"}
        values: dict[str, dict[str, Any]] = {tag: {**about, "beside": tag} for tag in _TAGS}
        for tag in ("divergence/kl", "divergence/reverse_kl"):
            values[tag]["skew"] = "1 / (samples + 1)"
        floors = {
            f"{tag}_floor": {**provenance, "draws": _DRAWS, "seed": context.seed}
            for tag, provenance in values.items()
        }
        self.provenance = {**of_generators(values), **floors}

    def _integrate(self, context: EvalContext, cell: float) -> dict[str, Any]:
        centres, std = context.spec.modes, context.spec.mode_std
        assert centres is not None and std is not None
        low, high = centres.min(axis=0) - _MARGIN * std, centres.max(axis=0) + _MARGIN * std
        self.grid = grid_over(low, high, side=cell * std)
        self.data = mixture_masses(centres, std, self.grid)
        return {"reference": "density"}

    def _count(self, context: EvalContext, cells: int) -> dict[str, Any]:
        rows = np.concatenate(
            [as_rows(part.x) for part in (context.dataset.train, context.heldout)]
        )
        low, high = rows.min(axis=0), rows.max(axis=0)
        side = float((high - low).max()) / cells
        self.grid = grid_over(low, high, side=side or 1.0)  # all data may lie in one point
        self.data = shares(rows, self.grid)
        return {"reference": "training and held-out rows", "rows": len(rows)}

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute the divergences of both generators, and the floors."""
        n = len(snapshot.samples_ema)
        values = {f"{tag}_floor": value for tag, value in self._floor(n).items()}
        for which, samples in snapshot.samples_by_generator.items():
            by_tag = divergences(self.data, shares(as_rows(samples), self.grid), n=n)
            values |= {f"{tag}{which}": value for tag, value in by_tag.items()}
        return values

    def _floor(self, n: int) -> dict[str, float]:
        """Compute the mean divergences over histograms of n draws from the data."""
        if n not in self._floors:
            counts = np.random.default_rng(self.seed).multinomial(n, self.data, size=_DRAWS)
            each = [divergences(self.data, histogram / n, n=n) for histogram in counts]
            self._floors[n] = {tag: float(np.mean([draw[tag] for draw in each])) for tag in _TAGS}
        return self._floors[n]


_TAGS = ("jsd/grid", "divergence/kl", "divergence/reverse_kl", "divergence/total_variation")

"""Divergences between data and samples in the plane, from their masses in the cells of a grid.

A grid loses what is finer than its cells, so that each divergence between cells is a lower bound on
the one between densities (data processing). n samples scatter over the cells even if they come from
the data itself, which adds about (K - 1) / (8 n) to the Jensen-Shannon divergence over K cells that
are reached. With cells of two standard deviations of a component, 1,000 samples of the data itself
show .015 nats for 8 components and .04 for 25; components that are twice as wide .14 and .17, half
as wide .10 and .16, off by one standard deviation along both axes .17 and .19, and half of them
missing .22 and .24.
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
_NOTHING = 1e-200  # of a mass: what is smaller is 0, so that shares of it are no trouble
_FINEST = 512  # cells a side at most
_DRAWS = 20  # histograms of the data's own that the floor is the mean of


class Grid(NamedTuple):
    """Cells in the plane, and one more for what lies outside.

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
    """Square cells over the rectangle from `low` to `high`, (2,) each: 512 a side at most.

    Args:
        low: lower left corner.
        high: upper right corner.
        side: of a cell, in the data's units; larger where it would take too many.
    """
    side = max(side, float((high - low).max()) / _FINEST)
    counts = np.maximum(np.ceil((high - low) / side - 1e-9), 1).astype(int)
    starts = (low + high - side * counts) / 2
    return Grid(*(s + side * np.arange(n + 1) for s, n in zip(starts, counts, strict=True)))


def shares(points: np.ndarray, grid: Grid) -> np.ndarray:
    """The share of points in each cell, (I J + 1,); the last is of what is outside or not finite.

    Args:
        points: (N, 2).
        grid: the cells.
    """
    inside = points[np.isfinite(points).all(axis=1)]
    table, _, _ = np.histogram2d(inside[:, 0], inside[:, 1], bins=(grid.x, grid.y))
    found = table.ravel() / len(points)
    return np.append(found, max(0.0, 1.0 - found.sum()))


def mixture_masses(centres: np.ndarray, std: float, grid: Grid) -> np.ndarray:
    """What equally weighted Gaussians give to each cell, (I J + 1,), exactly.

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
    """KL(p || q) = sum p log(p / q) in nats; infinite where q is 0 and p is not."""
    from scipy.special import rel_entr

    return float(rel_entr(p, q).sum())


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2, in nats: 0 to log 2."""
    twice_m = p + q  # twice, because half of the smallest numbers is 0
    return (kl(p, twice_m) + kl(q, twice_m) + log(2) * float(twice_m.sum())) / 2


def skewed_kl(p: np.ndarray, q: np.ndarray, *, skew: float) -> float:
    """KL(p || (1 - skew) q + skew p) in nats: below KL(p || q), and log(1 / skew) at most.

    The skew divergence of Lee 1999 ("Measures of distributional similarity", section 2), which is
    finite where q is empty.
    """
    return kl(p, (1 - skew) * q + skew * p)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """sum |p - q| / 2: 0 to 1."""
    return float(np.abs(p - q).sum() / 2)


def divergences(data: np.ndarray, samples: np.ndarray, *, n: int) -> dict[str, float]:
    """All of them by tag, between masses of cells.

    KL of n samples is infinite as soon as they miss a cell. So both KLs are skewed by 1 / (n + 1),
    as though one of n + 1 rows came from the other side: what is missed costs log(n + 1) at most.

    Args:
        data: masses (K,) of the data.
        samples: masses (K,) of the generator.
        n: samples that the latter were counted from.
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

    Between 2-D data and samples on a grid; KL is KL(data || generator), reverse KL the other one,
    both skewed (see `divergences`). A mixture is known, so its masses are exact; other data is
    counted, held-out and training rows together. Samples that are not finite count as outside of
    the grid. The tags with `_floor` hold what as many draws from the data itself are expected to
    show; it is all bias.

    Args:
        cell: side of a cell in standard deviations of a component, of a mixture.
        cells: along the longer side, of other data.
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
        if context.spec.modes is None:
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
        """Measure the samples of both generators, beside what the data itself would show."""
        n = len(snapshot.samples_ema)
        values = {f"{tag}_floor": value for tag, value in self._floor(n).items()}
        for which, samples in snapshot.samples_by_generator.items():
            found = divergences(self.data, shares(as_rows(samples), self.grid), n=n)
            values |= {f"{tag}{which}": value for tag, value in found.items()}
        return values

    def _floor(self, n: int) -> dict[str, float]:
        """The mean over histograms of n draws from the data."""
        if n not in self._floors:
            counts = np.random.default_rng(self.seed).multinomial(n, self.data, size=_DRAWS)
            each = [divergences(self.data, its / n, n=n) for its in counts]
            self._floors[n] = {tag: float(np.mean([its[tag] for its in each])) for tag in _TAGS}
        return self._floors[n]


_TAGS = ("jsd/grid", "divergence/kl", "divergence/reverse_kl", "divergence/total_variation")

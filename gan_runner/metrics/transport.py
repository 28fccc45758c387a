"""Wasserstein distances between samples, exact and sliced, without a critic.

W_p(P, Q)^p is the least cost sum_ij G_ij |x_i - y_j|^p of all plans G >= 0. A plan moves the masses
a of the rows x to the masses b of the rows y (Kantorovich 1942; Peyre & Cuturi 2019, section 2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge

from gan_runner.core import EvalContext, Provenance, Snapshot
from gan_runner.metrics.provenance import of_generators
from gan_runner.metrics.rows import DRAWS, Norm, as_rows, distances, floors_of, real_halves


class Transport(NamedTuple):
    """An optimal plan, and the dual potentials that prove it to be optimal.

    Attributes:
        value: the least cost, sum_ij plan_ij |x_i - y_j| = a.phi + b.psi.
        plan: (n, m), the mass that moves from row i of x to row j of y; the margins are a and b.
        phi: (n,) dual potentials of x, the first one 0: phi_i + psi_j <= |x_i - y_j|.
        psi: (m,) dual potentials of y; -psi is an optimal critic's f at y, up to a constant.
    """

    value: float
    plan: np.ndarray
    phi: np.ndarray
    psi: np.ndarray


def assignment(
    x: np.ndarray, y: np.ndarray, *, metric: Norm = "l2"
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the cheapest one-to-one assignment of rows, an optimal plan for equal counts.

    Args:
        x: (n, d) float64.
        y: (n, d) float64.
        metric: the ground metric.

    Returns:
        (n,) the row of y assigned to each row of x, and (n,) the distance between the two.

    Raises:
        ValueError: the numbers of rows differ; `transport` accepts them, with weights.
    """
    from scipy.optimize import linear_sum_assignment

    if len(x) != len(y):
        raise ValueError(f"{len(x)} rows against {len(y)}: an assignment needs equal numbers")
    _, partners = linear_sum_assignment(distances(x, y, metric=metric))
    order = {"l1": 1, "l2": None, "linf": np.inf}[metric]
    return partners, np.linalg.norm(x - y[partners], ord=order, axis=1)


def assignment_w1(x: np.ndarray, y: np.ndarray, *, metric: Norm = "l2") -> float:
    """Compute W1 between (n, d) rows of equal mass, in the data's units, in O(n^3) time."""
    return float(assignment(x, y, metric=metric)[1].mean())


def transport(
    x: np.ndarray,
    y: np.ndarray,
    *,
    a: np.ndarray | None = None,
    b: np.ndarray | None = None,
    metric: Norm = "l2",
) -> Transport:
    """Compute W1 between weighted rows by linear programming, primal and dual.

    min C.G subject to A G = (a, b), G >= 0 has the dual max (a, b).F subject to A^T F <= C. Here C
    holds the distances, and F = (phi, psi). Both have the same value (Peyre & Cuturi 2019,
    equations 2.11 and 2.20). All n m variables are kept: 200 rows against 200 take 0.2 s.

    Args:
        x: (n, d) float64.
        y: (m, d) float64.
        a: (n,) masses of x, at least 0; None: all 1/n.
        b: (m,) masses of y, with the same sum as a; None: all 1/m.
        metric: the ground metric.

    Raises:
        ValueError: masses are negative, or the sums differ or are not positive and finite.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    n, m = len(x), len(y)
    a, b = (
        np.full(count, 1 / count) if masses is None else np.asarray(masses, dtype=np.float64)
        for count, masses in ((n, a), (m, b))
    )
    total = _total(a, b)
    cost = distances(x, y, metric=metric)
    leaving = sparse.kron(sparse.eye_array(n), np.ones((1, m)))
    arriving = sparse.kron(np.ones((1, n)), sparse.eye_array(m))
    solution = linprog(
        cost.ravel(),
        A_eq=sparse.vstack([leaving, arriving]).tocsr(),
        b_eq=np.concatenate([a, b]) / total,  # the solver's tolerances are absolute
        method="highs",
    )
    assert solution.success, solution.message  # a b^T is feasible, and no cost is negative
    potentials = solution.eqlin.marginals
    plan = total * solution.x.reshape(n, m)
    shift = potentials[0]
    return Transport(
        float((cost * plan).sum()), plan, potentials[:n] - shift, potentials[n:] + shift
    )


def _total(a: np.ndarray, b: np.ndarray) -> float:
    masses = np.concatenate([a, b])
    if not np.isfinite(masses).all() or masses.min() < 0 or masses.max() <= 0:
        raise ValueError("the masses must be finite, at least 0 and not all 0")
    if not np.isclose(a.sum(), b.sum(), rtol=1e-9, atol=0):
        raise ValueError(f"the masses must have one sum, not {a.sum():g} and {b.sum():g}")
    return float(a.sum())


def directions(count: int, dimensions: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw unit vectors (count, dimensions), uniform on the sphere."""
    vectors = rng.standard_normal((count, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sorted_gaps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute |x_(i) - y_(i)| in each column of (n, L).

    On a line, matching sorted points is an optimal plan.

    Raises:
        ValueError: the numbers of rows differ.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} rows against {len(y)}: sliced distances need equal numbers")
    return np.abs(np.sort(x, axis=0) - np.sort(y, axis=0))


def sliced(x: np.ndarray, y: np.ndarray, *, theta: np.ndarray, p: int = 1) -> float:
    """Compute the sliced distance SW_p = (mean over directions of W_p^p on the line)^(1/p).

    This is a Monte Carlo estimate over the directions `theta` of Bonneel et al. 2015, definition 2
    ("Sliced and Radon Wasserstein barycenters of measures"). SW_1 <= W_1, and on average
    SW_2 <= W_2 / sqrt(d).

    Args:
        x: (n, d).
        y: (n, d).
        theta: directions (L, d), see `directions`.
        p: at least 1.

    Raises:
        ValueError: the numbers of rows differ.
    """
    return power_mean(sorted_gaps(x @ theta.T, y @ theta.T), p)


def power_mean(gaps: np.ndarray, p: int) -> float:
    """Compute (mean of gaps^p)^(1/p)."""
    return float((gaps**p).mean() ** (1 / p))


class ExactWasserstein:
    """`wasserstein/exact`: W1 between held-out data and samples, by the cheapest assignment.

    For images, the ground metric is between pixels in [-1, 1]. Between finite samples W1
    is not 0 even for one distribution. `wasserstein/exact_floor` is the value between equally many
    training rows and the same held-out rows: the expected value of a perfect generator. It is the
    mean of five draws, and `wasserstein/exact_floor_std` is their standard deviation.

    Args:
        samples: largest number of samples; the time grows with its cube.
        metric: ground metric |x - y|_p: l1, l2 (Euclidean) or linf.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        samples: Annotated[int, Ge(1)] = 400,
        metric: Norm = "l2",
    ) -> None:
        self.context, self.samples = context, min(samples, len(context.heldout.x))
        self.metric: Norm = metric
        name = {"l1": "sum of differences", "l2": "Euclidean", "linf": "largest difference"}
        about = {"metric": name[metric], "samples": self.samples}
        self.provenance = _provenances(context, {"wasserstein/exact": about}, rows=self.samples)

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute W1 for both generators, and the floor."""
        real = as_rows(snapshot.heldout.x[: self.samples])
        values = dict(self._floors)
        for which, samples in snapshot.samples_by_generator.items():
            fake = as_rows(samples[: self.samples])
            if np.isfinite(fake).all():
                values[f"wasserstein/exact{which}"] = self._w1(fake, real[: len(fake)])
        return values

    @cached_property
    def _floors(self) -> dict[str, float]:
        halves = real_halves(self.context, self.samples)
        return floors_of([{"wasserstein/exact_floor": self._w1(*half)} for half in halves])

    def _w1(self, x: np.ndarray, y: np.ndarray) -> float:
        return assignment_w1(x, y, metric=self.metric)


class SlicedWasserstein:
    """`wasserstein/sliced` and `wasserstein/sliced_w2`: SW1 and SW2 of held-out data and samples.

    The directions are the same at every evaluation. The floors, `wasserstein/sliced_floor` and
    `wasserstein/sliced_w2_floor`, are the values between equally many training and held-out rows:
    means of five draws, with their standard deviations in the tags that end in `_std`.

    Args:
        projections: number of directions that the mean is taken over.
    """

    def __init__(self, context: EvalContext, *, projections: Annotated[int, Ge(1)] = 128) -> None:
        self.context = context
        rng = np.random.default_rng(context.seed)
        self.theta = directions(projections, int(np.prod(context.spec.shape)), rng=rng)
        about = {"projections": projections, "seed": context.seed}
        self.provenance = _provenances(
            context, dict.fromkeys(_ORDERS, about), rows=len(context.heldout.x)
        )

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute SW1 and SW2 for both generators, and the floors."""
        values = dict(self._floors)
        for which, samples in snapshot.samples_by_generator.items():
            fake = as_rows(samples[: len(self._heldout)])
            if np.isfinite(fake).all():
                values |= self._measure(fake, suffix=which)
        return values

    @cached_property
    def _heldout(self) -> np.ndarray:
        """Project held-out rows on each direction, (n, L)."""
        return as_rows(self.context.heldout.x) @ self.theta.T

    @cached_property
    def _floors(self) -> dict[str, float]:
        halves = real_halves(self.context, len(self._heldout))
        return floors_of([self._measure(half.train, suffix="_floor") for half in halves])

    def _measure(self, x: np.ndarray, *, suffix: str) -> dict[str, float]:
        gaps = sorted_gaps(x @ self.theta.T, self._heldout[: len(x)])
        return {f"{tag}{suffix}": power_mean(gaps, p) for tag, p in _ORDERS.items()}


_ORDERS = {"wasserstein/sliced": 1, "wasserstein/sliced_w2": 2}


def _provenances(
    context: EvalContext, about: Mapping[str, Mapping[str, Any]], *, rows: int
) -> dict[str, Provenance]:
    """Return the provenance of distances and floors; each floor is plotted with its distance."""
    common = {**context.reference, "units": _units(context), "better": "lower"}
    values = {tag: {**common, **facts, "beside": tag} for tag, facts in about.items()}
    drawn = {"rows": min(rows, len(context.dataset.train.x)), "draws": DRAWS, "seed": context.seed}
    floors = {
        f"{tag}_floor": {**provenance, "between": "training and held-out rows", **drawn}
        for tag, provenance in values.items()
    }
    spreads = {
        f"{tag}_std": {**{k: v for k, v in floor.items() if k != "beside"}, "better": "neither"}
        for tag, floor in floors.items()
    }
    return {**of_generators(values), **floors, **spreads}


def _units(context: EvalContext) -> str:
    return "pixels in [-1, 1]" if context.spec.is_image else "the data's"

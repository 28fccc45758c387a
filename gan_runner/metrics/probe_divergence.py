"""Jensen-Shannon divergence between held-out data and samples, bounded by classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_runner.core import EvalContext, Snapshot, to_unit
from gan_runner.metrics.probe_bound import CLIP, FEWEST, FOLDS, INNER, ProbeBound, probe_bound
from gan_runner.metrics.probe_classifiers import (
    Classifier,
    boosted_trees,
    convolutional_network,
    quadratic_logistic,
)
from gan_runner.metrics.provenance import of_generators
from gan_runner.metrics.rows import floors_of

_DRAWS = 3  # draws of training rows that the floor averages
_MOST_LEVELS = 256  # different values of pixels; data with more is not rounded
_OF_LEVELS = 5000  # training rows that the levels are read from


class ProbeJensenShannon:
    """`jsd/probe`: a lower bound on JS(held-out data, samples) in nats, proved by classifiers.

    The classifiers are boosted trees and, for images, a small convolutional network, for points a
    quadratic logistic regression. The better one is chosen by nested cross-validation (see
    `probe_bound`). Samples are free, so all of them meet
    all held-out rows, with balanced weights. The pixels of samples are rounded to the grey levels
    of the data; otherwise unrounded pixels alone would tell the two apart.

    The value is not clipped: it is slightly negative where nothing tells samples from data, and at
    most log 2. `jsd/probe_se` is its standard error. `jsd/probe_floor` is the mean of the value for
    training rows instead of samples, three draws, and `jsd/probe_floor_std` their spread. At the
    floor, samples equal data as far as so many rows can tell. Few held-out rows prove little, so
    values compare only at one number of rows.

    The probe needs no critic, so it compares all objectives. It fits some fifteen classifiers per
    generator. Therefore it is computed at each tenth evaluation and at the end only (`is_costly`).

    With fewer than 16 held-out or training rows there is no value.
    """

    is_costly = True

    def __init__(self, context: EvalContext) -> None:
        self.context, self.provenance = context, {}
        train = len(context.dataset.train.x)
        if min(len(context.heldout.x), train) < FEWEST:
            return
        samples = context.samples or len(context.heldout.x)
        self.rows = min(samples, train)
        about = {
            **context.reference,
            "classifiers": list(self._classifiers),
            "folds": FOLDS,
            "validation": f"1 in {INNER} of the other rows",
            "clip": CLIP,
            "samples": samples,
            "levels": 0 if self._levels is None else len(self._levels),
            "seed": context.seed,
            "better": "lower",
        }
        error = {**about, "better": "neither"}
        floor: dict[str, Any] = {
            **about, "between": "training and held-out rows", "samples": self.rows,
            "draws": _DRAWS,
        }  # fmt: skip
        self.provenance = {
            **of_generators({"jsd/probe": {**about, "beside": "jsd/probe"}}),
            **of_generators({"jsd/probe_se": error}),
            "jsd/probe_floor": {**floor, "beside": "jsd/probe"},
            "jsd/probe_floor_std": {**floor, "better": "neither"},
        }

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compare the samples of both generators with the held-out data."""
        values = dict(self._floor)
        for which, samples in snapshot.samples_by_generator.items():
            value, error, _ = self.bound(samples)
            values |= {f"jsd/probe{which}": value, f"jsd/probe_se{which}": error}
        return values

    def bound(self, samples: Tensor) -> ProbeBound:
        """Compute the bound for samples (N, *shape); any that is not finite is told apart."""
        fake = self._rows(samples)
        if not np.isfinite(fake).all() or len(fake) < FEWEST:
            return ProbeBound(log(2), 0.0, ())
        return probe_bound(self._heldout, fake, self._classifiers, seed=self.context.seed)

    @property
    def _classifiers(self) -> Mapping[str, Classifier]:
        trees: dict[str, Classifier] = {"boosted trees": boosted_trees}
        if not self.context.spec.is_image:
            flat = len(self.context.spec.shape) == 1
            return {"quadratic logistic": quadratic_logistic, **trees} if flat else trees
        return {**trees, "convolutional network": convolutional_network}

    @cached_property
    def _heldout(self) -> np.ndarray:
        return self._rows(self.context.heldout.x)

    @cached_property
    def _levels(self) -> np.ndarray | None:
        """Return the sorted grey levels of images, or None for other data and finer values."""
        if not self.context.spec.is_image:
            return None
        some = to_unit(self.context.dataset.train.x[:_OF_LEVELS]).cpu().numpy()
        levels = np.unique(some)
        return levels if len(levels) <= _MOST_LEVELS else None

    @cached_property
    def _floor(self) -> dict[str, float]:
        table, rng = self.context.dataset.train.x, np.random.default_rng(self.context.seed)
        draws = [rng.choice(len(table), size=self.rows, replace=False) for _ in range(_DRAWS)]
        picked = [table[torch.from_numpy(np.sort(rows)).to(table.device)] for rows in draws]
        return floors_of([{"jsd/probe_floor": self.bound(x).value} for x in picked])

    def _rows(self, x: Tensor) -> np.ndarray:
        """Convert rows on any device to float32, (N, *shape), on the grey levels of the data."""
        values = to_unit(x).detach().cpu().float().numpy()
        return values if self._levels is None else nearest(values, self._levels)


def nearest(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Round values to the nearest of sorted levels (K,); NaN stays."""
    if len(levels) == 1:
        return np.where(np.isfinite(values), levels[0], values)
    above = np.clip(np.searchsorted(levels, values), 1, len(levels) - 1)
    low, high = levels[above - 1], levels[above]
    rounded = np.where(values - low < high - values, low, high)
    return np.where(np.isfinite(values), rounded, values)

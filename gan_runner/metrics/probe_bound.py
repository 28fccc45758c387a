"""A lower bound on the Jensen-Shannon divergence of two sets of rows, proved by classifiers.

JS(p, q) >= log 2 + E_p[log D] / 2 + E_q[log(1 - D)] / 2 in nats for any D: x -> (0, 1), with
equality at D = p / (p + q) (Goodfellow et al. 2014, theorem 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from gan_runner.metrics.probe_classifiers import Classifier

FOLDS = 5  # outer folds; each row is tested once
INNER = 5  # one part in five of the other rows chooses and calibrates the classifier
FEWEST = 16  # rows of either side
CLIP = 2e-3  # least distance of D from 0 and 1
_SCALES = np.linspace(0.0, 1.5, 31)  # factors of the logits; at 0 the bound is 0


class ProbeBound(NamedTuple):
    """A lower bound on JS in nats, from -infinity to log 2.

    Attributes:
        value: the mean over the rows of both sides. It is negative where the classifiers find
            nothing that holds on other rows.
        se: standard error of `value` over the rows, for the fitted classifiers.
        chosen: name of the classifier of each outer fold.
    """

    value: float
    se: float
    chosen: tuple[str, ...]


def probe_bound(
    real: np.ndarray, fake: np.ndarray, classifiers: Mapping[str, Classifier], *, seed: int
) -> ProbeBound:
    """Compute the bound by nested cross-validation, so that neither fit nor choice adds a bias.

    The rows are split into outer folds, each with its share of both sides. For each fold, four
    fifths of the other rows fit every classifier. On the last fifth, the logits are scaled to the
    largest bound, and the classifier with the largest is chosen. The chosen one is fitted again to
    all of the other rows, and the fold itself tests it.

    Args:
        real: rows of one distribution, (N, *shape) float32, N at least 16.
        fake: rows of the other one, (M, *shape) float32, M at least 16.
        classifiers: candidates by name; of equal ones the first is chosen.
        seed: seed of the folds and of the classifiers.
    """
    rng = np.random.default_rng(seed)
    x, is_real = np.concatenate([real, fake]), np.repeat([1, 0], [len(real), len(fake)])
    fold = _folds(is_real, FOLDS, rng)
    gains, chosen = np.empty(len(x)), []
    for k in range(FOLDS):
        tested, others = fold == k, np.flatnonzero(fold != k)
        validates = _folds(is_real[others], INNER, rng) == 0
        name, scale = _choose(
            x, is_real, others[~validates], others[validates], classifiers, seed=seed + k
        )
        gains[tested] = gain(np.zeros(tested.sum()), is_real[tested])
        if scale > 0:
            fitted = classifiers[name](x[others], is_real[others], x[tested], seed=seed + k)
            gains[tested] = gain(scale * fitted, is_real[tested])
        chosen.append(name)
    sides = gains[is_real == 1], gains[is_real == 0]
    error = sqrt(sum(side.var(ddof=1) / len(side) for side in sides)) / 2
    return ProbeBound(float(sum(side.mean() for side in sides) / 2), error, tuple(chosen))


def gain(logits: np.ndarray, is_real: np.ndarray) -> np.ndarray:
    """Return log 2 + log D of data and log 2 + log(1 - D) of samples, (N,), D clipped."""
    d = np.clip(1 / (1 + np.exp(-np.clip(logits, -50, 50))), CLIP, 1 - CLIP)
    return log(2) + np.log(np.where(is_real == 1, d, 1 - d))


def bound(logits: np.ndarray, is_real: np.ndarray) -> float:
    """Return the bound of logits (N,): the mean of the two sides' mean gains."""
    gains = gain(logits, is_real)
    return float((gains[is_real == 1].mean() + gains[is_real == 0].mean()) / 2)


def _choose(
    x: np.ndarray,
    is_real: np.ndarray,
    fitted: np.ndarray,
    validation: np.ndarray,
    classifiers: Mapping[str, Classifier],
    *,
    seed: int,
) -> tuple[str, float]:
    """Return the classifier and the scale of its logits with the largest bound on validation."""
    best, chosen = 0.0, ("none", 0.0)
    for name, classifier in classifiers.items():
        logits = classifier(x[fitted], is_real[fitted], x[validation], seed=seed)
        bounds = [bound(scale * logits, is_real[validation]) for scale in _SCALES]
        k = int(np.argmax(bounds))
        if bounds[k] > best:
            best, chosen = bounds[k], (name, float(_SCALES[k]))
    return chosen


def _folds(is_real: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold 0 .. count - 1 of each row, (N,), with equal shares of both sides."""
    fold = np.empty(len(is_real), dtype=int)
    for side in (1, 0):
        rows = np.flatnonzero(is_real == side)
        fold[rows] = rng.permutation(len(rows)) % count
    return fold

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

FOLDS = 3  # outer folds; each row is tested once
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
    fifths of the other rows fit every classifier. On the last fifth, the logits are scaled to
    the largest bound, and the classifier with the largest is chosen. The fold itself then tests the
    chosen classifier.

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
        chooses = _folds(is_real[others], INNER, rng) == 0
        fitted, validation = others[~chooses], others[chooses]
        name, logits = _choose(
            x, is_real, fitted, validation, np.flatnonzero(tested), classifiers, seed=seed + k
        )
        chosen.append(name)
        gains[tested] = gain(logits, is_real[tested])
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
    tested: np.ndarray,
    classifiers: Mapping[str, Classifier],
    *,
    seed: int,
) -> tuple[str, np.ndarray]:
    """Return the classifier with the largest bound on the validation rows, and test logits."""
    best, name, test_logits = -1.0, "none", np.zeros(len(tested))
    others = np.concatenate([validation, tested])
    for candidate, classifier in classifiers.items():
        logits = classifier(x[fitted], is_real[fitted], x[others], seed=seed)
        bounds = [bound(s * logits[: len(validation)], is_real[validation]) for s in _SCALES]
        scale = int(np.argmax(bounds))
        if bounds[scale] > best:
            best, name = bounds[scale], candidate
            test_logits = _SCALES[scale] * logits[len(validation) :]
    return name, test_logits


def _folds(is_real: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold 0 .. count - 1 of each row, (N,), with equal shares of both sides."""
    fold = np.empty(len(is_real), dtype=int)
    for side in (1, 0):
        rows = np.flatnonzero(is_real == side)
        fold[rows] = rng.permutation(len(rows)) % count
    return fold

"""Jensen-Shannon divergence between held-out data and samples, bounded by a classifier."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from torch import Tensor

from gan_runner.core import EvalContext, Snapshot
from gan_runner.metrics.provenance import of_generators
from gan_runner.metrics.rows import as_rows

_COMPONENTS = 32  # principal components of high-dimensional data that the probe uses
_FEATURES = 200  # random Fourier features per bandwidth
_FEWEST = 16  # held-out samples
_FINE = (1.0, 10.0, 100.0)  # inverse squared bandwidths in the plane, where features resolve modes
_COARSE = (1.0,)  # in high dimensions, where fine features fit only noise


class ProbeJensenShannon:
    """`jsd/probe`: a lower bound on JS(held-out data, samples) in nats from a logistic classifier.

    JS(p, q) >= log 2 - cross-entropy of any classifier between equally many samples of p and q
    (Goodfellow et al. 2014, theorem 1). The classifier is a logistic regression on the coordinates
    (at most 32 principal components) and random Fourier features of them (Rahimi & Recht 2007).
    It is trained on one half and tested on the other, and the halves swap roles, so it cannot
    profit from overfitting. The value is clipped to [0, log 2]. It needs no critic, so it is
    comparable between objectives. At 0 the probe sees no difference; at log 2 it separates data
    from samples without error.

    With fewer than 16 held-out samples there is no value.
    """

    def __init__(self, context: EvalContext) -> None:
        self.seed = context.seed
        provenance = {
            **context.reference,
            "classifier": "logistic on random features",
            "seed": context.seed,
        }
        enough = len(context.heldout.x) >= _FEWEST
        self.provenance = of_generators({"jsd/probe": provenance}) if enough else {}

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compare the samples of both generators with the held-out data."""
        real = as_rows(snapshot.heldout.x)
        return {
            f"jsd/probe{which}": self._probe(real, x)
            for which, x in snapshot.samples_by_generator.items()
        }

    def _probe(self, real: np.ndarray, samples: Tensor) -> float:
        fake = as_rows(samples)
        if not np.isfinite(fake).all():
            return log(2)
        return probe_jensen_shannon(real, fake, seed=self.seed)


def probe_jensen_shannon(real: np.ndarray, fake: np.ndarray, *, seed: int) -> float:
    """Compute the probe's lower bound on JS(real, fake) in nats, clipped to [0, log 2].

    Args:
        real: samples of one distribution, (N, d) float.
        fake: samples of the other distribution, (M, d) float. The first min(N, M) rows of each are
            used; min(N, M) must be at least 4.
        seed: seed of the halves and of the random features.
    """
    n = min(len(real), len(fake))
    rng = np.random.default_rng(seed)
    folds = np.concatenate([rng.permutation(n) % 2, rng.permutation(n) % 2])
    x = np.concatenate([real[:n], fake[:n]])
    is_real = np.repeat([1, 0], n)
    cross_entropy = np.mean(
        [
            _cross_entropy(
                x[folds != k], is_real[folds != k], x[folds == k], is_real[folds == k], seed
            )
            for k in (0, 1)
        ]
    )
    return float(np.clip(log(2) - cross_entropy, 0.0, log(2)))


def _cross_entropy(
    x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int
) -> float:
    from sklearn.metrics import log_loss

    probe = _probe(x_train.shape, seed).fit(x_train, y_train)
    return float(log_loss(y_test, probe.predict_proba(x_test)[:, 1], labels=[0, 1]))


def _probe(shape: tuple[int, ...], seed: int) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    dimensions = min(_COMPONENTS, *shape)
    fourier = [
        RBFSampler(gamma=g / dimensions, n_components=_FEATURES, random_state=seed + i)
        for i, g in enumerate(_FINE if dimensions <= 3 else _COARSE)
    ]
    return make_pipeline(
        PCA(dimensions, random_state=seed),
        StandardScaler(),
        make_union(FunctionTransformer(), *fourier),
        LogisticRegression(C=1.0, max_iter=200),
    )

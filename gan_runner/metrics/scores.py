"""Scores of images by a classifier."""

from __future__ import annotations

import numpy as np


def classifier_score(probabilities: np.ndarray) -> float:
    """exp E_x KL(p(y|x) || p(y)): the inception score (Salimans et al. 2016) with any classifier.

    Between 1 (all samples are classified alike) and the number of classes (each sample is
    classified with certainty, and all classes are equally frequent).

    Args:
        probabilities: p(y|x) of each sample, (N, classes), rows summing to 1.
    """
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    marginal = p.mean(axis=0)
    return float(np.exp((p * np.log(p / marginal)).sum(axis=1).mean()))

"""Classifier score and class shares of the digits that a run generates.

python scripts/score_digits.py RUN_DIR [--count 2000] [--raw]

The script trains a small classifier on scikit-learn's digits and draws samples from the run. It
prints the share of each class and the classifier score, of samples and of held-out real digits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

from gan_runner.commands.sample import draw
from gan_runner.core import Batch, Dataset, to_unit
from gan_runner.data.digits import digits
from gan_runner.metrics.images.scores import classifier_score


def main() -> None:
    """Print the scores of samples and of held-out digits as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--raw", action="store_true")
    options = parser.parse_args()
    data = digits()
    classifier = classifier_of(data)
    x, y = rows(data.heldout)
    samples = draw(options.run_dir, options.count, raw=options.raw).reshape(options.count, -1)
    report = {"heldout_accuracy": round(float(classifier.score(x, y)), 4)}
    for name, images in {"real": x, "samples": samples}.items():
        p = classifier.predict_proba(images)
        report[name] = {
            "classifier_score": round(classifier_score(p), 3),
            "class_shares": shares(p),
        }
    print(json.dumps(report, indent=2))


def classifier_of(data: Dataset) -> MLPClassifier:
    """Train a classifier on the training split, for 12 epochs, or 500 if it is small."""
    small = len(data.train.x) < 10_000
    return MLPClassifier(
        (256,), max_iter=500 if small else 12, tol=1e-6, n_iter_no_change=50, random_state=0
    ).fit(*rows(data.train))


def rows(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat pixels in [-1, 1] and the labels of a batch."""
    return to_unit(batch.x).flatten(1).numpy(), batch.y.numpy()


def shares(p: np.ndarray) -> list[float]:
    """Return the share of the samples in each class, from class probabilities (N, classes)."""
    counts = np.bincount(p.argmax(axis=1), minlength=p.shape[1])
    return [round(float(share), 4) for share in counts / len(p)]


if __name__ == "__main__":
    main()

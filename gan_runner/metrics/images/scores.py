"""Classifier metrics of images: classifier score and class balance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from gan_runner.metrics.fork_rng import fork_rng

_MOST_SHARES = 10  # largest number of classes with one curve per share


def classifier_score(probabilities: np.ndarray) -> float:
    """Compute exp E_x KL(p(y|x) || p(y)), the inception score with any classifier.

    See Salimans et al. 2016. The score lies between 1 (all samples have equal probabilities) and
    the number of classes (certain classifications, and equally frequent classes).

    Args:
        probabilities: p(y|x) of each sample, (N, classes), rows summing to 1.
    """
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    marginal = p.mean(axis=0)
    return float(np.exp((p * np.log(p / marginal)).sum(axis=1).mean()))


class ClassifierScore:
    """`images/classifier_score` and `images/classifier_score_std`, over equal parts of the images.

    As in the publication, the result is the mean of one score per part (see `classifier_score`).
    Few images in a part lower the score, so only equal numbers of images are comparable.

    Args:
        splits: number of random parts.
        seed: seed of the parts.
    """

    def __init__(self, *, splits: int, seed: int) -> None:
        self.splits, self.seed = splits, seed
        score = {"better": "higher", "splits": splits, "seed": seed}
        spread = {"splits": splits, "seed": seed}
        self.facts: dict[str, dict[str, Any]] = {"images/classifier_score": score}
        if splits > 1:
            self.facts["images/classifier_score_std"] = spread

    def __call__(self, features: Tensor, probabilities: Tensor | None) -> dict[str, float]:
        """Compute the score of images from class probabilities (N, K)."""
        from torchmetrics.image.inception import InceptionScore

        assert probabilities is not None
        with fork_rng(self.seed):
            score = InceptionScore(feature=nn.Identity(), splits=self.splits)
            score.update(probabilities.cpu().double().clamp_min(1e-30).log())
            values = score.compute()
        return {tag: float(value) for tag, value in zip(self.facts, values, strict=False)}


class ClassBalance:
    """`images/class_entropy` in nats, and, for at most 10 classes, shares `images/class_share_K`.

    The entropy of the histogram of most probable classes is log K if all K are equally frequent,
    and 0 if there is only one.
    """

    def __init__(self, n_classes: int, names: Sequence[str] = ()) -> None:
        self.n_classes = n_classes
        self.facts: dict[str, dict[str, Any]] = {"images/class_entropy": {"better": "higher"}}
        for k in range(n_classes) if n_classes <= _MOST_SHARES else ():
            named = {"class": names[k]} if names else {}
            self.facts[f"images/class_share_{k}"] = {"better": "neither", **named}

    def __call__(self, features: Tensor, probabilities: Tensor | None) -> dict[str, float]:
        """Compute entropy and shares of classes from class probabilities (N, K)."""
        assert probabilities is not None
        counts = np.bincount(probabilities.argmax(1).cpu().numpy(), minlength=self.n_classes)
        shares = counts / counts.sum()
        seen = shares[shares > 0]
        entropy = max(0.0, -float((seen * np.log(seen)).sum()))  # no minus before a zero
        return dict(zip(self.facts, [entropy, *map(float, shares)], strict=False))

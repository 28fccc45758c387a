"""What a classifier says of images: how sure it is, and how evenly it sees the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from gan_runner.metrics.fork_rng import fork_rng

_MOST_SHARES = 10  # classes whose shares are worth a curve each


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


class ClassifierScore:
    """`images/classifier_score` and its standard deviation, over equal parts of the images.

    As published, each part has a score of its own (see `classifier_score`), and the mean is the
    result. Few images in a part make it smaller, so it compares at one number of images only.

    Args:
        splits: parts, at random.
        seed: of the parts.
    """

    def __init__(self, *, splits: int, seed: int) -> None:
        self.splits, self.seed = splits, seed
        score = {"better": "higher", "splits": splits, "seed": seed}
        spread = {"splits": splits, "seed": seed}
        self.facts: dict[str, dict[str, Any]] = {"images/classifier_score": score}
        if splits > 1:
            self.facts["images/classifier_score_std"] = spread

    def __call__(self, features: Tensor, probabilities: Tensor | None) -> dict[str, float]:
        """Score images by their probabilities (N, K)."""
        from torchmetrics.image.inception import InceptionScore

        assert probabilities is not None
        with fork_rng(self.seed):
            score = InceptionScore(feature=nn.Identity(), splits=self.splits)
            score.update(probabilities.cpu().double().clamp_min(1e-30).log())
            values = score.compute()
        return {tag: float(value) for tag, value in zip(self.facts, values, strict=False)}


class ClassBalance:
    """`images/class_entropy` in nats, and the shares `images/class_share_K` of ten classes at most.

    The entropy of the histogram of the most probable classes: log K where all K are equally
    frequent, 0 where there is one.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        shares = range(n_classes) if n_classes <= _MOST_SHARES else ()
        self.facts: dict[str, dict[str, Any]] = {
            "images/class_entropy": {"better": "higher"},
            **{f"images/class_share_{k}": {"better": "neither"} for k in shares},
        }

    def __call__(self, features: Tensor, probabilities: Tensor | None) -> dict[str, float]:
        """Count the classes of images by their probabilities (N, K)."""
        assert probabilities is not None
        counts = np.bincount(probabilities.argmax(1).cpu().numpy(), minlength=self.n_classes)
        shares = counts / counts.sum()
        seen = shares[shares > 0]
        entropy = max(0.0, -float((seen * np.log(seen)).sum()))  # no minus before a zero
        return dict(zip(self.facts, [entropy, *map(float, shares)], strict=False))

"""Scores of images in the features of one network."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from gan_runner.core import Scene, View
from gan_runner.metrics.cards import of_generators
from gan_runner.metrics.features import classifier
from gan_runner.metrics.scores import classifier_score


class ClassifierScore:
    """`score/classifier`: exp E KL(p(y|x) || p(y)), by the data set's own classifier.

    The mean over `splits` equal parts of the samples (Salimans et al. 2016). Its card says what
    held-out real images score in the same way, and the classifier's accuracy on them. It needs
    images with labels.

    Args:
        scene: of the run.
        splits: parts of the samples.
    """

    def __init__(self, scene: Scene, *, splits: Annotated[int, Ge(1)] = 10) -> None:
        self.splits, self.seed, self.cards = splits, scene.seed, {}
        if not scene.spec.is_image or not scene.spec.n_classes:
            return
        self.features = classifier(scene.dataset, device=scene.device)
        real, _ = self._score(scene.heldout.x)
        card = {"better": "higher", **self.features.facts, "splits": splits, "real": real}
        self.cards = of_generators({"score/classifier": {**card, **scene.reference}})

    def __call__(self, view: View) -> dict[str, float]:
        """Score the samples of both generators."""
        finite = {which: x for which, x in view.drawn.items() if x.isfinite().all()}
        return {f"score/classifier{which}": self._score(x)[0] for which, x in finite.items()}

    def _score(self, x: Tensor) -> tuple[float, float]:
        """Mean and standard deviation over the parts of images, taken at random."""
        _, probabilities = self.features(x)
        assert probabilities is not None
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.seed))
        parts = np.array_split(probabilities.cpu().numpy()[order.numpy()], self.splits)
        scores = [classifier_score(part) for part in parts if len(part)]
        return float(np.mean(scores)), float(np.std(scores))

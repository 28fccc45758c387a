"""The networks in whose features images are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_runner.core import Dataset
from gan_runner.metrics.classifier import LARGEST, classifier_network

_AT_ONCE = 1000  # images


@dataclass(frozen=True, eq=False)
class Features:
    """A network that maps images to features, and to probabilities of classes if it knows any.

    Attributes:
        name: of the kind of network.
        network: (N, C, H, W) in [-1, 1] -> features (N, d) and logits (N, K) or None.
        weights: a hash of its weights.
        size: height and width that images are resized to, or None: they stay as they are.
        accuracy: share of the data set's held-out images that it classifies rightly, if it knows
            the data set's classes.
    """

    name: str
    network: nn.Module
    weights: str
    size: tuple[int, int] | None = None
    accuracy: float | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, d) and probabilities (N, K), float32, of images (N, C, H, W) in [-1, 1]."""
        with torch.autocast(x.device.type, enabled=False):
            parts = [self.network(part.float()) for part in x.split(_AT_ONCE)]
        features = torch.cat([part for part, _ in parts])
        if parts[0][1] is None:
            return features, None
        return features, torch.cat([logits for _, logits in parts]).softmax(1)

    @property
    def facts(self) -> dict[str, object]:
        """What a card says of the network."""
        facts: dict[str, object] = {"network": self.name, "weights": self.weights}
        if self.size is not None:
            facts["resize"] = list(self.size)
        if self.accuracy is not None:
            facts["accuracy"] = self.accuracy
        return facts


def classifier(
    dataset: Dataset, *, device: torch.device | str = "cpu", cache: Path | None = None
) -> Features:
    """A small convolutional classifier, trained once on the data set's labelled training images.

    The features are its last hidden layer, 64 numbers. Global random states are left alone.

    Args:
        dataset: of images with labels.
        device: where images will be.
        cache: folder that keeps the weights; None: that of the environment (`files.cache_folder`).
            Processes that want the same classifier at once train it once.

    Raises:
        ValueError: the data has no images or no labels.
    """
    network, weights, accuracy = classifier_network(dataset, torch.device(device), cache)
    height, width = dataset.spec.shape[1:]
    small = max(height, width) <= LARGEST
    return Features(
        "classifier", network, weights, size=None if small else network.size, accuracy=accuracy
    )

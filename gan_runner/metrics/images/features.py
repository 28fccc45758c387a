"""Feature networks for image metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gan_runner.core import Dataset
from gan_runner.metrics.images.classifier import (
    DIMENSION,
    ConvNet,
    classifier_network,
    hash_of_weights,
    random_net,
)
from gan_runner.metrics.images.inception import SIDE, Inception

Network = Literal["auto", "classifier", "inception", "random"]

_SEED_OF_RANDOM = 1797  # must not change: the features are compared across runs


@dataclass(frozen=True, eq=False)
class Features:
    """A network that maps images to features and, if it has classes, to class probabilities.

    Attributes:
        name: kind of network.
        network: (N, C, H, W) in [-1, 1] -> features (N, d) and logits (N, K) or None.
        weights: hash of the weights.
        dimension: d.
        size: height and width that images are resized to; None: images are not resized.
        accuracy: accuracy on the data set's held-out images; None if the network has no classes of
            the data set.
        at_once: images per batch.
    """

    name: str
    network: nn.Module
    weights: str
    dimension: int
    size: tuple[int, int] | None = None
    accuracy: float | None = None
    at_once: int = 1000

    @torch.no_grad()
    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute features (N, d) and probabilities (N, K) or None, both float32.

        Args:
            x: images (N, C, H, W) in [-1, 1].
        """
        with _exact_products(x.device):
            parts = [self.network(part.float()) for part in x.split(self.at_once)]
        features = torch.cat([part for part, _ in parts])
        if parts[0][1] is None:
            return features, None
        return features, torch.cat([logits for _, logits in parts]).softmax(1)

    @property
    def facts(self) -> dict[str, Any]:
        """Return the provenance entries about the network."""
        facts: dict[str, Any] = {"network": self.name, "weights": self.weights}
        if self.size is not None:
            facts["resize"] = list(self.size)
        if self.accuracy is not None:
            facts["accuracy"] = self.accuracy
        return facts


def features_of(
    dataset: Dataset, network: Network, *, weights: str | None = None, device: torch.device
) -> Features:
    """Return the named network; auto is `classifier` for data with labels, else `random`.

    Raises:
        ValueError: the network does not fit the data, or weights are given for a network other than
            inception.
    """
    if weights is not None and network != "inception":
        raise ValueError(
            f"metrics.images.weights={weights}: the key is for metrics.images.network=inception,"
            f" not {network}; remove it or set metrics.images.network=inception"
        )
    if network == "inception":
        return inception(weights, device=device, channels=dataset.spec.shape[0])
    if network == "random" or (network == "auto" and not dataset.spec.n_classes):
        return random(dataset.spec.shape, device=device)
    return classifier(dataset, device=device)


def classifier(
    dataset: Dataset, *, device: torch.device | str = "cpu", cache: Path | None = None
) -> Features:
    """Return a small convolutional classifier, trained once on labelled training images.

    The features are the last hidden layer, 64 numbers. Global random states do not change.

    Args:
        dataset: data set of images with labels.
        device: device of the images.
        cache: folder that the weights are cached in; None: `files.cache_folder`. Concurrent
            processes that need the same classifier train it once.

    Raises:
        ValueError: the data has no images or no labels.
    """
    network, accuracy = classifier_network(dataset, torch.device(device), cache)
    return _convolutional("classifier", network, accuracy)


def random(shape: tuple[int, ...], *, device: torch.device | str = "cpu") -> Features:
    """Return the classifier's layers with random weights, the same in every run (He et al. 2015).

    Distances between random features order sets of images by their difference, but ignore the
    semantic content. Xu et al. 2018 compare random features with trained ones.

    Args:
        shape: shape of an image, (C, H, W).
        device: device of the images.
    """
    return _convolutional("random", random_net(shape, seed=_SEED_OF_RANDOM).to(device), None)


def inception(
    weights: str | None, *, device: torch.device | str = "cpu", channels: int = 3
) -> Features:
    """Return Inception v3 with the weights of published scores; see `inception.Inception`.

    Raises:
        ValueError: the weights cannot be loaded, or images are neither grey nor RGB.
    """
    if channels not in (1, 3):
        raise ValueError(
            "metrics.images.network=inception: the network takes images of 1 or 3 channels, not"
            f" {channels}; set metrics.images.network=auto"
        )
    network = Inception(weights).to(device)
    digest = hash_of_weights(network.state_dict())
    return Features("inception", network, digest, 2048, size=(SIDE, SIDE), at_once=50)


def _convolutional(name: str, network: ConvNet, accuracy: float | None) -> Features:
    weights = hash_of_weights(network.state_dict())
    size = network.size if network.resizes else None
    return Features(name, network, weights, DIMENSION, size=size, accuracy=accuracy)


@contextmanager
def _exact_products(device: torch.device) -> Iterator[None]:
    """Compute in float32 regardless of the training precision, so that runs are comparable."""
    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32
    matrices.allow_tf32 = convolutions.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        matrices.allow_tf32, convolutions.allow_tf32 = before

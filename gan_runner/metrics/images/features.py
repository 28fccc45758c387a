"""The networks in whose features images are compared."""

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

_SEED_OF_RANDOM = 1797  # never changed: its features are compared across runs


@dataclass(frozen=True, eq=False)
class Features:
    """A network that maps images to features, and to probabilities of classes if it knows any.

    Attributes:
        name: of the kind of network.
        network: (N, C, H, W) in [-1, 1] -> features (N, d) and logits (N, K) or None.
        weights: a hash of its weights.
        dimension: d.
        size: height and width that images are resized to, or None: they stay as they are.
        accuracy: share of the data set's held-out images that it classifies rightly, if it knows
            the data set's classes.
        at_once: images in memory.
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
        """Features (N, d) and probabilities (N, K), float32, of images (N, C, H, W) in [-1, 1]."""
        with _exact_products(x.device):
            parts = [self.network(part.float()) for part in x.split(self.at_once)]
        features = torch.cat([part for part, _ in parts])
        if parts[0][1] is None:
            return features, None
        return features, torch.cat([logits for _, logits in parts]).softmax(1)

    @property
    def facts(self) -> dict[str, Any]:
        """What a card says of the network."""
        facts: dict[str, Any] = {"network": self.name, "weights": self.weights}
        if self.size is not None:
            facts["resize"] = list(self.size)
        if self.accuracy is not None:
            facts["accuracy"] = self.accuracy
        return facts


def features_of(
    dataset: Dataset, network: Network, *, weights: str | None = None, device: torch.device
) -> Features:
    """The network of a name; auto is `classifier` where there are labels, else `random`.

    Raises:
        ValueError: as of the network that is asked for, or weights for one that has its own.
    """
    if weights is not None and network != "inception":
        raise ValueError(
            f"metrics.images.weights={weights} is for metrics.images.network=inception,"
            f" not {network}"
        )
    if network == "inception":
        return inception(weights, device=device, channels=dataset.spec.shape[0])
    if network == "random" or (network == "auto" and not dataset.spec.n_classes):
        return random(dataset.spec.shape, device=device)
    return classifier(dataset, device=device)


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
    network, accuracy = classifier_network(dataset, torch.device(device), cache)
    return _convolutional("classifier", network, accuracy)


def random(shape: tuple[int, ...], *, device: torch.device | str = "cpu") -> Features:
    """The classifier's layers with random weights, the same in every run (He et al. 2015).

    Distances in its features order sets of images by how much they differ (Xu et al. 2018 compare
    such features with trained ones), but know nothing of what is in them.

    Args:
        shape: of an image, (C, H, W).
        device: where images will be.
    """
    return _convolutional("random", random_net(shape, seed=_SEED_OF_RANDOM).to(device), None)


def inception(
    weights: str | None, *, device: torch.device | str = "cpu", channels: int = 3
) -> Features:
    """Inception v3 with the weights of published scores; see `inception.Inception`.

    Raises:
        ValueError: as there, or images are neither grey nor RGB.
    """
    if channels not in (1, 3):
        raise ValueError(
            f"metrics.images.network=inception sees images of 1 or 3 channels, not {channels};"
            " set metrics.images.network=auto"
        )
    network = Inception(weights).to(device)
    known = hash_of_weights(network.state_dict())
    return Features("inception", network, known, 2048, size=(SIDE, SIDE), at_once=50)


def _convolutional(name: str, network: ConvNet, accuracy: float | None) -> Features:
    weights = hash_of_weights(network.state_dict())
    size = network.size if network.resizes else None
    return Features(name, network, weights, DIMENSION, size=size, accuracy=accuracy)


@contextmanager
def _exact_products(device: torch.device) -> Iterator[None]:
    """Products in float32, whatever the precision of training: numbers of all runs compare."""
    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32
    matrices.allow_tf32 = convolutions.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        matrices.allow_tf32, convolutions.allow_tf32 = before

"""A small classifier of a data set's images, trained once and cached."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from math import ceil
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from gan_runner.core import Batch, Dataset, to_unit
from gan_runner.metrics.fork_rng import fork_rng
from gan_runner.metrics.images.residual import augmented, convolution, residual_layers
from gan_runner.runs.files import cache_folder, writable
from gan_runner.runs.tensors import read_tensors, write_tensors

LARGEST = 32  # largest side in pixels; larger images are downsampled
DIMENSION = 64  # dimension of the features

_VERSION = 3  # version of the architecture and the training
_SEED = 1797
_BATCH = 128
_LR = 4e-3  # peak of the one-cycle schedule
_EPOCHS = 10
_LEAST = 45_000  # images to train on at least, for small data sets
_MOST_EPOCHS = 30  # of small data sets
_OF_SCALE = 10_000  # training images that the scale of the features is computed from
_AT_ONCE = 1000  # images per batch without gradients
_ROUNDING = 1e-3  # of an accuracy, on another device than the one that it was computed on


class ConvNet(nn.Module):
    """Classifier of stride-2 convolutions down to 4x4 pixels, a hidden layer and a linear layer.

    Args:
        shape: shape of an image, (C, H, W).
        n_classes: number of classes; 0: no last layer and no logits.
        residual: use the convolutions of a residual network instead; see `residual`.
    """

    def __init__(self, shape: tuple[int, ...], n_classes: int, *, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        channels, height, width = shape
        shrink = min(1.0, LARGEST / max(height, width))
        self.size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        self.resizes = self.size != (height, width)
        height, width = self.size
        if residual:
            self.convolutions = nn.Sequential(*residual_layers(channels))
            self.hidden = nn.Linear(512, DIMENSION)
        else:
            self.convolutions, size = _strided(channels, height, width)
            self.hidden = nn.Linear(size, DIMENSION)
        self.classes = nn.Linear(DIMENSION, n_classes) if n_classes else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features (N, 64) and logits (N, K), or None, of images (N, C, H, W) in [-1, 1]."""
        if self.resizes:
            x = F.interpolate(x, self.size, mode="bilinear", antialias=True)
        features = F.relu(self.hidden(self.convolutions(x)))
        return features, None if self.classes is None else self.classes(features)


def _strided(channels: int, height: int, width: int) -> tuple[nn.Sequential, int]:
    """Return convolutions of stride 2 down to 4x4 pixels, and the number of their outputs."""
    layers: list[nn.Module] = [*convolution(channels, 32)] if height < 12 else []
    filters = 32 if layers else channels
    while max(height, width) > 4:
        grown = 32 if filters < 32 else 64
        layers += convolution(filters, grown, stride=2)
        filters, height, width = grown, ceil(height / 2), ceil(width / 2)
    return nn.Sequential(*layers, nn.Flatten()), filters * height * width


def seeded_net(
    shape: tuple[int, ...], n_classes: int, *, seed: int, residual: bool = False
) -> ConvNet:
    """Return a network with initial weights from a seed; global random states do not change."""
    with fork_rng(seed):
        return ConvNet(shape, n_classes, residual=residual)


def random_net(shape: tuple[int, ...], *, seed: int) -> ConvNet:
    """Return a network without classes whose weights are random (He et al. 2015, equation 10).

    The initialization preserves the scale of activations from layer to layer.
    """
    network = seeded_net(shape, 0, seed=seed)
    with fork_rng(seed):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network.eval().requires_grad_(False)


def hash_of_weights(weights: Mapping[str, Tensor]) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a `state_dict()`."""
    digest = sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def classifier_network(
    dataset: Dataset, device: torch.device, cache: Path | None = None
) -> tuple[ConvNet, float]:
    """Return the classifier of a data set, and the accuracy on all held-out images.

    See `features.classifier`.
    """
    spec = dataset.spec
    if not spec.is_image or not spec.n_classes or dataset.train.y is None:
        raise ValueError(
            "metrics.images.network=classifier: the network needs images with labels, and"
            f" {spec.name} has none; set metrics.images.network=auto"
        )
    folder = (cache or cache_folder()) / "classifiers"
    residual = device.type == "cuda"  # on a CPU it would take hours
    path = folder / f"{_content_hash(dataset)}{'_residual' * residual}.safetensors"
    if not path.exists():
        path = writable(folder) / path.name
    network = seeded_net(spec.shape, spec.n_classes, seed=_SEED, residual=residual).to(device)
    accuracy = _load(network, path, dataset.heldout)
    if accuracy is None:
        with _alone(path):  # another process may have trained it meanwhile
            accuracy = _load(network, path, dataset.heldout)
            if accuracy is None:
                accuracy = _make(network, dataset, path, device)
    return network.eval().requires_grad_(False), accuracy


def _load(network: ConvNet, path: Path, heldout: Batch) -> float | None:
    """Load weights from a file and return the accuracy; None, and no change, if it is not usable.

    The accuracy is computed again. The one in the file is returned if they agree up to rounding, so
    that the same classifier has the same provenance on every device.
    """
    tensors, facts = read_tensors(path) or ({}, {})
    expected, own = facts.get("accuracy"), network.state_dict()
    if _shapes(tensors) != _shapes(own) or not isinstance(expected, float):
        return None
    if facts.get("weights") != hash_of_weights(tensors):
        return None
    initial = {name: tensor.clone() for name, tensor in own.items()}
    network.load_state_dict(tensors)
    device = next(network.parameters()).device
    found = accuracy_of(network.eval(), heldout, device=device)
    tolerance = max(1 / len(heldout.x), _ROUNDING)
    if abs(found - expected) <= tolerance:
        return expected
    network.load_state_dict(initial)
    return None


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in weights.items()}


def _make(network: ConvNet, dataset: Dataset, path: Path, device: torch.device) -> float:
    """Train a network, cache the weights in a file, and return the accuracy."""
    if path.exists():
        warnings.warn(f"{path} is not a usable classifier; it is trained anew", stacklevel=3)
    train(network, dataset.train, device=device)
    normalise(network, dataset.train, device=device)
    accuracy = accuracy_of(network, dataset.heldout, device=device)
    tensors = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    facts = {"accuracy": accuracy, "weights": hash_of_weights(tensors)}
    try:
        write_tensors(path, tensors, facts)
    except OSError as error:
        warnings.warn(f"the classifier is not cached: {error}", stacklevel=2)
    return accuracy


@torch.enable_grad()
def train(network: ConvNet, data: Batch, *, device: torch.device) -> None:
    """Minimise the cross-entropy with Adam and a one-cycle learning rate.

    Training takes 10 epochs; on small data sets more, up to 30, until it has seen 45,000 images. A
    residual network takes 30 epochs of moved and mirrored images.
    """
    assert data.y is not None
    size = min(_BATCH, len(data.x))
    random = torch.Generator().manual_seed(_SEED)
    epochs = _MOST_EPOCHS if network.residual else _EPOCHS
    images = max(epochs * len(data.x), min(_MOST_EPOCHS * len(data.x), _LEAST))
    steps = ceil(images / size)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=steps)
    network.train()
    batches = _shuffled(len(data.x), size, steps)
    # The progress bar is for terminals only, where a silent minute would look like a hang.
    for rows in tqdm(batches, "classifier, trained once", steps, leave=False, disable=None):
        rows = rows.to(data.x.device)
        x, y = to_unit(data.x[rows]).to(device), data.y[rows].to(device)
        _, logits = network(augmented(x, random) if network.residual else x)
        optimizer.zero_grad()
        F.cross_entropy(logits, y).backward()
        optimizer.step()
        schedule.step()
    network.eval()


@torch.no_grad()
def normalise(network: ConvNet, data: Batch, *, device: torch.device) -> None:
    """Scale the features to a mean square of 1 on training images; the logits do not change.

    The kernel of KID adds powers of products of features, which should have similar sizes.
    """
    assert network.classes is not None
    some = data.x[:: ceil(len(data.x) / _OF_SCALE)].split(_AT_ONCE)
    squares = torch.cat([network(to_unit(x).to(device))[0].square().mean(1) for x in some])
    scale = squares.mean().sqrt().clamp_min(1e-6)
    network.hidden.weight.div_(scale)  # ReLU is homogeneous
    network.hidden.bias.div_(scale)
    network.classes.weight.mul_(scale)


def _shuffled(n: int, size: int, steps: int) -> Iterator[Tensor]:
    """Yield row numbers of `steps` batches; each epoch has a new random order."""
    random = torch.Generator().manual_seed(_SEED)
    per_epoch = n // size
    for step in range(steps):
        start = step % per_epoch * size
        if start == 0:
            order = torch.randperm(n, generator=random)
        yield order[start : start + size]


@torch.no_grad()
def accuracy_of(network: ConvNet, data: Batch, *, device: torch.device) -> float:
    """Return the accuracy: the share of images that a network classifies correctly."""
    assert data.y is not None
    right = 0
    for x, y in zip(data.x.split(_AT_ONCE), data.y.split(_AT_ONCE), strict=True):
        _, logits = network(to_unit(x).to(device))
        assert logits is not None
        right += int((logits.argmax(1) == y.to(device)).sum())
    return right / len(data.x)


def _content_hash(dataset: Dataset) -> str:
    """Return a hash of everything that the classifier and the accuracy depend on."""
    digest = sha256(f"{_VERSION} {_SEED} {dataset.spec.n_classes}".encode())
    for tensor in (*dataset.train[:2], *dataset.heldout[:2]):
        assert tensor is not None
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:32]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process writes this file; continue if locks are unavailable."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()

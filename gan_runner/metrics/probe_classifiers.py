"""Classifiers that tell data from samples: boosted trees, a network for images, a quadric.

Each takes training rows with labels and returns the logits of other rows. Both see the same rows.
Random numbers are local, so neither disturbs the random state of training.
"""

from __future__ import annotations

from math import ceil
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_runner.metrics.fork_rng import fork_rng

_TREES = 60  # boosting iterations
_LEAVES = 8  # of each tree; few, because a few hundred held-out rows overfit large trees
_SHRINKAGE = 0.2  # learning rate of the boosting
_MOST_COLUMNS = 1024  # pixels that trees see; larger images are averaged over blocks
_FILTERS = 8  # of the first convolution
_UPDATES = 60  # Adam steps of the network
_BATCH = 64  # rows of each step
_LR = 1e-2
_DECAY = 1e-2  # weight decay
_FINEST = 4  # side of the last feature maps


class Classifier(Protocol):
    """A classifier of rows (N, *shape) into data (1) and samples (0)."""

    def __call__(
        self, x: np.ndarray, is_real: np.ndarray, test: np.ndarray, *, seed: int
    ) -> np.ndarray:
        """Fit to the rows x with labels (N,), both classes weighted alike; return logits (M,)."""
        ...


def balanced(is_real: np.ndarray) -> np.ndarray:
    """Return weights (N,) of mean 1 that give both classes the same total."""
    share = is_real.mean()
    return np.where(is_real == 1, 0.5 / share, 0.5 / (1 - share))


def boosted_trees(x: np.ndarray, is_real: np.ndarray, test: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the logits of gradient-boosted trees; images larger than 1,024 numbers are pooled.

    The trees are scikit-learn's `HistGradientBoostingClassifier` (after Ke et al. 2017).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=_TREES, max_leaf_nodes=_LEAVES, learning_rate=_SHRINKAGE, early_stopping=False,
        random_state=seed,
    )  # fmt: skip
    trees.fit(_columns(x), is_real, sample_weight=balanced(is_real))
    return np.asarray(trees.decision_function(_columns(test)))


def _columns(x: np.ndarray) -> np.ndarray:
    """Flatten rows to (N, d); average images over square blocks until d is at most 1,024."""
    pixels = int(np.prod(x.shape[1:]))
    if x.ndim == 4 and pixels > _MOST_COLUMNS:
        block = ceil((pixels / _MOST_COLUMNS) ** 0.5)
        x = F.avg_pool2d(torch.from_numpy(x), block, ceil_mode=True).numpy()
    return x.reshape(len(x), -1)


def quadratic_logistic(
    x: np.ndarray, is_real: np.ndarray, test: np.ndarray, *, seed: int
) -> np.ndarray:
    """Return the logits of a logistic regression on coordinates and their squares.

    It extrapolates where trees have no training rows, such as between two sets that are far apart.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    first, second = (np.concatenate([rows, rows**2], axis=1) for rows in (x, test))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, random_state=seed))
    model.fit(first, is_real, logisticregression__sample_weight=balanced(is_real))
    return np.asarray(model.decision_function(second))


@torch.enable_grad()
def convolutional_network(
    x: np.ndarray, is_real: np.ndarray, test: np.ndarray, *, seed: int
) -> np.ndarray:
    """Return the logits of a small convolutional network, trained by Adam on the cross-entropy.

    It runs on the CPU in float32, so that a run's numbers do not depend on its device. Before the
    first convolution, images are averaged over blocks to at most 32 pixels a side.
    """
    rows, labels = _images(x), torch.from_numpy(is_real).float()
    weights = torch.from_numpy(balanced(is_real)).float()
    with fork_rng(seed):
        network = _network(rows.shape[1:])
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), _LR, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=_UPDATES)
    with torch.autocast("cpu", enabled=False):
        for _ in range(_UPDATES):
            picked = torch.randint(len(rows), (_BATCH,), generator=random)
            logits = network(rows[picked])[:, 0]
            loss = F.binary_cross_entropy_with_logits(logits, labels[picked], weights[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            logits = network(_images(test))[:, 0]
    return logits.double().numpy()


_MOST_PIXELS = 32  # side of the images that the network sees


def _images(x: np.ndarray) -> Tensor:
    images = torch.from_numpy(x).float()
    block = ceil(max(images.shape[2:]) / _MOST_PIXELS)
    return F.avg_pool2d(images, block, ceil_mode=True) if block > 1 else images


def _network(shape: tuple[int, ...]) -> nn.Sequential:
    """Build convolutions of stride 2 down to 4x4 pixels, and one score."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    filters = _FILTERS
    if max(height, width) <= 2 * _FINEST:  # a stride would lose a small image's details at once
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.LeakyReLU(0.2)]
        channels = filters
    while max(height, width) > _FINEST // 2 and len(layers) < 8:
        layers += [nn.Conv2d(channels, filters, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels, height, width = filters, ceil(height / 2), ceil(width / 2)
        filters = min(2 * filters, 4 * _FILTERS)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, 1))

"""Distributions in the plane, as Gulrajani et al. 2017 (arXiv 1704.00028) use them in figure 1."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt

from gan_runner.core import Batch, Dataset, DataSpec

_HELD_OUT = 10_000  # drawn anew from the same density, so it costs no training data


def gaussians8(
    *, n_samples: Annotated[int, Ge(1)] = 100_000, std: Annotated[float, Gt(0)] = 0.02, seed: int
) -> Dataset:
    """Mixture of 8 Gaussians, equally weighted, on a circle.

    Centres 2 (cos k pi/4, sin k pi/4), k = 0..7, and noise of standard deviation `std`, all divided
    by 1.414 so that the data has a variance of about 1.
    """
    angles = np.arange(8) * np.pi / 4
    centres = 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _mixture("gaussians8", centres / 1.414, std / 1.414, n_samples, seed)


def gaussians25(
    *, n_samples: Annotated[int, Ge(1)] = 100_000, std: Annotated[float, Gt(0)] = 0.05, seed: int
) -> Dataset:
    """Mixture of 25 Gaussians, equally weighted, on a grid.

    Centres 2 (i, j), i and j in {-2..2}, and noise of standard deviation `std`, all divided by
    2.828.
    """
    steps = 2.0 * np.arange(-2, 3)
    centres = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    return _mixture("gaussians25", centres / 2.828, std / 2.828, n_samples, seed)


def swiss_roll(
    *, n_samples: Annotated[int, Ge(1)] = 100_000, noise: Annotated[float, Ge(0)] = 0.25, seed: int
) -> Dataset:
    """First and third coordinate of scikit-learn's swiss roll, divided by 7.5."""
    from sklearn.datasets import make_swiss_roll

    roll, _ = make_swiss_roll(n_samples + _HELD_OUT, noise=noise, random_state=seed)
    return _split(DataSpec("swiss_roll", (2,)), roll[:, [0, 2]] / 7.5, n_samples)


def _mixture(name: str, centres: np.ndarray, std: float, n_samples: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    component = rng.integers(len(centres), size=n_samples + _HELD_OUT)
    points = centres[component] + std * rng.standard_normal((len(component), 2))
    return _split(DataSpec(name, (2,), modes=centres, mode_std=std), points, n_samples)


def _split(spec: DataSpec, points: np.ndarray, n_train: int) -> Dataset:
    x = torch.from_numpy(points.astype(np.float32))
    return Dataset(spec, train=Batch(x[:n_train]), heldout=Batch(x[n_train:]))

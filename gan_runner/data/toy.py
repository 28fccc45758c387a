"""Toy distributions: those of Gulrajani et al. 2017 (arXiv 1704.00028), figure 1; a Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt

from gan_runner.core import Batch, Dataset, DataSpec

_HELD_OUT = 10_000  # extra draws from the same density, so the training set keeps its size
_SEED_OF_HELD_OUT = 2**32 - 1797  # the same in every run, so that metrics are comparable


def gaussians8(
    *, n_samples: Annotated[int, Ge(1)] = 100_000, std: Annotated[float, Gt(0)] = 0.02, seed: int
) -> Dataset:
    """Draw from a mixture of 8 equally weighted Gaussians on a circle.

    The centres are 2 (cos k pi/4, sin k pi/4), k = 0..7, with noise of standard deviation `std`.
    Everything is divided by 1.414, so that the data has a variance of about 1.
    """
    angles = np.arange(8) * np.pi / 4
    centres = 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _mixture("gaussians8", centres / 1.414, std / 1.414, n_samples, seed)


def gaussians25(
    *, n_samples: Annotated[int, Ge(1)] = 100_000, std: Annotated[float, Gt(0)] = 0.05, seed: int
) -> Dataset:
    """Draw from a mixture of 25 equally weighted Gaussians on a grid.

    The centres are 2 (i, j), i and j in {-2..2}, with noise of standard deviation `std`. Everything
    is divided by 2.828.
    """
    steps = 2.0 * np.arange(-2, 3)
    centres = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    return _mixture("gaussians25", centres / 2.828, std / 2.828, n_samples, seed)


def gaussian(
    *,
    n_samples: Annotated[int, Ge(1)] = 100_000,
    dim: Annotated[int, Ge(1)] = 2,
    mean: float = 0.0,
    std: Annotated[float, Gt(0)] = 1.0,
    condition: Annotated[float, Ge(1)] = 1.0,
    seed: int,
) -> Dataset:
    """Draw from a Gaussian with independent coordinates x_k = s_k (mean + N(0, 1)).

    The first coordinate has the standard deviation s_1 = `std`, the last one `std` / `condition`,
    and those between fall geometrically: the largest variance is `condition`^2 times the smallest.
    """
    stds = std * condition ** -np.linspace(0.0, 1.0, dim)

    def draw(n: int, seed: int) -> np.ndarray:
        return stds * (mean + np.random.default_rng(seed).standard_normal((n, dim)))

    isotropic = std if condition == 1 else None
    spec = DataSpec("gaussian", (dim,), modes=mean * stds[None], mode_std=isotropic)
    return _dataset(spec, draw, n_samples, seed)


def swiss_roll(
    *, n_samples: Annotated[int, Ge(1)] = 100_000, noise: Annotated[float, Ge(0)] = 0.25, seed: int
) -> Dataset:
    """Draw the first and third coordinates of scikit-learn's swiss roll, divided by 7.5."""
    from sklearn.datasets import make_swiss_roll

    def draw(n: int, seed: int) -> np.ndarray:
        roll, _ = make_swiss_roll(n, noise=noise, random_state=seed)
        return roll[:, [0, 2]] / 7.5

    return _dataset(DataSpec("swiss_roll", (2,)), draw, n_samples, seed)


def _mixture(name: str, centres: np.ndarray, std: float, n_samples: int, seed: int) -> Dataset:
    def draw(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        component = rng.integers(len(centres), size=n)
        return centres[component] + std * rng.standard_normal((n, 2))

    spec = DataSpec(name, (2,), modes=centres, mode_std=std)
    return _dataset(spec, draw, n_samples, seed)


def _dataset(
    spec: DataSpec, draw: Callable[[int, int], np.ndarray], n_samples: int, seed: int
) -> Dataset:
    train, heldout = draw(n_samples, seed), draw(_HELD_OUT, _SEED_OF_HELD_OUT)
    return Dataset(spec, *(Batch(torch.from_numpy(x.astype(np.float32))) for x in (train, heldout)))


def dirac(*, n_samples: Annotated[int, Ge(1)] = 1000) -> Dataset:
    """Return samples that are all the number 0 (Mescheder et al. 2018, section 2)."""
    spec = DataSpec("dirac", (1,))
    return Dataset(spec, *(Batch(torch.zeros(n, 1)) for n in (n_samples, n_samples)))

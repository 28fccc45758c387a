"""The toy densities against the constants of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from gan_runner.data.toy import gaussians8, gaussians25, swiss_roll


def nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
    return distances.argmin(axis=1), distances.min(axis=1)


@pytest.mark.parametrize(
    ("make", "k", "radius", "std"),
    [(gaussians8, 8, 2 / 1.414, 0.02 / 1.414), (gaussians25, 25, 4 * 2**0.5 / 2.828, 0.05 / 2.828)],
)
def test_mixtures(make, k: int, radius: float, std: float) -> None:
    data = make(n_samples=20_000, seed=1)
    modes = data.spec.modes
    assert modes.shape == (k, 2) and data.spec.mode_std == pytest.approx(std)
    assert np.linalg.norm(modes, axis=1).max() == pytest.approx(radius)
    for part in (data.train, data.heldout):
        x = part.x.numpy()
        component, distance = nearest(x, modes)
        shares = np.bincount(component, minlength=k) / len(x)
        assert np.abs(shares - 1 / k).max() < 0.02
        # the mean squared distance of a planar Gaussian to its centre is 2 std^2
        assert np.mean(distance**2) == pytest.approx(2 * std**2, rel=0.05)
    assert (len(data.train.x), data.train.y) == (20_000, None)


def test_modes_of_the_circle_and_the_grid() -> None:
    circle = gaussians8(n_samples=1, seed=0).spec.modes * 1.414
    assert np.allclose(np.linalg.norm(circle, axis=1), 2)
    assert np.allclose(circle[1], [2**0.5, 2**0.5])
    grid = gaussians25(n_samples=1, seed=0).spec.modes * 2.828
    assert {tuple(p) for p in grid.round(6)} == {
        (2.0 * i, 2.0 * j) for i in range(-2, 3) for j in range(-2, 3)
    }


def test_swiss_roll_is_a_spiral() -> None:
    x = swiss_roll(n_samples=5000, noise=0.0, seed=0).train.x.numpy() * 7.5
    # scikit-learn's roll is (t cos t, t sin t): the radius is the angle, 3 pi/2 <= t <= 9 pi/2
    t = np.linalg.norm(x, axis=1)
    assert 1.5 * np.pi <= t.min() and t.max() <= 4.5 * np.pi
    assert np.allclose(x, np.stack([t * np.cos(t), t * np.sin(t)], axis=1), atol=1e-4)


def test_a_seed_is_a_sample() -> None:
    first, again, other = (gaussians8(n_samples=10, seed=s).train.x for s in (3, 3, 4))
    assert (first == again).all() and not (first == other).any()

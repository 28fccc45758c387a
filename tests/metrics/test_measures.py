"""Measures against closed forms and quadrature."""

from __future__ import annotations

from math import isfinite, log
from pathlib import Path

import numpy as np
import pytest
import torch
from eval_contexts import context_of, snapshot_of
from PIL import Image
from torch import nn

from gan_runner.metrics.critic import CriticOnHeldOut
from gan_runner.metrics.images.scores import classifier_score
from gan_runner.plots.samples import image_grid, image_to_ansi

RNG = np.random.default_rng(0)


class Quadratic(nn.Module):
    """f(x) = |x|^2 / 2, with gradient x."""

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return 0.5 * x.square().sum(1)


def measure(metric: type, real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    context = context_of(real)
    return metric(context)(snapshot_of(context, fake, critic=Quadratic()))


def test_critic_on_held_out_data() -> None:
    real, fake = torch.full((6, 2), 3.0), torch.full((6, 2), 3.0)
    real[:, 1], fake[:, 1] = 4.0, 0.0
    values = measure(CriticOnHeldOut, real, fake)
    assert values["wasserstein/critic_heldout"] == pytest.approx(12.5 - 4.5)
    assert 3.0 < values["critic/input_gradient_norm"] < 5.0  # between (3, 0) and (3, 4)
    at_real = measure(CriticOnHeldOut, real, real)
    assert at_real["critic/input_gradient_norm"] == pytest.approx(5.0)


def test_the_critic_on_next_to_nothing() -> None:
    """Three rows, where a batch of training has four: each counts once, the padding not."""
    few, many = torch.randn(3, 2), torch.randn(50, 2)
    values = measure(CriticOnHeldOut, few, many)
    assert set(values) == {"wasserstein/critic_heldout", "critic/input_gradient_norm"}
    gap = (few.square().sum(1) - many[:3].square().sum(1)).mean().item() / 2
    assert values["wasserstein/critic_heldout"] == pytest.approx(gap, abs=1e-6)
    longest = torch.maximum(few.norm(dim=1), many[:3].norm(dim=1)).mean().item()
    assert isfinite(values["critic/input_gradient_norm"])
    assert 0 < values["critic/input_gradient_norm"] <= longest  # the norm is convex


def test_classifier_score_in_closed_form() -> None:
    sure = np.eye(10)[np.arange(1000) % 10]
    assert classifier_score(sure) == pytest.approx(10.0)
    assert classifier_score(np.eye(10)[np.zeros(50, dtype=int)]) == pytest.approx(1.0)
    assert classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1.0)
    # two classes, each sample with certainty, one three times as frequent: exp of the entropy
    entropy = -(0.75 * log(0.75) + 0.25 * log(0.25))
    assert classifier_score(np.eye(2)[[0, 0, 0, 1]]) == pytest.approx(np.exp(entropy))


def test_a_terminal_shows_two_pixels_a_character(tmp_path: Path) -> None:
    pixels = np.zeros((4, 2, 3), dtype=np.uint8)
    pixels[0, 0], pixels[1, 1] = (255, 0, 0), (0, 0, 9)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (line,) = image_to_ansi(tmp_path / "a.png", width=2, share=0.5).splitlines()
    assert line == ("\x1b[38;2;255;0;0;48;2;0;0;0m\u2580\x1b[38;2;0;0;0;48;2;0;0;9m\u2580\x1b[0m")


def test_grid_places_every_image() -> None:
    images = torch.linspace(-1, 1, 6)[:, None, None, None].expand(6, 1, 8, 8)
    grid = image_grid(images, columns=3)
    side = 136 + 2  # 17 times larger, the least with 400 pixels in a row; a border of two pixels
    assert grid.shape == (2 * side + 2, 3 * side + 2, 3)
    centres = [
        grid[2 + 68 + side * row, 2 + 68 + side * column, 0]
        for row in (0, 1)
        for column in range(3)
    ]
    assert [int(c) for c in centres] == [0, 51, 102, 153, 204, 255]
    wide = image_grid(torch.zeros(100, 1, 32, 32))
    assert wide.shape == (10 * 66 + 2, 10 * 66 + 2, 3)
    assert image_grid(torch.zeros(100, 3, 64, 64)).shape[0] == 10 * 66 + 2  # large enough as it is

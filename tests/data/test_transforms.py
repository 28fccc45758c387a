"""Dequantisation and flips: their distributions, their place in the random state, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gan_runner.core import Batch, to_unit
from gan_runner.data.stream import Stream
from gan_runner.data.transforms import Transform

IMAGES = torch.arange(4 * 3 * 2 * 5).reshape(4, 3, 2, 5).to(torch.uint8)
BOTH = ("trainer.dequantize=true", "trainer.horizontal_flips=true")


def test_without_options_it_is_to_unit_and_draws_nothing() -> None:
    before = torch.get_rng_state()
    assert torch.equal(Transform()(IMAGES), to_unit(IMAGES))
    assert torch.equal(torch.get_rng_state(), before)


def test_half_of_the_images_are_mirrored() -> None:
    x = IMAGES[:1].expand(4000, -1, -1, -1)
    out = Transform(horizontal_flips=True)(x)
    kept, mirrored = to_unit(x[0]), to_unit(x[0].flip(-1))
    is_kept, is_mirrored = ((out == image).flatten(1).all(1) for image in (kept, mirrored))
    assert (is_kept ^ is_mirrored).all()
    assert is_mirrored.float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_dequantised_pixels_are_uniform_within_their_level() -> None:
    """2 (p / 256 - 1/2) + U[0, 1/128): level 0 starts at -1, level 255 ends at 1."""
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(20_000, 3)[..., None, None]
    out = Transform(dequantize=True)(x).flatten(1)
    low = torch.tensor([-1.0, 2 * (51 / 256 - 0.5), 1 - 1 / 128])
    u = (out - low) * 128
    assert u.min() > -1e-4 and u.max() < 1 + 1e-4 and out.max() <= 1
    torch.testing.assert_close(u.mean(0), torch.full((3,), 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(u.var(0), torch.full((3,), 1 / 12), atol=0.003, rtol=0)


def test_stacked_batches_of_replicas_are_changed_image_by_image() -> None:
    out = Transform(horizontal_flips=True)(IMAGES[:1].expand(8, 50, 3, 2, 5))
    mirrored = (out == to_unit(IMAGES[0].flip(-1))).flatten(2).all(2)
    assert mirrored.any(1).all() and not mirrored.all(1).any()


def test_refusals() -> None:
    points = Batch(torch.zeros(8, 2))
    options = {"batch_size": 4, "seed": 0, "device": torch.device("cpu")}
    with pytest.raises(ValueError, match=r"^trainer\.horizontal_flips=true: needs images"):
        Stream(points, **options, transform=Transform(horizontal_flips=True))
    with pytest.raises(ValueError, match=r"^trainer\.dequantize=true: needs pixels"):
        Stream(points, **options, transform=Transform(dequantize=True))


def test_a_resumed_run_sees_the_same_pixels(engine: Callable[..., Any]) -> None:
    """Six steps at once, and three steps resumed for three more: the same bits."""
    command = ("dataset=digits", "model.filters=2", "metrics=none", "plots=none", *BOTH)
    whole, first, second = (engine(*command) for _ in range(3))
    torch.manual_seed(0)
    for _ in range(6):
        whole.train_step()
    torch.manual_seed(0)
    for _ in range(3):
        first.train_step()
    states = first.state_dicts()
    torch.manual_seed(99)
    second.load_state_dicts(states)
    for _ in range(3):
        second.train_step()
    ours, theirs = second.nets.critic.state_dict(), whole.nets.critic.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    plain = engine(*command[:-2])
    torch.manual_seed(0)
    for _ in range(6):
        plain.train_step()
    changed = plain.nets.critic.state_dict()
    assert any(not torch.equal(changed[name], theirs[name]) for name in theirs)

"""DiffAugment: each policy by hand, derivatives, and the place of it in both players' losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.func import vmap

from gan_runner.core import Batch
from gan_runner.objectives.augmentation import DiffAugment, change_color, cut_out, translate

X = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None]


def test_colour_by_hand() -> None:
    """Pixels (1, 3) and (5, 7) in two channels; brightness 0.5 changes nothing."""
    x = torch.tensor([[[[1.0, 5.0]], [[3.0, 7.0]]]])
    same = change_color(x, column(0.5), column(0.5), column(0.5))
    torch.testing.assert_close(same, x)
    bright = change_color(x, column(1.0), column(0.5), column(0.5))
    torch.testing.assert_close(bright, x + 0.5)
    grey = change_color(x, column(0.5), column(0.0), column(0.5))  # the mean of the channels
    torch.testing.assert_close(grey, torch.tensor([[[[2.0, 6.0]], [[2.0, 6.0]]]]))
    flat = change_color(x, column(0.5), column(0.5), column(0.0))  # half as far from the mean 4
    torch.testing.assert_close(flat, 4 + (x - 4) / 2)


def test_shifts_by_hand() -> None:
    out = translate(X, torch.tensor([1, -2]), torch.tensor([0, 3]))
    expected = torch.zeros_like(X)
    expected[0, :, 1:] = X[0, :, :-1]
    expected[1, :, :2, 3:] = X[1, :, 2:, :2]
    assert torch.equal(out, expected)
    assert torch.equal(translate(X, torch.zeros(2, dtype=int), torch.zeros(2, dtype=int)), X)


def test_cutout_by_hand() -> None:
    out = cut_out(X + 1, torch.tensor([1, -1]), torch.tensor([0, 4]))
    expected = X + 1
    expected[0, :, 1:3, 0:2] = 0
    expected[1, :, 0:1, 4:] = 0
    assert torch.equal(out, expected)


def test_the_distribution_of_shifts_and_holes() -> None:
    """Shifts of -1, 0, 1 pixel of 8, equally often; holes of up to 4 x 4 pixels."""
    torch.manual_seed(0)
    x = torch.zeros(6000, 1, 8, 8)
    x[:, :, 4, 4] = 1.0
    moved = DiffAugment(color=False, cutout=False)(Batch(x)).x
    shares = moved.mean(0)[0, 3:6, 3:6]
    torch.testing.assert_close(shares, torch.full((3, 3), 1 / 9), atol=0.015, rtol=0)
    holes = DiffAugment(color=False, translation=False)(Batch(torch.ones(6000, 1, 8, 8))).x == 0
    sizes = holes.sum((1, 2, 3))
    assert set(sizes.tolist()) == {a * b for a in (2, 3, 4) for b in (2, 3, 4)}
    # nine offsets 0..8 of a hole with the middle 2: row 4 is in the holes from 1..4, of nine
    assert holes[:, 0, 4].any(1).float().mean().item() == pytest.approx(4 / 9, abs=0.03)


def test_policies_are_switched_by_key() -> None:
    x = Batch(torch.randn(4, 3, 8, 8), torch.arange(4), torch.randn(4, 2))
    off = DiffAugment(color=False, translation=False, cutout=False)(x)
    assert off.x is x.x and off.y is x.y and off.z is x.z
    for policy in ("color", "translation", "cutout"):
        others = {name: name == policy for name in ("color", "translation", "cutout")}
        assert not torch.equal(DiffAugment(**others)(x).x, x.x)


def test_it_is_differentiable_twice_and_vectorises() -> None:
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)

    def augmented(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return DiffAugment()(Batch(x)).x.square()

    assert torch.autograd.gradcheck(augmented, (x,))
    assert torch.autograd.gradgradcheck(augmented, (x,))
    stacked = vmap(lambda x: DiffAugment()(Batch(x)).x, randomness="different")
    assert stacked(torch.ones(3, 4, 1, 8, 8)).shape == (3, 4, 1, 8, 8)


def test_both_players_see_it(engine: Callable[..., Any]) -> None:
    """The generator's gradient passes through it; a cut of everything would leave none."""
    command = ("dataset=digits", "model.filters=2", "objective=ns_gan")
    built = engine(*command, "+augmentation=diffaugment", "objective.augmentation.color=false")
    objective = built.game.objective
    seen: list[torch.Tensor] = []

    def critic(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(x)
        return x.flatten(1).sum(1)

    real, fake = (Batch(torch.ones(8, 1, 8, 8, requires_grad=True)) for _ in range(2))
    objective.critic_loss(critic, real, fake)
    assert all((x == 0).any() for x in seen) and len(seen) == 2
    loss = objective.generator_loss(critic, real, fake).total
    (slope,) = torch.autograd.grad(loss, fake.x)
    assert (slope == 0).any() and (slope != 0).any()


def test_points_are_refused(engine: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"^objective\.augmentation: needs images, but the data"):
        engine("dataset=gaussians8", "model=mlp", "objective=ns_gan", "+augmentation=diffaugment")

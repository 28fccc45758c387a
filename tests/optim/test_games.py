"""Optimizers for games against their formulas, computed here with plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from gan_runner.optim.games import (
    ExtraAdam,
    ExtraSGD,
    OptimisticAdam,
    OptimisticSGD,
    extra_adam,
    extra_sgd,
)

LR, B1, B2, EPS = 0.1, 0.5, 0.9, 1e-8
GRADIENTS = [2.0, -1.0, 0.5, 3.0]


def parameter(value: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value], dtype=torch.float64))


def give(weight: nn.Parameter, gradient: float) -> None:
    weight.grad = torch.full_like(weight, gradient)


class AdamByHand:
    """m, v and their corrected quotient."""

    def __init__(self) -> None:
        self.m = self.v = 0.0
        self.t = 0

    def direction(self, g: float) -> float:
        self.t += 1
        self.m = B1 * self.m + (1 - B1) * g
        self.v = B2 * self.v + (1 - B2) * g * g
        return (self.m / (1 - B1**self.t)) / (sqrt(self.v / (1 - B2**self.t)) + EPS)


def test_extra_adam_by_hand() -> None:
    """Gidel et al. 2019, Algorithm 4: both moves share the moments, and t counts both."""
    weight, adam = parameter(), AdamByHand()
    optimizer = extra_adam([weight], lr=LR, betas=(B1, B2), eps=EPS)
    start = 1.0
    for ahead, there in (GRADIENTS[:2], GRADIENTS[2:]):
        give(weight, ahead)
        optimizer.extrapolate()
        assert weight.item() == pytest.approx(start - LR * adam.direction(ahead), rel=1e-12)
        give(weight, there)
        optimizer.step()
        start -= LR * adam.direction(there)  # from where the look ahead began
        assert weight.item() == pytest.approx(start, rel=1e-12)
    assert optimizer.state[weight]["step"].item() == 4


def test_extra_sgd_by_hand() -> None:
    weight = parameter()
    optimizer = extra_sgd([weight], lr=LR, momentum=0.5)
    give(weight, 2.0)
    optimizer.extrapolate()
    assert weight.item() == pytest.approx(1 - LR * 2)
    give(weight, -1.0)
    optimizer.step()
    assert weight.item() == pytest.approx(1 - LR * (0.5 * 2 - 1))  # the velocity has seen both
    give(weight, 4.0)
    optimizer.step()  # without a look ahead: plain SGD, from here
    assert weight.item() == pytest.approx(1 - LR * 0 - LR * (0.5 * 0 + 4))


def test_optimistic_descent_by_hand() -> None:
    """u <- u - 2 lr g_t + lr g_{t-1}, with g_{-1} = 0 and the decay in the gradient."""
    weight, expected, last = parameter(), 1.0, 0.0
    optimizer = OptimisticSGD([weight], lr=LR, weight_decay=0.3)
    for g in GRADIENTS:
        give(weight, g)
        optimizer.step()
        now = g + 0.3 * expected
        expected += -2 * LR * now + LR * last
        last = now
        assert weight.item() == pytest.approx(expected)


def test_optimistic_adam_by_hand() -> None:
    """Daskalakis et al. 2018, Algorithm 1; the first step is twice Adam's."""
    weight, adam = parameter(), AdamByHand()
    optimizer = OptimisticAdam([weight], lr=LR, betas=(B1, B2), eps=EPS)
    expected, last = 1.0, 0.0
    for g in GRADIENTS:
        give(weight, g)
        optimizer.step()
        now = adam.direction(g)
        expected += -2 * LR * now + LR * last
        last = now
        assert weight.item() == pytest.approx(expected, rel=1e-12)
    assert optimizer.state[weight]["step"].item() == 4


BUILD: dict[str, Callable[..., Optimizer]] = {
    "extra_sgd": lambda p: extra_sgd(p, lr=LR, momentum=0.5),
    "extra_adam": lambda p: extra_adam(p, lr=LR),
    "optimistic": lambda p: OptimisticSGD(p, lr=LR),
    "optimistic_adam": lambda p: OptimisticAdam(p, lr=LR),
}


@pytest.mark.parametrize("name", BUILD)
def test_the_state_survives_save_and_load(name: str) -> None:
    torch.manual_seed(0)
    gradients = torch.randn(6, 3)
    whole, parts = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer, first = BUILD[name]([whole]), BUILD[name]([parts])
    for k, gradient in enumerate(gradients):
        if k == 3:
            state = first.state_dict()
            first = BUILD[name]([parts])
            first.load_state_dict(state)
        for weight, one in ((whole, optimizer), (parts, first)):
            weight.grad = gradient.clone()
            getattr(one, "extrapolate", one.step)()
            one.step()
    assert torch.equal(whole, parts) and not torch.equal(whole, torch.ones(3))


def test_a_parameter_without_a_gradient_stays() -> None:
    used, unused = parameter(), parameter()
    for optimizer in (OptimisticSGD([used, unused]), OptimisticAdam([used, unused])):
        give(used, 1.0)
        optimizer.step()
    assert unused.item() == 1 and used.item() < 1


@pytest.mark.parametrize("base", [ExtraSGD, ExtraAdam])
@pytest.mark.parametrize("used_before", [False, True])
def test_limits_act_once_in_either_move(base: type[Optimizer], used_before: bool) -> None:
    """Whether or not torch has prepared the parent's step for hooks already."""
    if used_before:
        base.__mro__[2]([parameter()])
    moves = []
    weight = parameter()
    optimizer = type("Fresh", (base,), {})([weight], lr=LR)
    optimizer.register_step_pre_hook(lambda *_: moves.append(weight.item()))
    give(weight, 1.0)
    optimizer.extrapolate()
    ahead = weight.item()
    optimizer.step()
    assert ahead != 1.0
    assert moves == [1.0, 1.0]  # both moves start from the same point

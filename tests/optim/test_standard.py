"""Optimizers against steps by hand, against torch, and through a saved state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gan_runner.optim.adam import Adam, with_tensor_betas
from gan_runner.optim.standard import adam, adamw, rmsprop, sgd
from gan_runner.runs.checkpoint import fingerprint, load_checkpoint, save_checkpoint

TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "model.depth=1", "objective=gan")
GRADIENTS = (0.5, -2.0)
LR, B1, B2, EPS = 0.1, 0.5, 0.9, 0.01


def path(make: Callable[..., torch.optim.Optimizer], **options: Any) -> list[float]:
    """Return a weight that starts at 1 after steps with the two gradients."""
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = make([weight], lr=LR, **options)
    values = []
    for gradient in GRADIENTS:
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        values.append(weight.item())
    return values


def adam_by_hand(*, hat: bool, decay: float = 0.0, decoupled: bool = False) -> list[float]:
    theta, m, v, values = 1.0, 0.0, 0.0, []
    for t, gradient in enumerate(GRADIENTS, 1):
        if decoupled:
            theta, g = theta * (1 - LR * decay), gradient
        else:
            g = gradient + decay * theta
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g * g
        c1, c2 = 1 - B1**t, 1 - B2**t
        if hat:
            theta -= LR * sqrt(c2) / c1 * m / (sqrt(v) + EPS)
        else:
            theta -= LR / c1 * m / (sqrt(v / c2) + EPS)
        values.append(theta)
    return values


def test_both_flavors_of_adam_by_hand() -> None:
    options = {"betas": (B1, B2), "eps": EPS}
    ours, theirs = adam_by_hand(hat=True), adam_by_hand(hat=False)
    # the first step: 0.1 sqrt(.1) / .5 * .25 / (.5 sqrt(.1) + .01), and 0.1 * .5 / (.5 + .01)
    assert ours[0] == pytest.approx(1 - 0.1 * 0.5 / (0.5 + 0.01 / sqrt(0.1)))
    assert theirs[0] == pytest.approx(1 - 0.1 * 0.5 / 0.51)
    assert path(adam, flavor="tensorflow", **options) == pytest.approx(ours, abs=1e-6)
    assert path(adam, **options) == pytest.approx(theirs, abs=1e-6)
    decayed = adam_by_hand(hat=True, decay=0.3)
    assert path(adam, flavor="tensorflow", weight_decay=0.3, **options) == pytest.approx(decayed)


def test_both_flavors_of_adamw_by_hand() -> None:
    options = {"betas": (B1, B2), "eps": EPS, "weight_decay": 0.3}
    ours = adam_by_hand(hat=True, decay=0.3, decoupled=True)
    theirs = adam_by_hand(hat=False, decay=0.3, decoupled=True)
    assert abs(ours[1] - theirs[1]) > 1e-3
    assert path(adamw, flavor="tensorflow", **options) == pytest.approx(ours, abs=1e-6)
    assert path(adamw, **options) == pytest.approx(theirs, abs=1e-6)


def test_both_flavors_of_rmsprop_by_hand() -> None:
    """TensorFlow: v = 1 at the start and sqrt(v + eps); torch: v = 0 and sqrt(v) + eps."""
    theta, v, b, ours = 1.0, 1.0, 0.0, []
    for g in GRADIENTS:
        v = 0.9 * v + 0.1 * g * g
        b = 0.5 * b + LR * g / sqrt(v + EPS)
        theta -= b
        ours.append(theta)
    assert ours[0] == pytest.approx(1 - 0.05 / sqrt(0.935))
    options = {"alpha": 0.9, "eps": EPS, "momentum": 0.5}
    assert path(rmsprop, flavor="tensorflow", **options) == pytest.approx(ours, abs=1e-6)
    theta, v, b, theirs = 1.0, 0.0, 0.0, []
    for g in GRADIENTS:
        v = 0.9 * v + 0.1 * g * g
        b = 0.5 * b + g / (sqrt(v) + EPS)
        theta -= LR * b
        theirs.append(theta)
    assert path(rmsprop, **options) == pytest.approx(theirs, abs=1e-6)


def test_nesterov_by_hand() -> None:
    """b = g and b = .9 g + g2; the step is lr (g + .9 b)."""
    b2 = 0.9 * 0.5 - 2.0
    first = 1 - 0.1 * (0.5 + 0.9 * 0.5)
    expected = [first, first - 0.1 * (-2.0 + 0.9 * b2)]
    assert path(sgd, momentum=0.9, nesterov=True) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match=r"optimizer\.nesterov=true: needs momentum; set"):
        path(sgd, nesterov=True)


def test_our_adam_without_epsilon_hat_is_torchs() -> None:
    """That form replaces torch's on a GPU, where beta2 follows a schedule."""
    start = torch.randn(4, 3)
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    options: dict[str, Any] = {"lr": 0.01, "betas": (0.5, 0.99), "weight_decay": 0.1}
    pair = Adam([ours], epsilon_hat=False, **options), torch.optim.Adam([theirs], **options)
    for _ in range(20):
        ours.grad = torch.randn(4, 3)
        theirs.grad = ours.grad.clone()
        for optimizer in pair:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_replacement_keeps_the_settings() -> None:
    weight = nn.Parameter(torch.zeros(2, device="meta"))
    before = torch.optim.AdamW([weight], lr=0.3, betas=(0.1, 0.2), weight_decay=0.7)
    after = with_tensor_betas(before)
    assert isinstance(after, Adam)
    group = after.param_groups[0]
    assert group["params"] == [weight] and not group["epsilon_hat"] and group["decoupled"]
    for name in ("lr", "betas", "eps", "weight_decay"):
        assert group[name] == before.param_groups[0][name]
    on_cpu = torch.optim.Adam([nn.Parameter(torch.zeros(2))])
    assert with_tensor_betas(on_cpu) is on_cpu


CARDS = {
    "adam": ("optimizer=adam",),
    "adam, tensorflow": ("optimizer=adam", "optimizer.flavor=tensorflow"),
    "adamw": ("optimizer=adamw",),
    "adamw, tensorflow": ("optimizer=adamw", "optimizer.flavor=tensorflow"),
    "rmsprop": ("optimizer=rmsprop", "optimizer.momentum=0.9"),
    "rmsprop, tensorflow": (
        "optimizer=rmsprop", "optimizer.flavor=tensorflow", "optimizer.momentum=0.9",
    ),
    "sgd": ("optimizer=sgd",),
    "nesterov": ("optimizer=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true"),
    "sghmc": ("optimizer=sghmc",),
    "one of each": ("optimizer=adam", "optimizer.generator.flavor=tensorflow"),
}  # fmt: skip


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("card", CARDS)
def test_the_state_survives_save_and_load_bit_for_bit(
    engine: Callable[..., Any], tmp_path: Path, card: str, replicas: int
) -> None:
    command = (*TOY, *CARDS[card], "schedule=cosine", f"trainer.replicas={replicas}",
               "trainer.steps=9")  # fmt: skip
    one = engine(*command)
    for _ in range(3):
        one.train_step()
    states = one.state_dicts()
    paths = [tmp_path / f"{k}.pt" for k in range(replicas)]
    for file, state in zip(paths, states, strict=True):
        save_checkpoint(file, state)
    before = _digests(states)
    other = engine(*command)
    saved = [load_checkpoint(file) for file in paths]
    for built in (one, other):
        built.load_state_dicts(saved)  # the random numbers, too
        assert _digests(built.state_dicts()) == before
        for _ in range(3):
            built.train_step()
        digests = _digests(built.state_dicts())
        assert digests != before
        saved = [load_checkpoint(file) for file in paths]
        if built is one:
            expected = digests
    assert digests == expected


def _digests(states: Sequence[Any]) -> list[Any]:
    return [fingerprint(state) for state in states]


def test_each_player_has_its_own_values(engine: Callable[..., Any]) -> None:
    built = engine(
        *TOY, "optimizer=adamw", "optimizer.generator.weight_decay=0.5",
        "optimizer.critic.flavor=tensorflow", "optimizer.critic.eps=1e-3",
    )  # fmt: skip
    critic, generator = (built.optimizers[name].param_groups[0] for name in ("critic", "generator"))
    assert critic["epsilon_hat"] and critic["decoupled"] and critic["eps"] == 1e-3
    assert generator["weight_decay"] == 0.5 and critic["weight_decay"] == 0.01
    assert type(built.optimizers["generator"]) is torch.optim.AdamW

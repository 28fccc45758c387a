"""Adaptive augmentation: p by hand, its place in the losses, resume bit for bit, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.func import vmap

from gan_runner.core import Batch
from gan_runner.objectives.augmentation import AdaptiveAugment, DiffAugment

ADAPTIVE = ("+augmentation=adaptive", "objective.augmentation.images=640")
COMMAND = ("dataset=digits", "model.filters=2", "objective=ns_gan", "metrics=none", "plots=none")


def test_p_by_hand() -> None:
    """Four steps of 10 images, of 100 from 0 to 1: p moves by 0.4, and stays in [0, 1]."""
    augmentation = AdaptiveAugment(batch_size=10, images=100)
    signs = [1.0, 0.0, 0.8, 0.8] + [0.6, 0.6, 0.7, 0.7] + [1.0] * 4 + [-1.0, 1, 1, 1] + [0.5] * 12
    seen = []
    for step, sign in enumerate(signs):
        augmentation.adapt(step, torch.tensor(sign))
        seen.append(round(float(augmentation.p), 4))
    expected = [0.4, 0.8, 1.0, 0.6, 0.2, 0.0, 0.0]  # means .65, .65, 1, .5, .5 ...
    assert [0.0, 0.0, 0.0, *(p for p in expected for _ in range(4))][: len(seen)] == seen


def test_each_policy_is_applied_with_probability_p() -> None:
    torch.manual_seed(0)
    x = torch.rand(8000, 1, 8, 8) + 1
    augmentation = AdaptiveAugment(batch_size=1, start=0.3, color=False, translation=False)
    is_cut = (augmentation(Batch(x)).x == 0).flatten(1).any(1)
    assert is_cut.float().mean().item() == pytest.approx(0.3, abs=0.02)
    both = AdaptiveAugment(batch_size=1, start=0.3, translation=False)
    changed = ((both(Batch(x)).x - x).abs() > 1e-5).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(1 - 0.7**2, abs=0.02)
    off = AdaptiveAugment(batch_size=1, color=False)(Batch(x)).x
    assert torch.equal(off, x)
    torch.testing.assert_close(AdaptiveAugment(batch_size=1)(Batch(x)).x, x)


def test_with_probability_1_it_is_diffaugment() -> None:
    """The same distribution: means and variances of all pixels, over many draws."""
    torch.manual_seed(0)
    x = torch.rand(1, 3, 8, 8).expand(20_000, -1, -1, -1)
    ours, theirs = (
        f(Batch(x)).x for f in (AdaptiveAugment(batch_size=1, start=1.0), DiffAugment())
    )
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(ours.var(0), theirs.var(0), atol=0.02, rtol=0)


def test_it_is_differentiable_twice_and_vectorises() -> None:
    x = torch.randn(2, 1, 8, 4, dtype=torch.float64, requires_grad=True)
    augmentation = AdaptiveAugment(batch_size=1, start=0.5)

    def augmented(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return augmentation(Batch(x)).x.square()

    assert torch.autograd.gradcheck(augmented, (x,))
    assert torch.autograd.gradgradcheck(augmented, (x,))
    stacked = vmap(lambda x: augmentation(Batch(x)).x, randomness="different")
    assert stacked(torch.ones(3, 4, 1, 8, 8)).shape == (3, 4, 1, 8, 8)


def test_a_critic_that_knows_its_data_is_shown_augmented_images(engine: Callable[..., Any]) -> None:
    """p is logged as it was in the step, and the sign is that of the scores of data."""
    built = engine(*COMMAND, *ADAPTIVE)
    bias = built.nets.critic.score.linear.bias
    with torch.no_grad():
        bias.fill_(100.0)  # every score is positive
    logs = [built.train_step()[0] for _ in range(9)]
    assert [float(log["augmentation/real_sign"]) for log in logs] == [1.0] * 9
    assert [round(float(log["augmentation/p"]), 4) for log in logs] == [0.0] * 4 + [0.1] * 4 + [0.2]
    tags = built.game.objective.tags
    assert {"augmentation/p", "augmentation/real_sign"} <= set(tags)


def test_p_survives_a_resume_bit_for_bit(engine: Callable[..., Any]) -> None:
    """Resumed at step 6, between two adjustments: p, the sum of signs and the weights agree."""
    command = (*COMMAND, *ADAPTIVE, "objective.augmentation.start=0.5")
    whole, first, second = (engine(*command) for _ in range(3))
    torch.manual_seed(0)
    for _ in range(14):
        whole.train_step()
    torch.manual_seed(0)
    for _ in range(6):
        first.train_step()
    states = first.state_dicts()
    assert states[0]["objective"]["augmentation"]["signs"] != 0
    torch.manual_seed(99)
    second.load_state_dicts(states)
    for _ in range(8):
        second.train_step()
    ours, theirs = second.game.objective.adaptive, whole.game.objective.adaptive
    assert float(theirs.p) not in (0.0, 0.5)
    assert torch.equal(ours.p, theirs.p) and torch.equal(ours.signs, theirs.signs)
    weights, others = second.nets.critic.state_dict(), whole.nets.critic.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_others_have_no_state_of_the_objective(engine: Callable[..., Any]) -> None:
    built = engine(*COMMAND, "+augmentation=diffaugment")
    assert "objective" not in built.state_dicts()[0]


@pytest.mark.parametrize("objective", ["wgan_gp", "lsgan", "r3gan", "fgan_kl"])
def test_scores_without_a_zero_are_refused(engine: Callable[..., Any], objective: str) -> None:
    with pytest.raises(ValueError, match=r"^objective\.critic_loss=\w+: gives the sign") as error:
        engine("dataset=digits", "model.filters=2", f"objective={objective}", *ADAPTIVE)
    assert "\n" not in str(error.value)


def test_replicas_are_refused(engine: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"^trainer\.replicas=2: adaptive augmentation follows"):
        engine(*COMMAND, "trainer.replicas=2", *ADAPTIVE)

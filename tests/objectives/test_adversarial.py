"""Objectives as cards compose them: total = score + terms, and what is logged."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate

from gan_runner.core import Batch

REAL, FAKE = Batch(torch.tensor([[2.0], [4.0]])), Batch(torch.tensor([[1.0], [1.0]]))


def critic(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
    """f(x) = 3 x: slope 3, E f(real) = 9, E f(fake) = 3."""
    return 3 * x.squeeze(1)


def test_wgan_gp_card(config) -> None:
    objective = instantiate(config().objective)
    total, logs = objective.critic_loss(critic, REAL, FAKE)
    # E f(fake) - E f(real) + 10 (3 - 1)^2
    assert total.item() == pytest.approx(-6 + 40)
    assert {tag: v.item() for tag, v in logs.items()} == pytest.approx({
        "loss/critic": 34.0, "loss/gradient_penalty": 40.0, "wasserstein/critic": 6.0,
    })  # fmt: skip
    assert objective.generator_loss(critic, REAL, FAKE).total.item() == pytest.approx(-3.0)
    assert objective.n_critic == 5 and objective.per_sample_parts == [
        "critic_terms.gradient_penalty"
    ]


def test_a_weight_of_zero_equals_absence(config) -> None:
    key = "objective.critic_terms.gradient_penalty"
    zero = instantiate(config(f"{key}.weight=0").objective)
    absent = instantiate(config(f"~{key}").objective)
    assert (
        zero.critic_loss(critic, REAL, FAKE).total == absent.critic_loss(critic, REAL, FAKE).total
    )


def test_only_classifying_discriminators_estimate_a_divergence(config) -> None:
    for name, classifies in {"gan": True, "ns_gan": True, "lsgan": False, "wgan_gp": False}.items():
        objective = instantiate(config(f"objective={name}").objective)
        assert ("jsd/critic" in objective.critic_loss(critic, REAL, FAKE).logs) == classifies


PUBLISHED = {
    "gan": ("adam", {"lr": 2e-4, "betas": [0.5, 0.999]}, 1),
    "ns_gan": ("adam", {"lr": 2e-4, "betas": [0.5, 0.999]}, 1),
    "lsgan": ("rmsprop", {"lr": 1e-4}, 1),
    "hinge": ("adam", {"lr": 2e-4, "betas": [0.0, 0.9]}, 5),
    "wgan": ("rmsprop", {"lr": 5e-5}, 5),
    "wgan_gp": ("adam", {"lr": 1e-4, "betas": [0.0, 0.9]}, 5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_objective_brings_the_constants_of_its_paper(config, name: str) -> None:
    optimizer, constants, n_critic = PUBLISHED[name]
    cfg = config(f"objective={name}")
    for player in ("critic", "generator"):
        assert cfg.optimizer[player]._target_.endswith(f".{optimizer}")
        assert {key: cfg.optimizer[player][key] for key in constants} == constants
    assert cfg.objective.n_critic == n_critic
    assert name != "wgan" or cfg.objective.constraint.c == 0.01


def test_the_user_names_another_optimizer(config) -> None:
    cfg = config(
        "objective=wgan", "optimizer=sgd", "optimizer.lr=1e-3", "optimizer.generator.lr=2e-3"
    )
    assert cfg.optimizer.critic._target_.endswith(".sgd")
    assert (cfg.optimizer.critic.lr, cfg.optimizer.generator.lr) == (1e-3, 2e-3)
    # the order on the command line does not matter, and another method's constants do not leak
    cfg = config("optimizer=adam", "objective=wgan")
    assert (cfg.optimizer.critic.lr, list(cfg.optimizer.critic.betas)) == (2e-4, [0.5, 0.999])

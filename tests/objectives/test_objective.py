"""Objectives as cards compose them: total = score + terms, and what is logged."""

from __future__ import annotations

from math import exp, log1p

import pytest
import torch
from hydra.utils import instantiate

from gan_runner.core import Batch
from gan_runner.objectives import losses
from gan_runner.objectives.objective import Objective

REAL, FAKE = Batch(torch.tensor([[2.0], [4.0]])), Batch(torch.tensor([[1.0], [1.0]]))


def softplus(v: float) -> float:
    return log1p(exp(v))


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


TERMS = ["gradient_penalty", "lipschitz_penalty", "dragan_penalty", "r1", "r2", "weight_decay"]


@pytest.mark.parametrize("weight", ["0", "0.0"])
@pytest.mark.parametrize("term", TERMS)
def test_a_weight_of_zero_equals_absence(config, term: str, weight: str) -> None:
    """The same bits, the same random numbers afterwards, and no pass through the critic."""
    calls = []

    def counted(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        calls.append(len(x))
        return critic(x)

    node = (
        f"{{_target_: gan_runner.objectives.penalties.{term}, _partial_: true, weight: {weight}}}"
    )
    results = []
    for overrides in ([f"+objective.critic_terms.extra={node}"], []):
        objective = instantiate(config("objective=hinge", *overrides).objective)
        torch.manual_seed(0)
        calls.clear()
        loss = objective.critic_loss(counted, REAL, FAKE)
        results.append((loss.total.item(), sorted(loss.logs), list(calls), torch.rand(1).item()))
    assert results[0] == results[1]
    # and a weight other than 0 is no absence
    present = instantiate(
        config("objective=hinge", f"+objective.critic_terms.extra={node}",
               "objective.critic_terms.extra.weight=1").objective
    )  # fmt: skip
    assert present.critic_terms


def test_a_generator_has_terms_too() -> None:
    def distance_of_means(critic: object, real: Batch, fake: Batch) -> torch.Tensor:
        return (real.x.mean() - fake.x.mean()).square()

    objective = Objective(
        critic_loss=losses.wasserstein_critic,
        generator_loss=losses.wasserstein_generator,
        generator_terms={"means": distance_of_means},
    )
    total, logs = objective.generator_loss(critic, REAL, FAKE)
    # -E f(G(z)) + (3 - 1)^2
    assert total.item() == pytest.approx(-3 + 4)
    assert logs["loss/generator/means"].item() == pytest.approx(4.0)
    assert logs["loss/generator"].item() == total.item()
    assert "loss/generator/means" in objective.tags
    critic_logs = objective.critic_loss(critic, REAL, FAKE).logs
    assert set(objective.tags) == {*logs, *critic_logs}


@pytest.mark.parametrize("name", ["ns_gan", "wgan", "fgan_kl", "ragan", "rpgan", "r3gan"])
def test_data_is_scored_for_the_generator_only_where_it_is_compared(config, name: str) -> None:
    seen = []

    def counted(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(x)
        return critic(x)

    objective = instantiate(config(f"objective={name}").objective)
    objective.generator_loss(counted, REAL, FAKE)
    assert (len(seen) == 2) == (name in {"ragan", "rpgan", "r3gan"})
    assert seen[0] is FAKE.x and all(x is REAL.x for x in seen[1:])


def test_relativistic_cards(config) -> None:
    # scores 6, 12 of data and 3, 3 of samples
    pairing = instantiate(config("objective=rpgan").objective)
    expected = (softplus(-3) + softplus(-9)) / 2
    assert pairing.critic_loss(critic, REAL, FAKE).total.item() == pytest.approx(expected)
    expected = (softplus(3) + softplus(9)) / 2
    assert pairing.generator_loss(critic, REAL, FAKE).total.item() == pytest.approx(expected)
    average = instantiate(config("objective=ragan").objective)
    expected = (softplus(-3) + softplus(-9)) / 2 + softplus(-6)
    assert average.critic_loss(critic, REAL, FAKE).total.item() == pytest.approx(expected)
    expected = (softplus(3) + softplus(9)) / 2 + softplus(6)
    assert average.generator_loss(critic, REAL, FAKE).total.item() == pytest.approx(expected)
    # r3gan adds gamma / 2 * 3^2 on data and on samples
    both = instantiate(config("objective=r3gan", "objective.critic_terms.r1.weight=2").objective)
    total, logs = both.critic_loss(critic, REAL, FAKE)
    assert logs["loss/r1"].item() == logs["loss/r2"].item() == pytest.approx(9.0)
    assert total.item() == pytest.approx((softplus(-3) + softplus(-9)) / 2 + 18)


def test_f_gan_card(config) -> None:
    # one choice of the divergence is enough: the others follow it
    command = ("objective=fgan_kl", "objective.critic_loss.divergence=pearson")
    objective = instantiate(config(*command).objective)
    total, logs = objective.critic_loss(critic, REAL, FAKE)
    # E f = 9 on data, f^2 / 4 + f = 21/4 on samples
    assert total.item() == pytest.approx(21 / 4 - 9)
    assert logs["divergence/critic"].item() == pytest.approx(9 - 21 / 4)
    assert objective.generator_loss(critic, REAL, FAKE).total.item() == pytest.approx(-3)
    saturating = config(*command, "objective.generator_loss.nonsaturating=false").objective
    loss = instantiate(saturating).generator_loss(critic, REAL, FAKE).total
    assert loss.item() == pytest.approx(-21 / 4)


def test_only_classifying_discriminators_estimate_a_divergence(config) -> None:
    for name, classifies in {"gan": True, "ns_gan": True, "lsgan": False, "wgan_gp": False}.items():
        objective = instantiate(config(f"objective={name}").objective)
        assert ("jsd/critic" in objective.critic_loss(critic, REAL, FAKE).logs) == classifies


PUBLISHED = {
    "gan": ("adam", {"lr": 2e-4, "betas": [0.5, 0.999]}, 1),
    "ns_gan": ("adam", {"lr": 2e-4, "betas": [0.5, 0.999]}, 1),
    "lsgan": ("rmsprop", {"lr": 1e-4}, 1),
    "lsgan_pm1": ("rmsprop", {"lr": 1e-4}, 1),
    "hinge": ("adam", {"lr": 2e-4, "betas": [0.0, 0.9]}, 5),
    "sn_gan": ("adam", {"lr": 2e-4, "betas": [0.0, 0.9]}, 5),
    "ragan": ("adam", {"lr": 2e-4, "betas": [0.5, 0.999]}, 1),
    "rpgan": ("adam", {"lr": 2e-4, "betas": [0.5, 0.999]}, 1),
    "r3gan": ("adam", {"lr": 2e-4, "betas": [0.0, 0.9]}, 1),
    "dragan": ("adam", {"lr": 1e-4, "betas": [0.5, 0.9]}, 1),
    "fgan_kl": ("adam", {"lr": 2e-4, "betas": [0.5, 0.999]}, 1),
    "wgan": ("rmsprop", {"lr": 5e-5}, 5),
    "wgan_gp": ("adam", {"lr": 1e-4, "betas": [0.0, 0.9]}, 5),
    "wgan_lp": ("adam", {"lr": 1e-4, "betas": [0.0, 0.9]}, 5),
    "wgan_frobenius": ("rmsprop", {"lr": 5e-5}, 5),
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

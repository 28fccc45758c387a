"""Objectives in games whose solutions and dynamics are known, through the update that trains."""

from __future__ import annotations

from collections.abc import Callable
from math import hypot, log

import pytest
import torch
from closed_forms import Net, at_optimum, lines_estimate, lines_jensen_shannon
from covering import covering
from hydra.utils import instantiate
from torch import Tensor, nn

from gan_runner.core import Batch, Latent
from gan_runner.objectives.objective import Objective
from gan_runner.training.game import Game, Player
from gan_runner.training.step import alternating

# -- Parallel lines (Arjovsky et al. 2017, example 1).


@pytest.mark.parametrize("theta", [0.1, 0.5, 1.0, 2.0])
def test_a_two_sided_penalty_overshoots_on_parallel_lines(config: Callable, theta: float) -> None:
    """The best slope s maximises theta s - lambda (s - 1)^2, so that s = 1 + theta / (2 lambda).

    The estimate is theta times that; over the steepest slope, it is the distance.
    """
    lam = 2.0
    cfg = config("objective=wgan_gp", f"objective.critic_terms.gradient_penalty.weight={lam}")
    measured = lines_estimate(instantiate(cfg.objective), theta)
    assert measured["estimate"] == pytest.approx(theta * (1 + theta / (2 * lam)), rel=0.05)
    assert measured["lipschitz/lower"] == pytest.approx(1 + theta / (2 * lam), rel=0.05)
    assert measured["wasserstein/per_slope"] == pytest.approx(theta, rel=0.05)
    assert measured["wasserstein/bound"] <= theta  # proven from below


@pytest.mark.parametrize("theta", [0.1, 2.0])
def test_a_one_sided_penalty_overshoots_alike(config: Callable, theta: float) -> None:
    """Above 1 the two penalties are one; WGAN-LP differs where the slope should be less than 1."""
    cfg = config("objective=wgan_lp", "objective.critic_terms.lipschitz_penalty.weight=2")
    estimate = at_optimum(instantiate(cfg.objective), Net(), theta, lr=0.02)
    assert estimate == pytest.approx(theta * (1 + theta / 4), rel=0.05)


@pytest.mark.parametrize("theta", [0.1, 0.5, 1.0, 2.0])
def test_jensen_shannon_does_not_see_how_far_the_lines_are(config: Callable, theta: float) -> None:
    bound = lines_jensen_shannon(instantiate(config("objective=gan").objective), theta)
    assert bound == pytest.approx(log(2), rel=0.01)


# -- The Dirac-GAN (Mescheder et al. 2018, section 2): data at 0, a sample at theta, f(x) = w x.


class Dirac(nn.Module):
    """G(z) = theta."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([1.0]))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z + self.theta


class Slope(nn.Module):
    """f(x) = w x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.0]))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return (x * self.w).squeeze(1)


def play(objective: Objective, steps: int, *, lr: float = 0.1) -> list[float]:
    """Distance from the equilibrium (0, 0) after each iteration."""
    critic, generator = Player(Slope()), Player(Dirac())
    game = Game(
        critic=critic,
        generator=generator,
        objective=objective,
        critic_optimizer=torch.optim.SGD(critic.parameters, lr=lr),
        generator_optimizer=torch.optim.SGD(generator.parameters, lr=lr),
        prior=lambda n: Latent(torch.zeros(n, 1)),
        to_batch=lambda x: Batch(x),
        batch_size=2,
    )
    radius = []
    for _ in range(steps):
        alternating(game, [(torch.zeros(2, 1),)])
        radius.append(hypot(critic.network.w.item(), generator.network.theta.item()))
    return radius


def with_term(config: Callable, name: str, term: str | None, weight: float) -> Objective:
    node = (
        f"{{_target_: gan_runner.objectives.penalties.{term}, _partial_: true, weight: {weight}}}"
    )
    extra = [f"+objective.critic_terms.extra={node}"] if term else []
    return instantiate(config(f"objective={name}", "objective.n_critic=1", *extra).objective)


@pytest.mark.parametrize(
    "name",
    [
        "gan", "ragan", "fgan_kl",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ns_gan", "rpgan", "hinge")),
    ],
)  # fmt: skip
def test_unregularised_games_circle_or_creep(config: Callable, name: str) -> None:
    """Mescheder et al. 2018, section 2: no game is played to an end, the best come near slowly."""
    radius = play(with_term(config, name, None, 0.0), 1000)
    assert min(radius) > 0.15


@pytest.mark.parametrize(
    ("name", "term"),
    covering(["gan", "ns_gan", "rpgan", "hinge", "fgan_kl"], ["r1", "r2"], one_in=2),
)
def test_zero_centred_penalties_make_them_converge(config: Callable, name: str, term: str) -> None:
    """Mescheder et al. 2018, section 4.1: simplified gradient penalties."""
    radius = play(with_term(config, name, term, 0.5), 400)  # a spiral of rate 1/4
    assert radius[-1] < 1e-3


def test_the_rate_of_r1(config: Callable) -> None:
    """On WGAN's game w' = (1 - lr gamma) w - lr theta, theta' = theta + lr w': an exact spiral."""
    lr, gamma, steps = 0.1, 1.0, 60
    w, theta = 0.0, 1.0
    for _ in range(steps):
        w = (1 - lr * gamma) * w - lr * theta
        theta += lr * w
    objective = with_term(config, "wgan", "r1", gamma)
    objective.constraint = None
    assert play(objective, steps, lr=lr)[-1] == pytest.approx(hypot(w, theta), rel=1e-4)
    # and without the penalty w^2 + theta^2 + lr w theta is conserved: the radius stays
    objective = with_term(config, "wgan", None, 0.0)
    objective.constraint = None
    radius = play(objective, 1000, lr=lr)
    assert min(radius) > 0.95 and max(radius) < 1.06


def test_r3gan_converges(config: Callable) -> None:
    # near (0, 0): w' = -2 gamma w - theta / 2, theta' = w / 2, where gamma = 1/4 is a spiral of
    # rate 1/4: exp(-0.1 * 400 / 4) = 5e-5
    cfg = config("objective=r3gan", "objective.critic_terms.r1.weight=0.25")
    assert play(instantiate(cfg.objective), 400)[-1] < 5e-4

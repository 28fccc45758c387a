"""Terms and constraints against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_runner.core import Batch
from gan_runner.objectives.constraints import clip_weights, project_frobenius
from gan_runner.objectives.penalties import (
    dragan_penalty,
    gradient_norm,
    gradient_penalty,
    lipschitz_penalty,
    r1,
    r2,
    weight_decay,
)
from gan_runner.training.game import Player


class Linear(nn.Module):
    """f(x) = w . x, whose gradient is w everywhere."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return x.flatten(1) @ self.w


PENALTIES = {
    # of f(x) = w . x, whose gradient has the norm s everywhere
    "gradient_penalty": (gradient_penalty, lambda s: 10 * (s - 1) ** 2),
    "lipschitz_penalty": (lipschitz_penalty, lambda s: 10 * max(0.0, s - 1) ** 2),
    "dragan_penalty": (dragan_penalty, lambda s: 10 * (s - 1) ** 2),
    "r1": (r1, lambda s: 5 * s**2),
    "r2": (r2, lambda s: 5 * s**2),
}


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2), (3, 4, 4)])
@pytest.mark.parametrize("steepness", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_of_a_linear_critic(name: str, steepness: float, shape: tuple[int, ...]) -> None:
    real, fake = Batch(torch.randn(5, *shape)), Batch(torch.randn(5, *shape))
    w = torch.randn(real.x[0].numel())
    w *= steepness / w.norm()
    term, closed_form = PENALTIES[name]
    penalty = term(Linear(w), real, fake, weight=10.0)
    assert penalty.item() == pytest.approx(closed_form(steepness), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "dragan_penalty"])
def test_a_penalty_is_a_mean_over_samples_alone(name: str) -> None:
    """A sample's share does not change when another sample does: f(x) = |x|^2 / 2 has slope |x|."""

    def critic(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return 0.5 * x.square().sum(1)

    def share_of_the_first(others: float) -> float:
        batch = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
        batch[1:] = others
        term, _ = PENALTIES[name]
        values = []
        for rows in (slice(0, 3), slice(1, 3)):
            torch.manual_seed(0)
            noise = torch.randn(3, 2)[rows]
            with pytest.MonkeyPatch.context() as patch:  # each sample keeps its own noise
                patch.setattr(torch, "randn_like", lambda x, noise=noise: noise)
                part = Batch(batch[rows])
                values.append(term(critic, part, part, weight=1.0).item())
        return 3 * values[0] - 2 * values[1]

    assert share_of_the_first(0.5) == pytest.approx(share_of_the_first(20.0), abs=1e-3)
    expected = {"r1": 12.5, "r2": 12.5}.get(name, 16.0)  # (3, 4) has the slope 5
    assert share_of_the_first(0.5) == pytest.approx(expected, rel=1e-5)


def test_where_the_zero_centred_penalties_look() -> None:
    def critic(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return 0.5 * x.square().sum(1)

    real, fake = Batch(torch.full((4, 2), 1.0)), Batch(torch.full((4, 2), 3.0))
    assert r1(critic, real, fake, weight=1.0).item() == pytest.approx(1.0)  # 1/2 |(1, 1)|^2
    assert r2(critic, real, fake, weight=1.0).item() == pytest.approx(9.0)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_dragan_looks_around_the_data(distribution: str) -> None:
    """By 0.5 std(x) a u, whose mean is 1/4 and whose mean square 1/9; or by N(0, (0.5 std(x))^2)."""
    seen = []

    def critic(x: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake = Batch(3.0 * torch.randn(4000, 8) + 5.0), Batch(torch.zeros(4000, 8))
    dragan_penalty(critic, real, fake, weight=1.0, noise=0.5, distribution=distribution)
    delta = (seen[0] - real.x) / (0.5 * real.x.std())
    if distribution == "normal":
        assert delta.mean().item() == pytest.approx(0.0, abs=0.02)
        assert delta.std().item() == pytest.approx(1.0, rel=0.02)
        return
    assert delta.mean().item() == pytest.approx(1 / 4, rel=0.03)
    assert delta.square().mean().item() == pytest.approx(1 / 9, rel=0.03)
    largest = delta.amax(1)  # near a, which differs by sample
    assert delta.min() >= -1e-6 and largest.max() <= 1 and largest.min() < 0.05


def test_weight_decay_is_of_matrices() -> None:
    critic = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        critic[0].weight.copy_(torch.tensor([[3.0, 4.0]]))
        critic[0].bias.fill_(100.0)
    batch = Batch(torch.zeros(2, 2))
    decay = weight_decay(critic, batch, batch, weight=0.1)
    assert decay.item() == pytest.approx(2.5)
    (g,) = torch.autograd.grad(decay, critic[0].weight)
    assert g.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_weight_decay_of_normalised_players_only() -> None:
    plain = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    normalised = nn.Sequential(nn.Linear(2, 3), nn.GroupNorm(1, 3), nn.Linear(3, 1))
    batch = Batch(torch.zeros(1, 2))
    assert weight_decay(plain, batch, batch, weight=0.1, normalised_only=True) == 0
    decay = weight_decay(normalised, batch, batch, weight=0.1, normalised_only=True)
    by_hand = sum(normalised[i].weight.square().sum() for i in (0, 2))
    assert decay.item() == pytest.approx(0.1 * by_hand.item())


def test_weight_decay_sees_the_weights_that_a_player_is_called_with() -> None:
    """Those that a gradient is taken in, and under vmap those of each replica."""
    player = Player(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), nn.Flatten(0)))
    batch = Batch(torch.randn(4, 2))
    stacked = {n: torch.randn(5, *p.shape) for n, p in player.network.named_parameters()}

    def decay(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return weight_decay(player.with_weights(weights), batch, batch, weight=0.5)

    expected = 0.5 * (
        stacked["0.weight"].flatten(1).square().sum(1)
        + stacked["2.weight"].flatten(1).square().sum(1)
    )
    torch.testing.assert_close(torch.func.vmap(decay)(stacked), expected)
    one = {name: values[0] for name, values in stacked.items()}
    gradient = torch.func.grad(decay)(one)
    torch.testing.assert_close(gradient["0.weight"], one["0.weight"])
    assert not gradient["0.bias"].any()


def test_gradient_of_the_penalty_reaches_the_weights() -> None:
    # d/dw lambda (|w| - 1)^2 = 2 lambda (|w| - 1) w / |w|; here |w| = 5
    critic = Linear(torch.tensor([3.0, 4.0]))
    batch = Batch(torch.randn(4, 2))
    (g,) = torch.autograd.grad(gradient_penalty(critic, batch, batch, weight=0.1), critic.w)
    torch.testing.assert_close(g, torch.tensor([0.48, 0.64]))


def test_penalty_where_the_critic_is_flat() -> None:
    critic = Linear(torch.zeros(2))
    batch = Batch(torch.randn(4, 2))
    penalty = gradient_penalty(critic, batch, batch, weight=10.0)
    assert penalty.item() == 10.0
    (g,) = torch.autograd.grad(penalty, critic.w)
    assert g.tolist() == [0.0, 0.0]


def test_points_lie_between_real_and_fake_one_epsilon_a_sample() -> None:
    seen = []

    def critic(x: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake = Batch(torch.ones(1000, 2, 3, 3)), Batch(torch.zeros(1000, 2, 3, 3))
    gradient_penalty(critic, real, fake, weight=1.0)
    eps = seen[0].flatten(1)
    assert (eps == eps[:, :1]).all()
    assert eps[:, 0].min() >= 0 and eps[:, 0].max() <= 1
    assert eps[:, 0].mean().item() == pytest.approx(0.5, abs=0.03)
    assert eps[:, 0].var().item() == pytest.approx(1 / 12, abs=0.01)


def test_one_sample_does_not_move_the_others() -> None:
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(6, 3)
    moved = x.clone()
    moved[0] += 1.0

    def norms(points: torch.Tensor) -> torch.Tensor:
        points = points.requires_grad_()
        return gradient_norm(torch.autograd.grad(critic(points).sum(), points)[0])

    before, after = norms(x.clone()), norms(moved)
    torch.testing.assert_close(before[1:], after[1:], rtol=0, atol=1e-6)
    assert abs(before[0] - after[0]) > 1e-4


def test_clipping_projects_every_parameter() -> None:
    critic = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    inside = critic[0].weight.detach().clone().clamp(-0.01, 0.01)
    clip_weights(critic, c=0.01)
    torch.testing.assert_close(critic[0].weight.detach(), inside)
    assert critic[1].weight.tolist() == pytest.approx([0.01, 0.01])  # norm scales too


def test_projection_onto_frobenius_balls() -> None:
    critic = nn.Sequential(nn.Linear(2, 1), nn.Linear(2, 2))
    with torch.no_grad():
        critic[0].weight.copy_(torch.tensor([[3.0, 4.0]]))
        critic[1].weight.copy_(torch.tensor([[0.1, 0.0], [0.0, 0.2]]))
        critic[0].bias.fill_(100.0)
    project_frobenius(critic, radius=2.0)
    assert critic[0].weight.tolist() == [[pytest.approx(1.2), pytest.approx(1.6)]]
    torch.testing.assert_close(critic[1].weight.detach(), torch.diag(torch.tensor([0.1, 0.2])))
    assert critic[0].bias.item() == 100.0


def test_projection_keeps_a_critic_from_stretching() -> None:
    """The largest slope that is found stays below the product of the norms, 1."""
    critic = nn.Sequential(
        nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    for layer in critic:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.weight, 5.0)
            nn.init.zeros_(layer.bias)
    project_frobenius(critic, radius=1.0)
    x = torch.rand(100, 4).requires_grad_()
    slopes = gradient_norm(torch.autograd.grad(critic(x).sum(), x)[0])
    assert 0.9 < slopes.max() <= 1 + 1e-5  # reached, because these matrices have rank one

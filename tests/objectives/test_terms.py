"""The gradient penalty and weight clipping against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_runner.core import Batch
from gan_runner.objectives.constraints import clip_weights
from gan_runner.objectives.terms import gradient_norm, gradient_penalty


class Linear(nn.Module):
    """f(x) = w . x, whose gradient is w everywhere."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return x.flatten(1) @ self.w


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2), (3, 4, 4)])
def test_penalty_of_a_linear_critic(shape: tuple[int, ...]) -> None:
    real, fake = Batch(torch.randn(5, *shape)), Batch(torch.randn(5, *shape))
    w = torch.randn(real.x[0].numel())
    penalty = gradient_penalty(Linear(w), real, fake, weight=10.0)
    assert penalty.item() == pytest.approx(10 * (w.norm().item() - 1) ** 2, rel=1e-6)


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

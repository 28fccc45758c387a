"""Critics trained to their optimum on two problems with a closed form: Gaussians and lines.

Gaussians: data N(0, 1) with density p, samples N(1, 1) with density q. Lines: data (0, Z), samples
(theta, Z) with Z ~ U[0, 1] (Arjovsky et al. 2017, example 1). `scripts/objectives.py` prints the
critics' values next to the closed forms; the tests of the objectives compare them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import e, exp, log

import numpy as np
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor, nn

from gan_runner.core import Batch, Dataset, DataSpec, EvalContext, Latent, Nets, Snapshot
from gan_runner.metrics.lipschitz import LipschitzOfCritic
from gan_runner.objectives.f_divergence import TABLE, Name
from gan_runner.objectives.losses import jensen_shannon, logistic_critic
from gan_runner.objectives.objective import Objective

# A grid that covers both Gaussians, and their masses on it.
GRID = torch.linspace(-7, 8, 601, dtype=torch.float64)
P, Q = (torch.from_numpy(norm.pdf(GRID.numpy(), loc=m)) * (GRID[1] - GRID[0]) for m in (0, 1))


def js(shift: float = 1.0) -> float:
    """Compute the Jensen-Shannon divergence of N(0, 1) and N(shift, 1) in nats, by quadrature."""

    def integrand(x: float) -> float:
        p, q = norm.pdf(x), norm.pdf(x, loc=shift)
        m = (p + q) / 2
        return 0.5 * (p * log(p / m) + q * log(q / m))

    return quad(integrand, -9, 9 + shift)[0]


CLOSED_FORMS: dict[Name, float] = {
    "kl": 0.5,
    "reverse_kl": 0.5,
    "pearson": e - 1,
    "squared_hellinger": 2 - 2 * exp(-1 / 8),
    "jensen_shannon": js(),
    "gan": 2 * js() - log(4),
}


def minimise(loss: Callable[[nn.Module], Tensor], *, max_iter: int) -> nn.Module:
    """Train a small network on the line to the optimum of a loss, by L-BFGS; return it."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0)
    ).double()
    optimizer = torch.optim.LBFGS(
        network.parameters(),
        max_iter=max_iter,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-12,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(network)
        value.backward()
        return value

    optimizer.step(closure)
    return network.requires_grad_(False)


def variational_scores(name: Name) -> tuple[Tensor, float]:
    """Return the scores on the grid that maximize an f-divergence's lower bound, and the bound.

    The bound is on the divergence that the row is named after, as in `variational_bound`.
    """
    row = TABLE[name]

    def loss(v: Tensor) -> Tensor:
        return (Q * row.penalty(v)).sum() - (P * row.activation(v)).sum()

    network = minimise(lambda net: loss(net(GRID[:, None])), max_iter=400)
    scores = network(GRID[:, None])
    return scores, -loss(scores).item() / row.multiple


def discriminator() -> tuple[float, float]:
    """Train a discriminator on 2,000 quantiles of each Gaussian.

    Returns:
        The mean of |D(x) - p / (p + q)| over all 4,000 points, and the value V(D) of the game.
    """
    levels = (np.arange(2000) + 0.5) / 2000
    real, fake = (torch.from_numpy(norm.ppf(levels, loc=m))[:, None] for m in (0, 1))
    network = minimise(lambda net: logistic_critic(net(real), net(fake)), max_iter=200)
    points = torch.cat([real, fake])
    p, q = (norm.pdf(points[:, 0].numpy(), loc=m) for m in (0, 1))
    error = np.abs(network(points).sigmoid().numpy() - p / (p + q)).mean()
    return float(error), -logistic_critic(network(real), network(fake)).item()


# -- Parallel lines.

Z = torch.linspace(0, 1, 64)


def line(theta: float) -> Batch:
    """Return the line at distance theta from the data."""
    return Batch(torch.stack([torch.full_like(Z, theta), Z], dim=1))


class Net(nn.Module):
    """A small critic in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 16), nn.Softplus(), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1)
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(x).squeeze(1)


def at_optimum(objective: Objective, critic: nn.Module, theta: float, *, lr: float) -> float:
    """Train a critic against a fixed generator; return its final estimate of the distance."""
    optimizer = torch.optim.Adam(critic.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for _ in range(300):
        optimizer.zero_grad()
        objective.critic_loss(critic, line(0.0), line(theta)).total.backward()
        optimizer.step()
        schedule.step()
    logs = objective.critic_loss(critic, line(0.0), line(theta)).logs
    return logs[objective.critic_tag].item()


def lines_estimate(objective: Objective, theta: float) -> dict[str, float]:
    """Return a critic's estimate of the distance between the lines, and the slope metrics."""
    critic = Net()
    estimate = at_optimum(objective, critic, theta, lr=0.02)
    samples = line(theta).x
    nets = Nets(nn.Identity(), critic, nn.Identity())
    data, noise = Dataset(DataSpec("line", (2,)), line(0.0), line(0.0)), Latent(samples)
    context = EvalContext(data, data.heldout, batch_size=64, seed=0, device=samples.device)
    snapshot = Snapshot(nets, context.spec, context.heldout, samples, samples, noise)
    return {"estimate": estimate, **LipschitzOfCritic(context)(snapshot)}


def lines_jensen_shannon(objective: Objective, theta: float) -> float:
    """Return a discriminator's lower bound on the Jensen-Shannon divergence of the lines."""
    critic = Net()
    first = next(critic.parameters())
    nn.init.normal_(first, 0.0, 1 / theta)  # rescales every distance to 1 for the critic
    at_optimum(objective, critic, theta, lr=0.05)
    with torch.no_grad():
        return jensen_shannon(critic(line(0.0).x), critic(line(theta).x)).item()

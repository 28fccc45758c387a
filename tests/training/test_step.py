"""The update against dynamics that are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from gan_runner.core import Batch, Latent, Loss
from gan_runner.objectives.constraints import clip_weights
from gan_runner.objectives.losses import wasserstein_critic, wasserstein_generator
from gan_runner.objectives.objective import Objective
from gan_runner.training.engine import Engine
from gan_runner.training.game import (
    Game,
    Player,
    assign,
    critic_loss,
    differentiate,
    generator_loss,
)
from gan_runner.training.step import alternating


class Shift(nn.Module):
    """G(z) = z + theta."""

    latent_dim = 1

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([theta]))

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return z + self.theta


class Slope(nn.Module):
    """f(x) = w x."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w]))

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return (x * self.w).squeeze(1)


class Bilinear:
    """min over x, max over y of x y: the generator's theta is x, the critic's w is y."""

    n_critic, n_generator, constraint = 1, 1, None

    def set_step(self, step: int) -> None:
        pass

    def critic_loss(self, critic: nn.Module, real: Batch, fake: Batch) -> Loss:
        return Loss(-critic(fake.x).mean(), {})

    def generator_loss(
        self, critic: nn.Module, real: Batch, fake: Batch, generator: nn.Module | None = None
    ) -> Loss:
        return Loss(critic(fake.x).mean(), {})


def game(objective: object, *, theta: float, w: float, lr: float) -> Game:
    critic, generator = (
        Player(Slope(w), is_per_sample=True),
        Player(Shift(theta), is_per_sample=True),
    )
    return Game(
        critic=critic,
        generator=generator,
        objective=objective,  # type: ignore[arg-type]
        critic_optimizer=torch.optim.SGD(critic.parameters, lr=lr),
        generator_optimizer=torch.optim.SGD(generator.parameters, lr=lr),
        prior=lambda n: Latent(torch.zeros(n, 1)),
        to_batch=lambda x: Batch(x),
        batch_size=4,
    )


def wasserstein(**options: object) -> Objective:
    return Objective(
        critic_loss=wasserstein_critic, generator_loss=wasserstein_generator, **options
    )  # type: ignore[arg-type]


def test_one_iteration_by_hand() -> None:
    # Data at 3, generator at 1, critic slope 0.5. Two critic steps: w <- w + lr (3 - 1) each, so
    # w = 0.5 + 0.1 * 2 * 2 = 0.9; then theta <- theta + lr w = 1.09.
    g = game(wasserstein(n_critic=2), theta=1.0, w=0.5, lr=0.1)
    logs = alternating(g, [(torch.full((4, 1), 3.0),)] * 2)
    assert g.critic.network.w.item() == pytest.approx(0.9)
    assert g.generator.network.theta.item() == pytest.approx(1.09)
    assert {tag: v.item() for tag, v in logs.items()} == pytest.approx({
        "loss/critic": 0.7 * (1 - 3),  # before the second critic step
        "critic/gap": 0.7 * 2,  # nothing bounds this critic's slope
        "loss/generator": -0.9 * 1.0,
        "grad_norm/critic": 2.0,
        "grad_norm/generator": 0.9,
    })  # fmt: skip


def test_two_generator_updates_by_hand() -> None:
    # As above with one critic step: w = 0.5 + 0.1 * 2 = 0.7; then theta <- theta + lr w twice.
    g = game(wasserstein(n_generator=2), theta=1.0, w=0.5, lr=0.1)
    logs = alternating(g, [(torch.full((4, 1), 3.0),)])
    assert g.critic.network.w.item() == pytest.approx(0.7)
    assert g.generator.network.theta.item() == pytest.approx(1.14)
    assert logs["loss/generator"].item() == pytest.approx(-0.7 * 1.07)  # before the second


def test_the_generator_is_compared_with_the_last_batch_of_data() -> None:
    """min over theta of E (theta - x)^2 / 2 through a generator term: the gradient is theta - x."""

    def distance(critic: nn.Module, real: Batch, fake: Batch) -> torch.Tensor:
        return 0.5 * (fake.x - real.x).square().mean()

    g = game(wasserstein(n_critic=2, generator_terms={"x": distance}), theta=1.0, w=0.0, lr=0.1)
    logs = alternating(g, [(torch.full((4, 1), x),) for x in (9.0, 1.5)])
    # two critic steps: w = 0.1 (9 - 1) + 0.1 (1.5 - 1) = 0.85; theta <- 1 + 0.1 (0.85 + 1.5 - 1)
    assert g.generator.network.theta.item() == pytest.approx(1.135)
    assert logs["loss/generator/x"].item() == pytest.approx(0.125)


def test_clipping_follows_every_critic_step() -> None:
    objective = wasserstein(n_critic=3, constraint=lambda critic: clip_weights(critic, c=0.01))
    g = game(objective, theta=1.0, w=0.5, lr=0.1)
    alternating(g, [(torch.full((4, 1), 3.0),)] * 3)
    assert g.critic.network.w.item() == pytest.approx(0.01)
    assert g.generator.network.theta.item() == pytest.approx(1.001)


def test_alternating_descent_circles_on_the_bilinear_game() -> None:
    # y' = y + a x, x' = x - a y': x^2 + y^2 + a x y is conserved, so the radius neither shrinks nor
    # grows for good; from (1, -1) with a = 0.1 it is 1.377 after 400 steps (it starts at 1.414).
    g = game(Bilinear(), theta=1.0, w=-1.0, lr=0.1)
    for _ in range(400):
        alternating(g, [(torch.zeros(4, 1),)])
    x, y = g.generator.network.theta.item(), g.critic.network.w.item()
    assert (x * x + y * y) ** 0.5 == pytest.approx(1.3775, abs=5e-4)
    assert x * x + y * y + 0.1 * x * y == pytest.approx(1.9, rel=1e-4)


def test_nothing_leaks_between_the_players() -> None:
    g = game(wasserstein(), theta=1.0, w=0.5, lr=0.1)
    real, fake = Batch(torch.full((4, 1), 3.0)), Batch(torch.full((4, 1), 1.0))
    _, critic_grads = differentiate(critic_loss, g, "critic", real, fake)
    _, generator_grads = differentiate(
        generator_loss, g, "generator", real, Latent(torch.zeros(4, 1))
    )
    assert [v.item() for v in critic_grads] == pytest.approx([1.0 - 3.0])
    assert [v.item() for v in generator_grads] == pytest.approx([-0.5])
    assert g.critic.network.w.grad is None and g.generator.network.theta.grad is None


def test_gradients_are_assigned_not_accumulated() -> None:
    g = game(wasserstein(), theta=1.0, w=0.5, lr=0.0)
    for _ in range(3):
        alternating(g, [(torch.full((4, 1), 3.0),)])
    assert g.critic.network.w.grad.item() == pytest.approx(-2.0)
    assert g.generator.network.theta.grad.item() == pytest.approx(-0.5)


def test_samples_for_all_critic_steps_in_one_pass_or_several() -> None:
    """A generator that promises to map row by row is called once; the samples are the same."""
    calls = []

    def iteration(by_row: bool) -> tuple[float, float]:
        torch.manual_seed(0)
        g = game(wasserstein(n_critic=3), theta=1.0, w=0.5, lr=0.1)
        generator = replace(g.generator, is_per_sample=by_row)
        generator.network.register_forward_hook(lambda _, inputs, out: calls.append(len(out)))
        g = replace(g, generator=generator, prior=lambda n: Latent(torch.randn(n, 1)))
        alternating(g, [(torch.full((4, 1), 3.0),)] * 3)
        return g.critic.network.w.item(), g.generator.network.theta.item()

    assert iteration(by_row=True) == pytest.approx(iteration(by_row=False))
    assert calls == [12, 4, 4, 4, 4, 4]


def test_gradients_meet_their_parameters_whatever_the_layout() -> None:
    """Fused optimizers walk parameter and gradient as flat arrays."""
    parameter = nn.Parameter(torch.zeros(2, 3, 2, 2).to(memory_format=torch.channels_last))
    gradient = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert parameter.stride() != gradient.stride()
    assign([parameter], [gradient])
    torch.optim.SGD([parameter], lr=1.0, fused=True).step()
    assert torch.equal(parameter.detach(), -gradient)


def test_one_pass_over_real_and_fake_scores_them_alike() -> None:
    network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    seen = []

    class Scores(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            seen.append(len(x))
            return network(x)

    real, fake = Batch(torch.randn(4, 1)), Batch(torch.randn(4, 1))
    losses = [
        wasserstein().critic_loss(Player(Scores(), is_per_sample=by_row), real, fake)
        for by_row in (True, False)
    ]
    assert seen == [8, 4, 4]
    assert losses[0].total.item() == pytest.approx(losses[1].total.item())


@pytest.mark.parametrize("order", ["alternating", "generator_first", "simultaneous"])
@pytest.mark.parametrize("objective", ["wgan_gp", "rpgan", "acgan"])
def test_the_generators_batch_is_a_multiple(
    engine: Callable[..., Engine], objective: str, order: str
) -> None:
    """The critic sees 16 samples, the generator's loss 48, each with a label of the data."""
    built = engine(
        "dataset=digits", "model.filters=2", f"objective={objective}",
        "trainer.generator_batch_multiple=3", f"optimizer.order={order}",
    )  # fmt: skip
    task, sizes = built.game.objective, {}
    for player in ("critic", "generator"):
        function = getattr(task, f"{player}_loss")

        def counted(critic: Any, real: Any, fake: Any, *rest: Any, of=player, call=function) -> Any:
            sizes[of] = (len(real.x), len(fake.x))
            assert of == "critic" or torch.equal(real.y, real.y[:16].repeat(3))
            return call(critic, real, fake, *rest)

        setattr(task, f"{player}_loss", counted)
    built.train_step()
    assert sizes == {"critic": (16, 16), "generator": (48, 48)}

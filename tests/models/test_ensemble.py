"""Mixtures of generators and ensembles of critics: whose rows, and whose losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_runner.commands.sample import Chain, _follow, draw
from gan_runner.core import DataSpec, Latent
from gan_runner.models import ensemble
from gan_runner.objectives import losses
from gan_runner.objectives.losses import logistic_critic
from gan_runner.objectives.objective import Objective
from gan_runner.restore import TrainedModel
from gan_runner.training.engine import Engine
from gan_runner.training.game import critic_loss, differentiate
from gan_runner.training.loop import fit


class Shift(nn.Module):
    latent_dim, n_classes = 1, 3

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        labels = 0 if y is None else y[:, None]
        return z + self.by + labels


class Slope(nn.Module):
    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = w

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return self.w * x.squeeze(1)


def test_each_generator_makes_its_share() -> None:
    mixture = ensemble.Generator([Shift(10.0), Shift(20.0)])
    assert (mixture.latent_dim, mixture.n_classes) == (1, 3)
    z, y = torch.zeros(5, 1), torch.tensor([0, 1, 2, 0, 1])
    assert mixture(z).flatten().tolist() == [10, 20, 10, 20, 10]
    assert mixture(z, y).flatten().tolist() == [10, 21, 12, 20, 11]
    assert mixture(z[:1]).flatten().tolist() == [10]  # fewer rows than members


def test_a_loss_is_the_mean_of_the_critics_losses() -> None:
    critics = [Slope(2.0), Slope(-1.0)]
    r, f = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [-2.0]])
    together = ensemble.Critic(critics)
    apart = [logistic_critic(c(r), c(f)) for c in critics]
    torch.testing.assert_close(logistic_critic(together(r), together(f)), torch.stack(apart).mean())


def test_a_bayesian_run_has_members_with_priors_and_mixes_them(
    engine: Callable[..., Engine], tmp_path: Path
) -> None:
    built = engine(
        "dataset=gaussians8", "model=mlp", "model.width=8", "objective=bayesian", "trainer.steps=3",
        "objective.generators=4", "objective.critics=3",
    )  # fmt: skip
    assert len(built.nets.generator.members) == 4 and len(built.nets.critic.members) == 3
    first, second, *_ = built.nets.generator.members
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)
    real = built.stream.to_batch(*built.stream.next())
    latent = built.game.prior(len(real.x))
    _, logs = built.game.objective.generator_loss(
        built.game.critic, real, type(real)(built.nets.generator(latent.z), None, latent.z), built.game.generator
    )  # fmt: skip
    matrices = [p for p in built.nets.generator.parameters() if p.ndim > 1]
    expected = 1 / (2 * 100_000) * sum(p.square().sum() for p in matrices)
    torch.testing.assert_close(
        logs["loss/generator/prior"], expected
    )  # of the generator, not the critic
    fit(built, tmp_path)
    samples = torch.from_numpy(draw(tmp_path, 10))  # few, and still of all members
    noise = torch.randn(256, 2, generator=torch.Generator().manual_seed(0))[:10]
    with torch.no_grad():
        for k, member in enumerate(built.nets.generator_ema.members):
            torch.testing.assert_close(samples[k::4], member(noise[k::4]), rtol=1e-4, atol=1e-5)


def test_a_member_has_its_own_likelihood(engine: Callable[..., Engine]) -> None:
    """Its gradient is that of a critic alone: not a K-th of it, as of a mean over all."""
    command = (
        "dataset=gaussians8",
        "model=mlp",
        "model.width=8",
        "objective=bayesian",
        "objective.generators=1",
    )
    many, one = (engine(*command, f"objective.critics={k}") for k in (3, 1))
    one.nets.critic.load_state_dict(many.nets.critic.members[0].state_dict())
    real = many.stream.to_batch(*many.stream.next())
    fake = type(real)(torch.randn_like(real.x))
    gradients = [differentiate(critic_loss, t.game, "critic", real, fake)[1] for t in (many, one)]
    for mine, its in zip(gradients[0], gradients[1], strict=False):
        torch.testing.assert_close(mine, its)


def test_what_is_of_one_critic_is_refused_for_several(engine: Callable[..., Engine]) -> None:
    toy = ("dataset=gaussians8", "model=mlp", "model.width=8", "objective=bayesian")
    with pytest.raises(
        ValueError, match=r"objective\.critics=2 contradicts objective\.critic_terms\."
    ):
        engine(*toy, "+penalty=gradient_penalty")
    with pytest.raises(ValueError, match=r"objective\.critics=2 contradicts its average over all"):
        engine(
            *toy,
            "objective.critic_loss._target_=gan_runner.objectives.losses.relativistic_average_critic",
        )


class Plus(nn.Module):
    latent_dim = 1

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return z + 3


class Well(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return -((x - 4) / 0.5).square().sum(1) / 2


def test_langevin_in_the_energy_of_a_run() -> None:
    """G(z) = z + 3 and f(x) = -((x - 4) / 0.5)^2 / 2: the noise ends as N(1, 0.5^2).

    With its prior N(0, 1) the precision is 4 + 1 and the mean 4 / 5.
    """
    objective = Objective(
        critic_loss=losses.wasserstein_critic, generator_loss=losses.wasserstein_generator
    )
    players = TrainedModel(Plus(), Well(), objective, DataSpec("points", (1,)), torch.device("cpu"))
    for prior, mean, std in ((False, 1.0, 0.5), (True, 0.8, 0.2**0.5)):
        chain = Chain(150, 0.2, prior)
        ends = [
            _follow(chain, players, Latent(torch.zeros(500, 1)), seeds=(0, chunk, 1)).z
            for chunk in range(20)
        ]
        assert not torch.equal(ends[0], ends[1])
        z = torch.cat(ends)
        assert z.mean().item() == pytest.approx(mean, abs=0.02)
        assert z.std().item() == pytest.approx(std, rel=0.03)


def test_langevin_from_the_command(engine: Callable[..., Engine], tmp_path: Path) -> None:
    fit(
        engine(
            "dataset=gaussians8", "model=mlp", "model.width=8", "objective=meg", "trainer.steps=2"
        ),
        tmp_path,
    )
    plain, moved = draw(tmp_path, 300), draw(tmp_path, 300, chain=Chain(5, 0.1))
    assert (plain != moved).any() and (moved == draw(tmp_path, 300, chain=Chain(5, 0.1))).all()


def test_codes_are_chosen_one_by_one(engine: Callable[..., Engine], tmp_path: Path) -> None:
    built = engine("objective=infogan", "model.filters=4", "trainer.steps=2")
    fit(built, tmp_path)
    one, other = draw(tmp_path, 20, code=1), draw(tmp_path, 20, code=2)
    assert (one != other).any() and (one == draw(tmp_path, 20, code=1)).all()
    with pytest.raises(ValueError, match=r"--code 10: should be 0 to 9"):
        draw(tmp_path, 1, code=10)
    with pytest.raises(ValueError, match="--langevin: would overwrite the code in this run"):
        draw(tmp_path, 1, chain=Chain(1, 0.1))

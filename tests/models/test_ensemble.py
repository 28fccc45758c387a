"""Mixtures of generators and ensembles of critics: whose rows, and whose losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_runner.models import ensemble
from gan_runner.objectives.scores import logistic_critic
from gan_runner.sample import Chain, draw
from gan_runner.training.trainer import Trainer


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
    assert mixture(z).flatten().tolist() == [10, 10, 10, 20, 20]
    assert mixture(z, y).flatten().tolist() == [10, 11, 12, 20, 21]
    assert mixture(z[:1]).flatten().tolist() == [10]  # fewer rows than members


def test_a_loss_is_the_mean_of_the_critics_losses() -> None:
    critics = [Slope(2.0), Slope(-1.0)]
    r, f = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [-2.0]])
    together = ensemble.Critic(critics)
    apart = [logistic_critic(c(r), c(f)) for c in critics]
    torch.testing.assert_close(logistic_critic(together(r), together(f)), torch.stack(apart).mean())


def test_a_bayesian_run_has_members_with_priors_and_mixes_them(
    trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    built = trainer(
        "dataset=gaussians8", "model=mlp", "model.width=8", "objective=bayesian", "trainer.steps=3",
        "objective.generators=4", "objective.critics=3",
    )  # fmt: skip
    assert len(built.nets.generator.members) == 4 and len(built.nets.critic.members) == 3
    first, second, *_ = built.nets.generator.members
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)
    real = built.stream.serve(*built.stream.next())
    latent = built.game.prior(len(real.x))
    _, logs = built.game.objective.generator_loss(
        built.game.critic, real, type(real)(built.nets.generator(latent.z), None, latent.z), built.game.generator
    )  # fmt: skip
    matrices = [p for p in built.nets.generator.parameters() if p.ndim > 1]
    expected = 5e-5 * sum(p.square().sum() for p in matrices)
    torch.testing.assert_close(
        logs["loss/generator/prior"], expected
    )  # of the generator, not the critic
    built.fit(tmp_path)
    samples = draw(tmp_path, 256)
    noise = torch.randn(256, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parts = [
            m(z) for m, z in zip(built.nets.average.members, noise.tensor_split(4), strict=True)
        ]
    torch.testing.assert_close(torch.from_numpy(samples), torch.cat(parts), rtol=1e-4, atol=1e-5)


def test_langevin_climbs_the_critics_scores(
    trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    """Chains in exp(f(G(z))) end where the critic scores higher than where they began."""
    built = trainer(
        "dataset=gaussians8", "model=mlp", "model.width=32", "objective=meg", "trainer.steps=60",
        "optimizer.lr=2e-3",
    )  # fmt: skip
    built.fit(tmp_path)
    with torch.no_grad():
        before, after = (
            built.nets.critic(torch.from_numpy(draw(tmp_path, 512, chain=chain))).mean().item()
            for chain in (None, Chain(100, 0.1))
        )
    assert after > before + 0.1
    again = draw(tmp_path, 300, chain=Chain(100, 0.1))
    assert (again == draw(tmp_path, 300, chain=Chain(100, 0.1))).all()


def test_codes_are_chosen_one_by_one(trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    built = trainer("objective=infogan", "model.filters=4", "trainer.steps=2")
    built.fit(tmp_path)
    one, other = draw(tmp_path, 20, code=1), draw(tmp_path, 20, code=2)
    assert (one != other).any() and (one == draw(tmp_path, 20, code=1)).all()
    with pytest.raises(ValueError, match=r"--code 10: the codes of this generator are 0 to 9"):
        draw(tmp_path, 1, code=10)

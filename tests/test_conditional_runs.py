"""Labels from the data to both players, their pictures and their samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from eval_contexts import context_of
from omegaconf import DictConfig

from gan_runner.builder import build
from gan_runner.commands.sample import draw
from gan_runner.core import Batch, DataSpec, Latent, Nets, Snapshot
from gan_runner.metrics.critic import CriticOnHeldOut, partners
from gan_runner.objectives.priors import gaussian
from gan_runner.plots.samples import paint_classes
from gan_runner.training.engine import Engine
from gan_runner.training.game import Player
from gan_runner.training.loop import fit
from gan_runner.training.step import alternating

CONDITIONAL = (
    "model.filters=4", "model.generator.labels=embedding", "model.critic.labels=projection",
)  # fmt: skip


@pytest.mark.parametrize("norm", ["batch", "layer"])  # apart, and in one pass
def test_generated_samples_carry_the_labels_of_the_data(
    engine: Callable[..., Engine], norm: str
) -> None:
    """Otherwise a point between a real and a generated sample had two labels."""
    built = engine(*CONDITIONAL, f"model.generator.norm={norm}", "objective.n_critic=2")
    seen: list[tuple[Batch, Batch]] = []
    critic_loss = built.game.objective.critic_loss

    def spy(critic, real: Batch, fake: Batch):
        seen.append((real, fake))
        return critic_loss(critic, real, fake)

    built.game.objective.critic_loss = spy
    picks = built.next_batches()
    alternating(built.game, picks)
    assert len(seen) == 2
    for (real, fake), pick in zip(seen, picks, strict=True):
        assert torch.equal(real.y, built.stream.table.y[pick[0]])
        assert torch.equal(fake.y, real.y)
    different = [real.y for real, _ in seen]
    assert not torch.equal(*different)


def test_features_of_a_player_are_those_of_its_network(engine: Callable[..., Engine]) -> None:
    critic = engine(*CONDITIONAL).nets.critic
    x, y = torch.randn(4, 1, 8, 8), torch.arange(4)
    expected = critic.features(x, y)
    assert torch.equal(Player(critic).submodule("features", x, y), expected)
    doubled = {name: 2 * p.detach() for name, p in critic.named_parameters()}
    other = Player(critic).with_weights(doubled).submodule("features", x, y)
    with torch.no_grad():
        for p in critic.parameters():
            p.mul_(2)
    assert torch.equal(other, critic.features(x, y)) and not torch.equal(other, expected)


def test_the_held_out_estimate_uses_the_labels_of_either_side() -> None:
    class Labels(torch.nn.Module):
        def forward(self, x, y=None):
            return y.float()

    heldout = Batch(torch.randn(4, 1, 2, 2), torch.tensor([5, 5, 5, 9]))
    snapshot = Snapshot(
        Nets(torch.nn.Identity(), Labels(), torch.nn.Identity()),
        DataSpec("images", (1, 2, 2), n_classes=10),
        heldout,
        samples=torch.randn(6, 1, 2, 2),
        samples_ema=torch.randn(6, 1, 2, 2),
        noise=Latent(torch.zeros(6, 2), torch.tensor([1, 2, 3, 4, 5, 6])),
    )

    class Flat(Labels):
        def forward(self, x, y=None):
            return y.float() + 0 * x.sum((1, 2, 3))

    snapshot.nets.critic = Flat()
    values = CriticOnHeldOut(context_of(heldout.x, y=heldout.y))(snapshot)
    assert values["wasserstein/critic_heldout"] == pytest.approx(6.0 - 2.5)


@pytest.mark.usefixtures("small_grids")
def test_a_column_of_the_picture_is_a_class() -> None:
    labels = torch.arange(10).repeat(12)[torch.randperm(120)]
    shade = labels / 9 * 2 - 1  # a sample is as bright as its label
    images = shade.view(-1, 1, 1, 1).expand(-1, 1, 24, 24)
    snapshot = Snapshot(
        Nets(*[torch.nn.Identity()] * 3), DataSpec("images", (1, 24, 24), n_classes=10),
        Batch(images), samples=images, samples_ema=images, noise=Latent(labels[:, None], labels),
    )  # fmt: skip
    picture = paint_classes(snapshot, classes=labels)
    assert picture.shape == (10 * 26 + 2, 10 * 26 + 2, 3)
    for row in (0, 9):
        shades = [picture[14 + 26 * row, 14 + 26 * column, 0] for column in range(10)]
        assert shades == [round(255 * label / 9) for label in range(10)]


@pytest.mark.usefixtures("small_grids")
def test_a_class_that_is_rare_leaves_grey_cells() -> None:
    images = torch.ones(3, 1, 24, 24)
    snapshot = Snapshot(
        Nets(*[torch.nn.Identity()] * 3), DataSpec("images", (1, 24, 24), n_classes=2),
        Batch(images), samples=images, samples_ema=images, noise=Latent(torch.zeros(3, 2)),
    )  # fmt: skip
    picture = paint_classes(snapshot, classes=torch.tensor([0, 1, 0]))
    assert [picture[14, 14, 0], picture[14, 40, 0], picture[40, 40, 0]] == [255, 255, 128]


def test_a_conditional_run_is_sampled_by_label(
    engine: Callable[..., Engine], tmp_path: Path
) -> None:
    built = engine(*CONDITIONAL, "trainer.steps=2")
    fit(built, tmp_path)
    in_turn, fives = draw(tmp_path, 300, seed=1), draw(tmp_path, 300, seed=1, label=5)
    same = [k for k in range(300) if (in_turn[k] == fives[k]).all()]
    assert same == list(range(5, 300, 10))  # also beyond the first chunk of 256
    with pytest.raises(ValueError, match=r"--label 10: the labels of this generator are 0 to 9"):
        draw(tmp_path, 1, label=10)
    generator = built.nets.generator_ema
    noise = gaussian(
        256, 128, device=torch.device("cpu"), generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        expected = generator(*Latent(noise.z, torch.full((256,), 5)))
    torch.testing.assert_close(torch.from_numpy(fives[:256]), expected, rtol=1e-4, atol=1e-5)


def test_a_run_without_labels_has_none_to_ask_for(
    engine: Callable[..., Engine], tmp_path: Path
) -> None:
    fit(engine("model.filters=4", "trainer.steps=1"), tmp_path)
    with pytest.raises(ValueError, match=r"--label 0: .* none: it was trained without them"):
        draw(tmp_path, 1, label=0)


def test_labels_of_one_player_alone(engine: Callable[..., Engine]) -> None:
    words = r"model\.critic\.labels: the critic takes labels, .*model\.generator\.labels"
    with pytest.raises(ValueError, match=words):
        engine("model.filters=4", "model.critic.labels=projection")
    with pytest.warns(UserWarning, match=r"model\.generator\.labels has no effect"):
        engine("model.filters=4", "model.generator.labels=embedding")


def test_the_fixed_noise_has_labels_at_random(engine: Callable[..., Engine]) -> None:
    """Class counts vary as in samples of the data, so floors hold for conditional runs as well."""
    run = engine(*CONDITIONAL, "trainer.num_eval_samples=4000").runs[0]
    assert run.noise.y is not None and run.heldout.y is not None
    counts, heldout = (torch.bincount(y, minlength=10) for y in (run.noise.y, run.heldout.y))
    assert counts.sum() == 4000 and heldout.sum() == 359
    assert not torch.equal(run.noise.y[:359], run.heldout.y)
    # binomial with p near .1: a standard deviation of 19, so that five are 95
    assert 305 < counts.min() < counts.max() < 495 and len(set(counts.tolist())) > 5


def test_a_held_out_row_and_its_partner_have_one_label() -> None:
    """What lies between the two then has one label, as in training."""
    y, labels = torch.tensor([2, 0, 0, 1, 0]), torch.tensor([0, 2, 0, 3, 3])
    assert partners(y, labels).tolist() == [1, 0, 2, 3, 0]  # no sample has label 1
    assert partners(y, None) == partners(y, y) == slice(None)


def test_the_average_of_a_spectral_generator_has_its_norm(engine: Callable[..., Engine]) -> None:
    """The mean of unit vectors is shorter: averaged singular vectors gave norms of 13."""
    built = engine(
        "dataset=gaussians8", "model=mlp", "model.width=32", "model.generator.norm=spectral",
        "objective=ns_gan", "optimizer.lr=2e-3",
    )  # fmt: skip
    for _ in range(400):
        built.train_step()
    average = built.nets.generator_ema
    assert not any(module.training for module in average.modules())
    for module in average.modules():
        if isinstance(module, torch.nn.Linear):
            largest = torch.linalg.svdvals(module.weight)[0].item()
            assert largest == pytest.approx(1.0, abs=0.06)  # the iteration follows, a step behind


def test_what_cannot_be_stacked_is_refused(config: Callable[..., DictConfig]) -> None:
    with pytest.raises(ValueError, match=r"replicas=2: the critics differ in architecture"):
        build(
            config(
                "model=random", "model.filters=[4,6]", "model.seed=${seed}", "trainer.replicas=2"
            )
        )
    with pytest.raises(
        ValueError, match=r"model\.critic\.norm=spectral: not supported with replicas"
    ):
        build(config("model.filters=4", "model.critic.norm=spectral", "trainer.replicas=2"))


def test_minibatch_statistics_contradict_a_penalty(engine: Callable[..., Engine]) -> None:
    with pytest.raises(
        ValueError, match=r"model\.critic\.batch_statistics contradicts objective\."
    ):
        engine("model.filters=4", "model.critic.batch_statistics=stddev")
    for seed in range(6):  # a small weight of the statistic must not hide it
        built = engine(
            "model=mlp", "model.width=64", "model.critic.batch_statistics=stddev", "objective=ns_gan", f"seed={seed}"
        )  # fmt: skip
        assert not built.game.critic.is_per_sample  # real and generated samples are scored apart
        assert built.game.generator.is_per_sample

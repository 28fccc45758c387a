"""Terms of labels, codes and noise: by hand, against known information, and whom they reach."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import exp, isfinite, log, log1p, pi

import pytest
import torch
from torch import nn

from gan_runner.core import Batch
from gan_runner.models.heads import CodePosterior, StatisticsNetwork
from gan_runner.objectives.losses import logistic_critic
from gan_runner.objectives.mutual_information import (
    classification,
    code_information,
    feature_matching,
    noise_information,
)
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.priors import categories, gaussian, infogan_prior
from gan_runner.training.engine import Engine
from gan_runner.training.game import critic_loss, differentiate, generator_loss

CPU = torch.device("cpu")


class Parts:
    """A critic whose parts are given functions."""

    def __init__(self, **parts: Callable) -> None:
        self.parts = {"features": lambda x, y=None: x, **parts}

    def submodule(self, name: str, *inputs):
        return self.parts[name](*inputs)


def test_feature_matching_by_hand() -> None:
    real = Batch(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    fake = Batch(torch.tensor([[0.0, 1.0], [0.0, 3.0]]))
    # the means are (2, 4) and (0, 2)
    assert feature_matching(Parts(), real, fake, weight=0.5).item() == pytest.approx(0.5 * 8)


def test_covariance_matching_by_hand() -> None:
    real = Batch(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    fake = Batch(torch.tensor([[0.0, 1.0], [0.0, 3.0]], requires_grad=True))
    # deviations +-(1, 2) and +-(0, 1): covariances [[1, 2], [2, 4]] and [[0, 0], [0, 1]]
    apart = 1 + 4 + 4 + 9
    value = feature_matching(Parts(), real, fake, weight=0.5, covariance=0.1)
    assert value.item() == pytest.approx(0.5 * 8 + 0.1 * apart)
    alone = feature_matching(Parts(), real, fake, weight=0.0, covariance=1.0)
    (slope,) = torch.autograd.grad(alone, fake.x)
    # d|C - F|^2 / dF = 2 (F - C), dF / dh_i = (d_i e' + e d_i') / 2: slope_i = 2 (F - C) d_i
    expected = torch.tensor([[4.0, 6.0], [-4.0, -6.0]])
    torch.testing.assert_close(slope, expected)
    with pytest.raises(ValueError, match="the generator has nothing to minimise"):
        term = partial(feature_matching, weight=0.0, covariance=0.0)
        Objective(critic_loss=logistic_critic, generator_loss=None, generator_terms={"m": term})


def test_equal_means_and_other_covariances(engine: Callable[..., Engine]) -> None:
    """Only with the covariances does the generator get a gradient from a spread that is wrong."""
    key = "objective.generator_terms.feature_matching.covariance"
    built = engine("objective=feature_matching", "dataset=gaussians8", "model=mlp",
                   "model.width=16", f"{key}=2.0")  # fmt: skip
    (logs,) = built.train_step()
    plain = engine(
        "objective=feature_matching", "dataset=gaussians8", "model=mlp", "model.width=16"
    )
    (without,) = plain.train_step()
    assert logs["loss/critic"].equal(without["loss/critic"])
    assert logs["loss/generator/feature_matching"] > without["loss/generator/feature_matching"]
    h = torch.randn(64, 3)
    h = h - h.mean(0)
    for spread, covariance in ((1.0, 0.0), (1.0, 1.0), (0.5, 0.0), (0.5, 1.0)):
        fake = Batch(spread * h)
        value = feature_matching(Parts(), Batch(h), fake, covariance=covariance)
        assert (value.item() > 1e-3) == (spread != 1 and covariance > 0)


def test_classification_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    critic = Parts(classifier=lambda h: logits)
    batch = Batch(torch.zeros(2, 1), torch.tensor([0, 0]))
    losses = log1p(exp(-2)), log1p(exp(1))  # -log softmax
    mean = sum(losses) / 2
    for of, expected in (("real", mean), ("fake", mean), ("both", 2 * mean)):
        assert classification(critic, batch, batch, weight=3.0, of=of).item() == pytest.approx(
            3 * expected
        )


def test_coded_noise() -> None:
    z, y = infogan_prior(20_000, 10, CPU, categorical=4, continuous=2)
    assert y is None and z.shape == (20_000, 10)
    assert torch.equal(z[:, :4].sum(1), torch.ones(20_000)) and z[:, :4].unique().tolist() == [0, 1]
    torch.testing.assert_close(z[:, :4].mean(0), torch.full((4,), 0.25), atol=0.01, rtol=0)
    assert z[:, 4:6].abs().max() <= 1
    assert z[:, 4:6].var(0).mean().item() == pytest.approx(1 / 3, rel=0.03)  # of U[-1, 1]
    assert z[:, 6:].var(0).mean().item() == pytest.approx(1.0, rel=0.03)
    with pytest.raises(ValueError, match=r"model\.latent_dim=5: the code alone takes 6"):
        infogan_prior(1, 5, CPU, categorical=4, continuous=2)
    from functools import partial

    assert categories(partial(infogan_prior, categorical=4)) == 4 and categories(gaussian) == 0


def test_information_by_hand() -> None:
    """L_I = H(c) + E log Q: all of it where Q knows, at most 0 where it guesses."""
    z = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, -0.5]])
    fake = Batch(torch.zeros(2, 1), None, z)

    def bound(logits: torch.Tensor, mean: torch.Tensor, log_std: float) -> tuple[float, float]:
        critic = Parts(code=lambda h: (logits, mean, torch.full((2, 1), log_std)))
        total, logs = code_information(critic, fake, fake, categorical=2.0, continuous=3.0)
        discrete, smooth = (
            logs["information/categorical"].item(),
            logs["information/continuous"].item(),
        )
        assert total.item() == pytest.approx(-2 * discrete - 3 * smooth, rel=1e-5)
        return discrete, smooth

    knows = bound(50 * z[:, :2], z[:, 2:], 0.0)
    assert knows[0] == pytest.approx(log(2))
    assert knows[1] == pytest.approx(log(2) - 0.5 * log(2 * pi))
    guesses = bound(torch.zeros(2, 2), torch.zeros(2, 1), -1.0)
    assert guesses[0] == pytest.approx(0.0, abs=1e-6)
    assert guesses[1] == pytest.approx(log(2) - 0.5 * (0.5 * exp(1)) ** 2 + 1 - 0.5 * log(2 * pi))


def test_the_bound_reaches_the_information_of_a_channel() -> None:
    """x is the code c of four, replaced by another one with probability 0.3: I(c; x) is known."""
    torch.manual_seed(0)
    z, _ = infogan_prior(20_000, 4, CPU, categorical=4, continuous=0)
    c = z.argmax(1)
    other = (c + torch.randint(1, 4, c.shape)) % 4
    x = torch.where(torch.rand(len(c)) < 0.3, other, c)
    known = log(4) + 0.7 * log(0.7) + 0.3 * log(0.1)
    posterior = CodePosterior(4, 4, None, categorical=4, continuous=0, width=16)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(posterior.parameters(), lr=0.02)
    critic, fake = Parts(code=posterior), Batch(torch.eye(4)[x], None, z)
    for _ in range(150):
        loss, logs = code_information(critic, fake, fake)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert logs["information/categorical"].item() == pytest.approx(known, abs=0.01)


def test_noise_information_of_independent_and_of_equal_pairs() -> None:
    """0 for pairs that tell nothing; 2 log 2 at most, where T tells them all apart."""
    z = torch.randn(64, 2)
    fake = Batch(torch.randn(64, 2), None, z)
    total, logs = noise_information(Parts(pairs=lambda h, z: torch.zeros(len(z))), fake, fake)
    assert total.item() == pytest.approx(2 * log(2)) and logs["information/noise"].item() == 0
    fake = Batch(z.clone(), None, z)
    sure = Parts(pairs=lambda h, z: 50 - 1e4 * (h - z).square().sum(1))
    total, logs = noise_information(sure, fake, fake, weight=2.0)
    assert total.item() == pytest.approx(0.0, abs=1e-5)
    assert logs["information/noise"].item() == pytest.approx(2 * log(2), abs=1e-5)


def test_noise_information_learns_to_tell_pairs() -> None:
    torch.manual_seed(0)
    z = torch.randn(512, 1)
    pairs = StatisticsNetwork(1, 1, None, width=64)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(pairs.parameters(), lr=0.01)
    found = {}
    for name, x in (("same", z), ("other", torch.randn(512, 1))):
        critic, fake = Parts(pairs=pairs), Batch(x, None, z)
        for _ in range(200):
            loss, logs = noise_information(critic, fake, fake)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found[name] = logs["information/noise"].item()
    assert found["same"] > 0.8 > 0.2 > found["other"]


def gradient_norms(engine: Engine, module: str, side: str) -> float:
    """Of the loss of one side in a module of the critic or, for "generator", in the generator."""
    torch.manual_seed(3)  # the noise is the same for all
    game, nets = engine.game, engine.nets
    real = engine.stream.to_batch(*engine.stream.next())
    latent = game.prior(len(real.x))._replace(y=real.y)
    fake = Batch(nets.generator(*latent).detach(), latent.y, latent.z)
    loss = critic_loss if side == "critic" else generator_loss
    inputs = (real, fake) if side == "critic" else (real, latent)
    _, gradients = differentiate(loss, game, side, *inputs)
    network = nets.critic if side == "critic" else nets.generator
    named = zip(network.named_parameters(), gradients, strict=True)
    return sum(g.norm().item() for (name, _), g in named if name.startswith(module))


def test_infogans_information_reaches_q_and_g(engine: Callable[..., Engine]) -> None:
    """Against the same run without it: Q learns from the critic's loss, G from its own."""
    off = (
        "objective.critic_terms.code_information.categorical=0",
        "objective.critic_terms.code_information.continuous=0",
    )
    on = engine("objective=infogan", "model.filters=4")
    without = engine("objective=infogan", "model.filters=4", *off)
    assert gradient_norms(on, "code", "critic") > 0 == gradient_norms(without, "code", "critic")
    off = [term.replace("critic_terms", "generator_terms") for term in off]
    without, again = (engine("objective=infogan", "model.filters=4", *o) for o in (off, ()))
    one, other, same = (gradient_norms(t, "", "generator") for t in (on, without, again))
    assert abs(one - other) > 0.01 * other > 0 and same == one


def test_megs_information_leaves_the_energy_alone(engine: Callable[..., Engine]) -> None:
    """In the critic's loss it trains T, and moves no weight of the energy."""
    node = "objective.critic_terms.noise_information"
    on, trained = (
        engine("objective=meg", "model.filters=4", f"{node}.train_features={flag}")
        for flag in ("false", "true")
    )
    off = engine(
        "objective=meg",
        "model.filters=4",
        f"{node}.weight=0",
        "objective.generator_terms.noise_information.weight=1",
    )
    torch.manual_seed(0)
    norms = []
    for built in (on, trained, off):
        torch.manual_seed(3)
        norms.append(gradient_norms(built, "features", "critic"))
    assert norms[0] == pytest.approx(norms[2], rel=1e-5) and norms[1] != pytest.approx(
        norms[0], rel=1e-3
    )
    assert gradient_norms(on, "pairs", "critic") > 0 == gradient_norms(off, "pairs", "critic")


def test_a_term_of_labels_needs_labels(engine: Callable[..., Engine]) -> None:
    with pytest.raises(
        ValueError, match=r"objective\.critic_terms\.classification needs samples with labels"
    ):
        engine("objective=acgan", "model.filters=4", "model.generator.labels=none")


def test_a_head_needs_features() -> None:
    from gan_runner.config.compatibility import check_features
    from gan_runner.objectives import losses
    from gan_runner.objectives.objective import Objective

    objective = Objective(
        critic_loss=losses.logistic_critic, generator_loss=None,
        generator_terms={"matching": feature_matching},
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=r"generator_terms\.matching needs .* Linear has no module `features`"
    ):
        check_features(objective, nn.Linear(2, 1))
    with pytest.raises(ValueError, match="the generator has nothing to minimise"):
        Objective(critic_loss=losses.logistic_critic, generator_loss=None)


def test_what_does_not_fit_together_is_refused(engine: Callable[..., Engine]) -> None:
    small = ("model.filters=4",)
    for words, overrides in {
        "the critic receives the label that it should predict": ("objective=acgan", "model.critic.labels=projection"),
        r"needs a network; set objective\.heads\.pairs": ("objective=meg", "objective.heads=null"),
        r"heads\.code\.categorical=5: the code of objective\.prior has 10": (
            "objective=infogan", "objective.heads.code.categorical=5",
        ),
        r"objective\.constraint bounds all weights of the critic": (
            "objective=infogan", "+objective.constraint={_target_: gan_runner.objectives.constraints.clip_weights, _partial_: true}",
        ),
        r"objective\.prior\.continuous=-1": ("objective=infogan", "objective.prior.continuous=-1"),
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=words):
            engine(*small, *overrides)


def test_labels_and_codes_together(engine: Callable[..., Engine]) -> None:
    labels = ("model.generator.labels=embedding", "model.critic.labels=concatenation")
    built = engine("objective=infogan", "model.filters=4", *labels)
    (logs,) = built.train_step()
    information = logs["information/categorical"].item()
    assert isfinite(information) and information <= log(10)  # I(c; x) <= H(c), ten categories


def test_weights_of_zero_are_absence(engine: Callable[..., Engine]) -> None:
    """Neither computed nor logged, and no reason to leave the critic's norm out."""
    r1 = "+objective.critic_terms.r1={_target_: gan_runner.objectives.penalties.r1, _partial_: true, weight: 0}"
    one, other = (engine("objective=ns_gan", "model.filters=4", *more) for more in ((r1,), ()))
    assert str(one.nets.critic) == str(other.nets.critic) and "BatchNorm" in str(one.nets.critic)
    off = [f"objective.critic_terms.code_information.{k}=0" for k in ("categorical", "continuous")]
    objective = engine("objective=infogan", "model.filters=4", *off).game.objective
    assert not objective.critic_terms and not objective.generator_terms

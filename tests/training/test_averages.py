"""Averages of the generator against closed forms, several at once, and sampled by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gan_runner.commands.sample import draw, main
from gan_runner.restore import load
from gan_runner.runs.checkpoint import checkpoint_path, load_checkpoint
from gan_runner.training.ema import EMA, AveragingRule, Exponential, HalfLife, Uniform, ema_of
from gan_runner.training.loop import fit

TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "objective=gan", "metrics=none",
       "plots=none")  # fmt: skip


def follow(rule: AveragingRule, values: list[float], *, start: float = 0.0) -> list[float]:
    """Return the average of a weight after each of its values."""
    average, tensor = torch.tensor([start]), torch.zeros(1)
    ema, averages = EMA([average], [tensor], decay=rule), []
    for step, value in enumerate(values):
        tensor.fill_(value)
        ema.set_step(step)
        ema.update()
        averages.append(average.item())
    return averages


def test_after_a_half_life_the_start_weighs_one_half() -> None:
    rule = HalfLife(images=640.0, batch_size=64, rampup=None)
    averages = follow(rule, [0.0] * 20, start=1.0)
    assert averages[9] == pytest.approx(0.5, rel=1e-5)
    assert averages[19] == pytest.approx(0.25, rel=1e-5)


def test_a_young_average_has_a_short_half_life() -> None:
    """StyleGAN2's ramp-up: after n images the half-life is 0.05 n, at most that of the key."""
    rule = HalfLife(images=1000.0, batch_size=64, rampup=0.05)
    assert rule(0) == 0.0
    assert rule(10) == pytest.approx(0.5 ** (64 / 32))
    assert rule(100) == pytest.approx(0.5 ** (64 / 320))
    assert rule(10_000) == rule(100_000) == pytest.approx(0.5 ** (64 / 1000))


@pytest.mark.parametrize(
    "rule",
    [
        Exponential(start=3),
        HalfLife(start=3, images=500.0, rampup=None),
        Uniform(start=3),
    ],
)
def test_an_average_that_starts_later_is_a_copy_until_then(rule: AveragingRule) -> None:
    values = [1.0, -2.0, 5.0, 4.0, 0.0]
    averages = follow(rule, values, start=9.0)
    assert averages[:3] == values[:3]
    assert averages[4] not in (values[4], averages[3])


def test_a_uniform_average_is_the_arithmetic_mean() -> None:
    values = torch.randn(50, dtype=torch.float64).tolist()
    averages = follow(Uniform(), values, start=9.0)
    for count in (1, 2, 7, 50):
        assert averages[count - 1] == pytest.approx(np.mean(values[:count]), abs=1e-6)
    late = follow(Uniform(start=10), values, start=9.0)
    assert late[-1] == pytest.approx(np.mean(values[10:]), abs=1e-6)


def test_a_number_is_an_exponential_average_as_before() -> None:
    values = torch.randn(30).tolist()
    assert follow(Exponential(decay=0.9), values) == follow(0.9, values)  # type: ignore[arg-type]
    average, expected = 0.0, []
    for step, value in enumerate(values):
        d = min(0.9, (1 + step) / (10 + step))
        average = d * average + (1 - d) * value
        expected.append(average)
    assert follow(Exponential(decay=0.9), values) == pytest.approx(expected, abs=1e-5)


def test_a_network_of_the_mean_has_the_mean_of_the_weights() -> None:
    network, average = nn.Linear(2, 2), nn.Linear(2, 2)
    ema, weights = ema_of(average, network, decay=Uniform()), []
    for step in range(5):
        nn.init.normal_(network.weight)
        weights.append(network.weight.detach().clone())
        ema.set_step(step)
        ema.update()
    torch.testing.assert_close(average.weight.detach(), torch.stack(weights).mean(0))


def test_a_weight_on_the_device_takes_the_same_steps() -> None:
    """A captured graph reads 1 - d from the device; here that tensor is on the CPU."""
    averages = [nn.Linear(8, 8), nn.Linear(8, 8)]
    averages[1].load_state_dict(averages[0].state_dict())
    network = nn.Linear(8, 8)
    by_float, by_tensor = (ema_of(average, network, decay=0.9) for average in averages)
    by_tensor.weight = torch.zeros(())
    for step in range(30):
        nn.init.normal_(network.weight)
        for ema in (by_float, by_tensor):
            ema.set_step(step)
            ema.update()
    assert torch.equal(averages[0].weight, averages[1].weight)
    assert not torch.equal(averages[0].weight, network.weight)


def test_the_iteration_that_is_captured_moves_the_averages(engine: Callable[..., Any]) -> None:
    built = engine(*TOY, "+average=[exponential,uniform]")
    before = [next(average.parameters()).clone() for average in built.average_networks]
    for ema in built.game.averages:
        ema.set_step(0)
    built.iteration(built.game, built.next_batches())
    weight = next(built.nets.generator.parameters())
    for average, old, d in zip(
        built.average_networks, before, (0.1, 0.0), strict=True
    ):  # 1/10 and 0/1
        moved = next(average.parameters())
        assert not torch.equal(moved, old)
        torch.testing.assert_close(moved, torch.lerp(old, weight, 1 - d))


def test_several_averages_are_saved_and_sampled_by_name(
    engine: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = engine(*TOY, "+average=[half_life,uniform]", "averages.half_life.images=100",
                   "trainer.steps=6", "optimizer.lr=1e-2")  # fmt: skip
    weights: list[torch.Tensor] = []
    update = built.game.averages[1].update

    def noted() -> None:
        weights.append(next(built.nets.generator.parameters()).detach().clone())
        update()

    built.game.averages[1].update = noted
    fit(built, tmp_path)
    state = load_checkpoint(checkpoint_path(tmp_path, 6))
    assert set(state["averages"]) == {"uniform"}  # the first is "average", as it always was
    first = next(iter(state["averages"]["uniform"].values()))
    torch.testing.assert_close(first, torch.stack(weights).mean(0))
    draws = {
        name: draw(tmp_path, 5, average=name, device="cpu") for name in ("half_life", "uniform")
    }
    assert (draws["half_life"] == draw(tmp_path, 5, device="cpu")).all()
    assert not np.allclose(draws["uniform"], draws["half_life"], atol=1e-3)
    generator = load(tmp_path, average="uniform", device="cpu").generator
    assert torch.equal(next(generator.parameters()), first)
    out = tmp_path / "samples.npz"
    main(
        [
            str(tmp_path),
            "--average",
            "uniform",
            "--count",
            "5",
            "--out",
            str(out),
            "--device",
            "cpu",
        ]
    )
    assert (np.load(out)["samples"] == draws["uniform"]).all()
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--average", "swa", "--out", str(out), "--device", "cpu"])
    problem = "--average swa: no such average; choose one of: half_life, uniform"
    assert problem in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--average", "uniform", "--raw", "--out", str(out)])
    assert "contradicts --raw" in capsys.readouterr().err


def test_without_a_name_the_average_is_that_of_the_trainer(
    engine: Callable[..., Any], tmp_path: Path
) -> None:
    built = engine(*TOY, "trainer.steps=3")
    assert built.game.averages[0].rule == Exponential(decay=0.999) and len(built.game.averages) == 1
    fit(built, tmp_path)
    assert "averages" not in load_checkpoint(checkpoint_path(tmp_path, 3))
    assert (draw(tmp_path, 5, average="ema", device="cpu") == draw(tmp_path, 5, device="cpu")).all()


def test_a_named_exponential_average_takes_the_steps_of_the_trainers(
    engine: Callable[..., Any],
) -> None:
    one, other = engine(*TOY), engine(*TOY, "+average=[exponential,uniform]")
    for built in (one, other):
        torch.manual_seed(1)
        for _ in range(4):
            built.train_step()
    a, b = (built.nets.generator_ema.state_dict() for built in (one, other))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_only_a_rule_is_an_average(engine: Callable[..., Any]) -> None:
    node = "{_target_: gan_runner.training.settings.Settings}"
    with pytest.raises(ValueError, match=r"averages may name gan_runner\.training\.ema"):
        engine(*TOY, f"+averages.mine={node}")

"""The group `penalty`: any term on any objective, one or several, from the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from gan_runner.config.compose import config_dir
from gan_runner.config.validate import validate
from gan_runner.training.engine import Engine

Config = Callable[..., DictConfig]
NAMES = sorted(path.stem for path in (config_dir() / "penalty").glob("*.yaml"))
TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "model.init=he")  # slopes above 1


def terms(config: Config, *overrides: str) -> dict[str, dict[str, object]]:
    return validate(config(*overrides))["objective"]["critic_terms"]


@pytest.mark.parametrize("name", NAMES)
def test_every_penalty_is_a_term_that_trains(
    engine: Callable[..., Engine], config: Config, name: str
) -> None:
    (term,) = terms(config, "objective=hinge", f"+penalty={name}").values()
    assert term["_target_"] == f"gan_runner.objectives.penalties.{name}"
    (logs,) = engine(*TOY, "objective=hinge", f"+penalty={name}").train_step()
    assert logs[f"loss/{name}"] > 0
    assert float(logs["loss/critic"]) > float(logs[f"loss/{name}"]) - 1e-6  # hinge is not negative


def test_the_weight_of_one(config: Config) -> None:
    assert terms(config, "objective=hinge", "+penalty=r1")["r1"]["weight"] == 10.0
    assert (
        terms(config, "objective=hinge", "+penalty=r1", "penalty.weight=3")["r1"]["weight"] == 3.0
    )
    assert (
        terms(config, "objective=hinge", "+penalty=r1", "penalty.r1.weight=2")["r1"]["weight"]
        == 2.0
    )
    assert terms(config, "objective=hinge", "+penalty=r1", "penalty.weight=0")["r1"]["weight"] == 0


def test_several_have_weights_of_their_own(config: Config) -> None:
    found = terms(config, "objective=ns_gan", "+penalty=[r1,weight_decay]", "penalty.r1.weight=5")
    assert {name: term["weight"] for name, term in found.items()} == {
        "r1": 5.0,
        "weight_decay": 1e-3,
    }


def test_an_objective_keeps_its_own_terms(config: Config) -> None:
    found = terms(config, "objective=wgan_gp", "+penalty=r2", "penalty.weight=1")
    assert {name: term["weight"] for name, term in found.items()} == {
        "gradient_penalty": 10.0,
        "r2": 1.0,
    }


def test_norms_follow_the_penalty(engine: Callable[..., Engine]) -> None:
    """As for an objective's own terms: no batch norm by itself, and an error where it is asked for."""
    plain, penalised = (
        engine("model.filters=4", "objective=ns_gan", *more) for more in ((), ("+penalty=r1",))
    )
    assert "BatchNorm" in str(plain.nets.critic) and "BatchNorm" not in str(penalised.nets.critic)
    with pytest.raises(ValueError, match=r"model\.critic\.norm=batch"):
        engine("model.filters=4", "objective=ns_gan", "+penalty=r1", "model.critic.norm=batch")


def test_nothing_of_the_group_is_saved(config: Config) -> None:
    assert "penalty" not in validate(config("objective=hinge", "+penalty=r1"))

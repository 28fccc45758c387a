"""The records of metric tags: one for each tag that the package logs."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest
from omegaconf import DictConfig

from gan_runner.builder import build
from gan_runner.config.compose import config_dir
from gan_runner.runs.tags import DECIDING, RAW, TAGS, columns, deciding, record_of
from gan_runner.training.engine import Engine

OBJECTIVES = sorted(path.stem for path in (config_dir() / "objective").glob("*.yaml"))
ALL_OF = {
    "gaussians8": [r.pattern for r in TAGS if r.pattern.startswith(("modes/", "jsd/grid"))],
    "digits": [
        r.pattern
        for r in TAGS
        if r.pattern.startswith("images/") and r.pattern not in ("images/fid", "images/kid")
    ],  # those two are Inception's
}  # what each kind of data is measured by, and the other one is not


def patterns_of(tag: str) -> list[str]:
    bare = tag.removesuffix(RAW)
    return [record.pattern for record in TAGS if fnmatchcase(bare, record.pattern)]


@pytest.mark.parametrize("data", ["gaussians8", "digits"])
def test_every_measured_tag_has_one_record_that_agrees_with_its_provenance(
    data: str, config: Callable[..., DictConfig]
) -> None:
    cfg = config(f"dataset={data}", "model=mlp", "model.width=8", "metrics=full", "plots=none",
                 "objective=gan", "device=cpu", "trainer.steps=1")  # fmt: skip
    engine = build(cfg)
    assert isinstance(engine, Engine)
    provenances = {
        tag: provenance
        for its in engine.runs[0].metrics
        for tag, provenance in its.provenance.items()
    }
    assert len(provenances) > 10
    assert set(ALL_OF[data]) <= {pattern for tag in provenances for pattern in patterns_of(tag)}
    for tag, provenance in provenances.items():
        assert len(patterns_of(tag)) == 1, tag
        record = record_of(tag)
        if not tag.endswith("_floor"):
            assert provenance.get("better", record.better) == record.better, tag
        assert provenance.get("beside", "") == record.chart, tag


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_logged_tag_has_one_record(objective: str, config: Callable[..., DictConfig]) -> None:
    engine = build(
        config(f"objective={objective}", "dataset=digits", "model=dcgan", "metrics=none",
               "plots=none", "device=cpu")
    )  # fmt: skip
    bounded = {"wgan", "wgan_gp", "wgan_lp", "wgan_frobenius", "sn_gan"}
    tag = "wasserstein/critic" if objective in bounded else "critic/gap"
    assert engine.game.objective.critic_tag == tag and tag in engine.game.objective.tags
    tags = [
        *engine.game.objective.tags,
        "grad_norm/critic",
        "speed/steps_per_second",
        "health/state",
    ]
    assert {tag: len(patterns_of(tag)) for tag in tags} == dict.fromkeys(tags, 1)


def test_a_card_describes_a_tag_without_a_record() -> None:
    assert record_of("mine/value").better == "lower"
    own = record_of("mine/value", {"better": "higher", "beside": "mine/other"})
    assert (own.better, own.chart, own.is_training) == ("higher", "mine/other", False)
    assert record_of("critic/mine").is_training


def test_only_tags_with_a_direction_have_a_best() -> None:
    directed = [
        t for t in ("jsd/probe", "images/recall", "speed/x") if record_of(t).better != "neither"
    ]
    assert directed == ["jsd/probe", "images/recall", "speed/x"]
    for tag in (
        "loss/critic",
        "grad_norm/critic",
        "lipschitz/lower",
        "jsd/grid_floor",
        "critic/gap",
    ):
        assert record_of(tag).better == "neither", tag
    assert record_of("coverage/support_floor", {"better": "higher"}).better == "neither"


def test_defaults() -> None:
    assert columns() == (
        "images/fid", "images/frechet", "modes/found", "wasserstein/exact", "jsd/probe",
    )  # fmt: skip
    assert deciding(["loss/critic"]) is None and deciding(["jsd/probe"]) == "jsd/probe"
    default = ["jsd/probe", "wasserstein/exact", "wasserstein/sliced", "wasserstein/critic"]
    assert deciding(default) == "wasserstein/sliced"
    assert deciding([*default, "jsd/grid"]) == "jsd/grid"
    assert deciding([*default, "images/classifier_score"]) == "images/classifier_score"
    assert deciding([*default, "images/classifier_score", "images/frechet"]) == "images/frechet"
    assert all(record_of(tag).better != "neither" for tag in DECIDING)
    assert all(record.meaning for record in TAGS)

"""The records of metric tags: one for each tag that the package logs."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest
from omegaconf import DictConfig

from gan_runner.builder import build
from gan_runner.runs.tags import RAW, TAGS, columns, deciding, record_of
from gan_runner.train import config_dir
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
def test_every_measured_tag_has_one_record_that_agrees_with_its_card(
    data: str, config: Callable[..., DictConfig]
) -> None:
    cfg = config(f"dataset={data}", "model=mlp", "model.width=8", "metrics=full", "plots=none",
                 "objective=gan", "device=cpu", "trainer.steps=1")  # fmt: skip
    engine = build(cfg)
    assert isinstance(engine, Engine)
    cards = {tag: card for its in engine.runs[0].metrics for tag, card in its.provenance.items()}
    assert len(cards) > 10
    assert set(ALL_OF[data]) <= {pattern for tag in cards for pattern in patterns_of(tag)}
    for tag, card in cards.items():
        assert len(patterns_of(tag)) == 1, tag
        record = record_of(tag)
        assert card.get("better", "lower") == record.better, tag
        assert card.get("beside", "") == record.chart, tag


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_logged_tag_has_one_record(objective: str, config: Callable[..., DictConfig]) -> None:
    engine = build(
        config(f"objective={objective}", "dataset=digits", "model=dcgan", "metrics=none",
               "plots=none", "device=cpu")
    )  # fmt: skip
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


def test_defaults() -> None:
    assert columns() == ("wasserstein/critic_heldout", "jsd/probe")
    assert deciding(["loss/critic"]) is None and deciding(["jsd/probe"]) == "jsd/probe"
    assert all(record.meaning for record in TAGS)

"""A key that nothing reads is refused; a helper key counts if an interpolation names it."""

from __future__ import annotations

import random

import pytest
from covering import some

from gan_runner.config.compose import config_dir
from gan_runner.config.validate import validate

REFUSED = {
    "+optimizer.schedule=cosine": r"optimizer\.schedule: no such key; did you mean schedule\?",
    "+optimizer.warmup=100": r"optimizer\.warmup: no such key; nothing reads it; optimizer has lr",
    "+optimizer.generator_lr=5e-5": r"generator_lr: no such key; did you mean optimizer\.generator\.lr\?",
    "+model.dropout=0.5": r"model\.dropout: no such key; nothing reads it; model has latent_dim",
    "+model.fliters=8": r"model\.fliters: no such key; did you mean model\.filters\?",
    "+model.extra={width: 3}": r"model\.extra\.width: no such key; nothing reads it",
    "+metrics.foo=1": r"metrics\.foo: no such key; nothing reads it; metrics has critic",
    "+metrics.foo={}": r"metrics\.foo: no such key",
    "+plots.foo=[1,2]": r"plots\.foo: no such key",
    "+schedule.foo=1": r"schedule\.foo: no such key; nothing reads it; schedule has critic, generator",
    "+limits.foo=1": r"limits\.foo: no such key",
    "+averages.foo=1": r"averages\.foo: no such key",
    "+penalty.foo=1": r"penalty\.foo: no such key",
    "+mine.foo=1": r"mine: no such key",
}


@pytest.mark.parametrize("override", REFUSED)
def test_a_key_that_nothing_reads(config, override: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[override]) as error:
        validate(config(override))
    assert len(str(error.value).splitlines()) == 1


GROUPS = (
    "dataset", "model", "objective", "optimizer", "schedule", "limits", "metrics", "plots", "trainer",
    "health", "averages",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_a_random_key_of_a_random_group(config, seed: int) -> None:
    choose = random.Random(seed)
    group, value = (
        choose.choice(GROUPS),
        choose.choice(["1", "0.5", "text", "[1]", "{a: 1}", "true"]),
    )
    options = sorted(
        p.stem
        for p in (config_dir() / group).glob("*.yaml")
        if p.stem not in ("game", "image_folder")
    )
    option = [f"{group}={choose.choice(options)}"] if options else []
    name = "".join(choose.choices("bcdfghjk", k=6))
    with pytest.raises(ValueError, match=rf"^{group}\.{name}\S*: no such key"):
        validate(config(*option, f"+{group}.{name}={value}"))


NAMED = {
    "absolute": ("+model.size=8", "model.filters=${model.size}"),
    "relative": ("+model.size=8", "model.filters=${.size}"),
    "select": ("+model.size=8", "model.filters=${oc.select:model.size,3}"),
    "top level": ("+size=8", "model.filters=${size}"),
    "a group of one's own": ("+mine={size: 8}", "model.filters=${mine.size}"),
    "by another helper": ("+size=8", "+model.other=${size}", "model.filters=${model.other}"),
    "nested": ("+which=size", "+model.size=8", "model.filters='${model.${which}}'"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_helper_that_an_interpolation_names(config, name: str) -> None:
    tree = validate(config(*NAMED[name]))
    assert tree["model"]["critic"]["filters"] == tree["model"]["generator"]["filters"] == 8
    assert (
        set(tree["model"]) == {"generator", "critic"} and "size" not in tree and "mine" not in tree
    )


def test_a_part_that_is_left_out(config) -> None:
    tree = validate(config("metrics.probe=null", "schedule=cosine", "schedule.generator=null"))
    assert "probe" not in tree["metrics"] and set(tree["schedule"]) == {"critic"}


NEEDED = {"image_folder": ["dataset.path=x"], "points": ["dataset.path=x.npy"],
          "figure2": ["dataset.path=x"], "game": ["model=point_and_slope"],
          "robustness_paper": ["dataset.path=x"]}  # fmt: skip
CARDS = sorted(
    path.relative_to(config_dir()).with_suffix("")
    for path in config_dir().rglob("*/*.yaml")
    if path.parent.name != "base"
)


@pytest.mark.parametrize("card", some(CARDS, one_in=2), ids=str)
def test_every_card_passes(config, card) -> None:
    group, _, option = str(card).partition("/")
    plus = "+" if group in ("penalty", "average", "augmentation") else ""
    needed = ["objective=r3gan"] if group == "schedule" and option == "r3gan" else []
    words = (f"{plus}{group}={option}", *NEEDED.get(option, ()), *needed)
    assert validate(config(*words))["trainer"]

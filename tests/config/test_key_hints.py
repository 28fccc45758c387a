"""A key, an option or a group that does not exist: the line names what was meant, for all groups."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from covering import some
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import gan_runner
from gan_runner.config.compose import config_dir
from gan_runner.config.errors import explain
from gan_runner.config.key_hints import groups_listed
from gan_runner.config.words import nearest

GROUPS = sorted(path.name for path in config_dir().iterdir() if path.is_dir())
LISTED = groups_listed([config_dir()])
ADDED = sorted({*GROUPS} - {*LISTED})
OPTIONS = {g: sorted(p.stem for p in (config_dir() / g).glob("*.yaml")) for g in GROUPS}
CHOSEN = {group: option for group in LISTED for option in OPTIONS[group][:1]}


def message(*overrides: str) -> str:
    with pytest.raises(ValueError) as stop:
        gan_runner.compose(*overrides)
    assert "\n" not in str(stop.value) and "to append to your config" not in str(stop.value)
    return str(stop.value)


@pytest.mark.parametrize(("group", "option"), CHOSEN.items())
def test_a_plus_before_a_group_of_the_defaults_list(group: str, option: str) -> None:
    if group == "experiment":  # gan-run takes the plus, and so does Python
        assert gan_runner.compose("+experiment=collapse").model
        return
    expected = f"+{group}={option}: every run has an option of {group}; leave out the +: "
    assert message(f"+{group}={option}") == f"{expected}{group}={option}"


def test_the_groups_are_those_of_the_defaults_list() -> None:
    assert ADDED == ["augmentation", "average", "penalty"] and len(LISTED) > 9


@pytest.mark.parametrize("group", ADDED)
def test_a_key_of_a_group_that_is_not_added(group: str) -> None:
    """The line has the plus, and all options."""
    words = f"{group}.weight: no such key; add an option of {group} with a plus: +{group}=OPTION"
    assert message(f"{group}.weight=3") == f"{words}, one of: {', '.join(OPTIONS[group])}"


@pytest.mark.parametrize("group", some(ADDED, one_in=3))
def test_a_key_of_an_added_option_is_found_where_it_is(group: str) -> None:
    for option in OPTIONS[group]:
        keys = [k for k in OmegaConf.load(config_dir() / group / f"{option}.yaml") if k[0] != "_"]
        if group == "penalty":
            keys = ["weight"]
        for key in keys:
            if group == "penalty":
                wrong, where = key.replace("ei", "ie"), "penalty"
            else:
                wrong = key
                where = (
                    "objective.augmentation" if group == "augmentation" else f"averages.{option}"
                )
            line = message(f"+{group}={option}", f"{group}.{wrong}=1")
            assert line == f"{group}.{wrong}: no such key; did you mean {where}.{key}?"


@pytest.mark.parametrize("group", ["metrics", "plots"])
def test_an_option_without_keys(group: str) -> None:
    line = message(f"{group}=none", f"{group}.nothing.samples=5")
    words = f"{group}=none has no keys; choose another option of {group}"
    assert line == f"{group}.nothing.samples: no such key; {words}"
    key = next(
        str(k) for k in OmegaConf.load(config_dir() / group / "default.yaml") if k != "defaults"
    )
    line = message(f"{group}=none", f"{group}.{key}.samples=5")
    assert re.search(rf"; {words}, such as {group}=\w+$", line)


def test_averages_are_added_first() -> None:
    line = message("averages.images=1000")
    assert line.endswith("averages has no keys; add some with +average=OPTION")
    line = message("+average=half_life", "averages.images=1000")
    assert line.endswith("did you mean averages.half_life.images?")


@pytest.mark.parametrize("group", some(GROUPS, one_in=3))
def test_options_are_compared_in_lower_case(group: str) -> None:
    plus = "+" if group in ADDED else ""
    for option in OPTIONS[group]:
        line = message(f"{plus}{group}={option.upper()}")
        assert f"{group}={option.upper()}: no such option; did you mean {group}={option}?" in line


def test_words_are_compared_in_lower_case() -> None:
    assert nearest("ADAM", ["adam", "sgd"]) == ["adam"]
    assert nearest("nadam", ["NAdam", "SGD"]) == ["NAdam"]
    assert nearest("xyz", ["adam"]) == nearest("xyz", []) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.stps=3", "did you mean trainer.steps?"),
        ("trainr.stps=3", "did you mean trainer.steps?"),
        ("schedule.steps=3", "schedule has critic, generator, but schedule=cosine and linear"),
        ("steps=3", "did you mean trainer.steps?"),
        ("trainer.steps", "trainer.steps: not of the form KEY=VALUE"),
    ],
)
def test_python_has_the_words_of_the_shell(override: str, words: str) -> None:
    assert words in message(override)


@pytest.mark.parametrize("group", sorted({*LISTED} - {"experiment"}))
@pytest.mark.parametrize("form", ["{}: {}", "/{}: {}", "override {}: {}"])
def test_a_recipe_that_names_a_group_a_second_time(tmp_path: Path, group: str, form: str) -> None:
    option = OPTIONS[group][0]
    own = tmp_path / "experiment" / "own.yaml"
    own.parent.mkdir()
    own.write_text(f"# @package _global_\ndefaults:\n  - {form.format(group, option)}\n")
    with (
        pytest.raises(Exception) as stop,
        initialize_config_dir(str(config_dir()), version_base="1.3"),
    ):
        compose("config", ["experiment=own", f"hydra.searchpath=['file://{tmp_path}']"])
    arguments = ["experiment=own", "--config-dir", str(tmp_path)]
    line = explain(stop.value, arguments, config_dir())
    assert line is not None and line.startswith(f"{own}: defaults: {group}: ")
    assert re.search(rf"write `override /{group}: ({option}|OPTION)`$", line), line

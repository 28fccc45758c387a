"""A key that is written as a flag, and an option where the help wants a group."""

from __future__ import annotations

import pytest

from gan_runner.commands.group_help import group_help
from gan_runner.commands.usage import check_flags
from gan_runner.config.compose import config_dir
from gan_runner.config.errors import UsageError
from gan_runner.config.key_hints import groups_listed, options_of

GROUPS = sorted(path.name for path in config_dir().iterdir() if path.is_dir())
KEYS = ("seed", "device", "trainer.steps", "optimizer.lr", "model.filters", *GROUPS)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_as_a_flag(key: str) -> None:
    option = options_of([config_dir()], key)[0] if key in GROUPS else "3"
    for words in (["-m", f"--{key}", option], [f"--{key}={option}", "seed=0"]):
        with pytest.raises(UsageError, match=rf"^--{key}.*: is not a flag; write {key}={option}$"):
            check_flags(words)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--seed", "--device", "cpu"], "--seed: is not a flag; write seed=VALUE"),
        (["--trainer.stps", "3"], "--trainer.stps: is not a flag; did you mean trainer.steps?"),
        (["--steps", "3"], "--steps: is not a flag; did you mean trainer.steps?"),
        (
            ["--cfg", "jbo"],
            "--cfg jbo: no such option; did you mean job? (options: job, hydra, all)",
        ),
        (["--config-dir"], "--config-dir: its value is missing; write --config-dir CONFIG_DIR"),
        (["-m", "+schedule=cosine,linear"], "+schedule=cosine,linear: every run has an option of"),
        (["--multrun"], "--multrun: is not a flag; did you mean --multirun?; keys are written"),
    ],
)
def test_a_flag_that_does_not_exist(words: list[str], line: str) -> None:
    with pytest.raises(UsageError) as stop:
        check_flags(words)
    assert str(stop.value).startswith(line)


@pytest.mark.parametrize(
    "words", [["-m", "--dry-run", "seed=0"], ["--cfg", "job", "seed=1"], ["-m"]]
)
def test_hydras_flags_pass(words: list[str]) -> None:
    check_flags(words)


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_an_option_is_that_of_its_group(group: str) -> None:
    """The line's command has the help that was asked for."""
    for option in options_of([config_dir()], group):
        others = [g for g in GROUPS if option in options_of([config_dir()], g)]
        if option in GROUPS:
            continue
        with pytest.raises(UsageError) as stop:
            group_help([option])
        if others != [group]:
            assert f"is an option of {', '.join(others)}; write gan-run --help" in str(stop.value)
            continue
        plus = "" if group in groups_listed([config_dir()]) else "+"
        words = f"{group} {plus}{group}={option}"
        expected = f"--help {option}: is an option of {group}; write gan-run --help {words}"
        assert str(stop.value) == expected
    if option not in GROUPS and group != "experiment":
        assert f"{group}=OPTION, one of:" in group_help(
            words.split() if others == [group] else [group]
        )

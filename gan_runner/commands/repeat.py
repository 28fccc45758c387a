"""gan-run repeat=RUN_DIR: train a run again from its saved configuration, or a variant of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from gan_runner.commands.exits import leave
from gan_runner.config.command_line import (
    allowed_targets,
    task_words,
    typed_keys,
    with_choices,
)
from gan_runner.config.compose import application, compose_choices
from gan_runner.config.errors import USAGE_ERROR, UsageError
from gan_runner.config.outside import is_own_key
from gan_runner.config.paths import with_own_places
from gan_runner.config.words import key_of
from gan_runner.private_hydra import command_line_flags
from gan_runner.runs.layout import CONFIG, note_folders
from gan_runner.runs.read import CHOICES, saved_config

_KEY = "repeat="


def repeat(arguments: Sequence[str], job: Callable[[DictConfig], Any]) -> None:
    """Train the run of a directory again; groups and keys on the command line change it.

    Args:
        arguments: `repeat=RUN_DIR` and what changes.
        job: trains a composed configuration.

    Raises:
        UsageError: the directory is not a run's, or the run cannot be repeated as asked.
    """
    (run_dir, *more) = [a.removeprefix(_KEY) for a in arguments if a.startswith(_KEY)]
    rest = [argument for argument in arguments if not argument.startswith(_KEY)]
    if more:
        raise UsageError(f"{_KEY}{more[0]}: repeats one run; name one directory")
    if {"-m", "--multirun"} & set(rest):
        raise UsageError(f"{_KEY}{run_dir}: repeats one run; leave out -m")
    try:
        saved = with_own_places(saved_config(Path(run_dir)), typed_keys(rest))
        choices = _checked(saved.pop(CHOICES, None), run_dir)
    except ValueError as error:
        raise UsageError(str(error)) from error
    words, base = compose_choices(choices, command_line_flags(rest)["config_dir"])
    note_folders(rest)
    sys.argv[1:] = [*_without(words, rest), *rest]
    application(lambda cfg: job(_merged(cfg, base, saved)))()


def _merged(cfg: DictConfig, base: DictConfig, saved: dict[str, Any]) -> DictConfig:
    """Return the configuration of the run: saved values, except what the command line changes."""
    from gan_runner.config.merge import merged
    from gan_runner.config.targets import with_names
    from gan_runner.config.validate import validate

    try:
        allow = allowed_targets(task_words())
        for one in (base, cfg):
            _fill(one, saved)
        trees = [with_names(validate(one, allow=allow)) for one in (base, cfg)]
    except ValueError as error:
        leave(str(error), USAGE_ERROR)
    return with_choices(OmegaConf.create({**merged(saved, *trees), "allow_targets": allow}))


def _fill(cfg: DictConfig, saved: dict[str, Any]) -> None:
    """Set the keys that a card leaves to the user, such as dataset.path, to the saved values."""
    values = OmegaConf.create(saved)
    with read_write(cfg), open_dict(cfg):
        for key in OmegaConf.missing_keys(cfg):
            if (value := OmegaConf.select(values, key)) is not None:
                OmegaConf.update(cfg, key, value)


def _checked(choices: Any, run_dir: str) -> dict[str, str | list[str]]:
    """Return the saved options of groups.

    Raises:
        ValueError: they are missing, or one is not the name of a group and of options.
    """
    if not isinstance(choices, dict):
        raise ValueError(
            f"{run_dir}: its {CONFIG} has no {CHOICES} of groups, as of an older version or of a"
            " configuration that gan_runner.compose did not make; gan-run resume= continues it, and"
            " the same command line or code repeats it"
        )
    for group, option in choices.items():
        options = option if isinstance(option, list) else [option]
        names = [isinstance(name, str) and re.fullmatch(r"[\w-]+", name) for name in options]
        if not (is_own_key(group) and group.isidentifier() and names and all(names)):
            raise ValueError(f"{run_dir}: {CHOICES}.{group}={option}: is not the name of an option")
    return choices


def _without(words: Sequence[str], rest: Sequence[str]) -> list[str]:
    """Leave out the groups that the command line chooses itself."""
    typed = typed_keys(rest)
    return [word for word in words if key_of(word) not in typed]

"""The words of a command line, which may say what no file may."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from gan_runner.config.paths import absolute
from gan_runner.config.targets import checked_prefix
from gan_runner.config.words import key_of
from gan_runner.private_hydra import parse_overrides
from gan_runner.runs.read import CHOICES

_OVERRIDES = "overrides"  # key of a configuration that is composed in Python

ENVIRONMENT = re.compile(r"oc\.env:\s*(\w+)")
"""Pattern of an interpolation of a variable of the environment; the group is its name."""


def allowed_targets(words: Sequence[str]) -> list[str]:
    """Return the prefixes in the last `allow_targets=[...]` of a command line; [] without one.

    Raises:
        ValueError: it is not a list, or a prefix is not a package's name and a dot.
        hydra.errors.OverrideParseException: the list cannot be parsed.
    """
    given = [word for word in words if word.lstrip("+").partition("=")[0] == "allow_targets"]
    if not given:
        return []
    prefixes = parse_overrides(given[-1:])[0].value()
    if not isinstance(prefixes, list):  # text would allow all that begins like one of its letters
        raise ValueError(f"{given[-1]}: should be a list, 'allow_targets=[my_package.]'")
    try:
        return [checked_prefix(str(prefix)) for prefix in prefixes]
    except ValueError as error:
        raise ValueError(f"allow_targets={error}") from error


def places_of(words: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    """Return the values that a command line gives to keys about the machine; paths are absolute.

    Raises:
        ValueError: a value is a list of alternatives, or is not a text.
        hydra.errors.OverrideParseException: a value cannot be parsed.
    """
    places: dict[str, Any] = {}
    for word in words:
        key = word.partition("=")[0]
        if key not in keys:
            continue
        override = parse_overrides([word])[0]
        value = None if override.is_sweep_override() else override.value()
        if override.is_sweep_override() or isinstance(value, list | dict):
            raise ValueError(
                f"{word}: should be one value; put quotes around it: '{key}=\"VALUE\"'"
            )
        places[key] = absolute(key, value, Path.cwd())
    return places


def task_words() -> list[str]:
    """Return the overrides of the run or job that Hydra executes."""
    return as_typed(HydraConfig.get().overrides.task)


def typed_keys(words: Sequence[str] | None) -> set[str]:
    """Return the keys of overrides; without any, those of the run that Hydra executes."""
    if words is None:
        words = task_words() if HydraConfig.initialized() else []
    return {key_of(word) for word in words}


def group_choices() -> dict[str, Any]:
    """Return the option, or the list of options, of each group of the run that Hydra executes."""
    return _chosen(HydraConfig.get().runtime.choices)


def _chosen(choices: Any) -> dict[str, Any]:
    return {
        group: OmegaConf.to_container(option) if isinstance(option, ListConfig) else option
        for group, option in choices.items()
        if group.isidentifier() and option
    }


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a configuration with its choices and overrides in place of the node `hydra`.

    The overrides are JSON without a dollar sign, so that no interpolation in them is resolved.
    """
    words = json.dumps(as_typed(cfg.hydra.overrides.task)).replace("$", "\\u0024")
    with open_dict(cfg):
        cfg[CHOICES], cfg[_OVERRIDES] = _chosen(cfg.hydra.runtime.choices), words
        del cfg["hydra"]
    return cfg


def split_overrides(cfg: DictConfig) -> tuple[DictConfig, list[str] | None]:
    """Return a configuration without the overrides of `without_hydra`, and these; None: none.

    Raises:
        ValueError: they are not JSON.
    """
    rest = cfg.copy()
    with open_dict(rest):
        text = rest.pop(_OVERRIDES, None)
    words = json.loads(text) if isinstance(text, str) and text.startswith("[") else None
    return (cfg, None) if words is None else (rest, [str(word) for word in words])


class _HasCommand(Protocol):
    command: Sequence[str] | None


HasCommand = TypeVar("HasCommand", bound=_HasCommand)


def with_command(engine: HasCommand, cfg: DictConfig) -> HasCommand:
    """Return an engine with the overrides of its configuration, if it was composed in Python."""
    engine.command = split_overrides(cfg)[1]
    return engine


def hydras_tree() -> list[Any]:
    """Return Hydra's own configuration as plain values, unresolved; [] where Hydra is not running.

    Its interpolations name keys of the run, as `hydra.run.dir` does.
    """
    if not HydraConfig.initialized():
        return []
    tree: Any = OmegaConf.to_container(HydraConfig.instance().cfg, resolve=False)
    hydra = tree.get("hydra", tree)
    return [{key: node for key, node in hydra.items() if key not in ("help", "hydra_help")}]


def with_choices(cfg: DictConfig) -> DictConfig:
    """Return a configuration with the options of its groups, to be saved for `repeat=RUN_DIR`."""
    named = cfg.copy()
    with open_dict(named):
        if CHOICES not in named:
            named[CHOICES] = group_choices()
    return named


def named_variables() -> set[str]:
    """Return the environment variables that the command line names in `${oc.env:NAME}`."""
    words = list(sys.argv)
    if HydraConfig.initialized():  # in a worker, the command line is another
        overrides = HydraConfig.get().overrides
        words += [*as_typed(overrides.task), *as_typed(overrides.hydra)]
    return {name for word in words for name in ENVIRONMENT.findall(word)}


def as_typed(overrides: ListConfig | Sequence[str]) -> list[str]:
    """Return overrides as they were typed: an interpolation in one of them is not resolved."""
    if isinstance(overrides, ListConfig):
        overrides = OmegaConf.to_container(overrides, resolve=False)  # type: ignore[assignment]
    return [str(word) for word in overrides]

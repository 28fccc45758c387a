"""Composition of a configuration from overrides, without a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.resolvers import oc

from gan_runner.config.command_line import named_variables, without_hydra
from gan_runner.config.errors import explain
from gan_runner.config.expansion import check_expansion
from gan_runner.config.outside import check_contents, check_file
from gan_runner.config.own_files import unreadable
from gan_runner.config.paths import quoted_path
from gan_runner.private_hydra import (
    bound_defaults,
    leave_keys_to_jobs,
    on_config_load,
    parse_overrides,
)

# In cards: the first value that is not null.
OmegaConf.register_new_resolver(
    "first", lambda *values: next((v for v in values if v is not None), None), replace=True
)
# In recipes: learning rates in a published ratio.
OmegaConf.register_new_resolver("times", lambda a, b: float(a) * float(b), replace=True)
# In cards: a whole number of steps as a share of others.
OmegaConf.register_new_resolver("share", lambda a, b: int(float(a) * float(b)), replace=True)


def config_dir() -> Path:
    """Return the folder of the configuration groups, in an installed package or a checkout.

    Raises:
        FileNotFoundError: neither location has a conf/config.yaml.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or {package.parent}")


def application(job: Callable[[DictConfig], Any]) -> Callable[[], Any]:
    """Return Hydra's application: it composes the command line in `sys.argv` and calls the job."""
    main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
    return main(job)


def guard() -> None:
    """Check from now on what configuration files outside of this package say.

    For the entry points alone: another application of Hydra's keeps its own rules.
    """
    leave_keys_to_jobs(_check_composed)
    bound_defaults()
    home = str(config_dir())
    on_config_load(
        lambda file: check_file(file, home), unreadable, lambda path: check_contents(path, home)
    )
    OmegaConf.register_new_resolver("oc.env", _environment, replace=True)


def _check_composed(cfg: DictConfig) -> None:
    """Refuse a configuration, Hydra's part included, that could not be resolved in little memory.

    Raises:
        ConfigCompositionException: as in `check_expansion`.
    """
    try:
        check_expansion(OmegaConf.to_container(cfg, resolve=False))  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigCompositionException(str(error)) from None


def _environment(name: str, *default: Any) -> Any:
    """Resolve `${oc.env:NAME}`: a variable of this package's, or one that the command line names.

    Others are refused: the value would stand in the run directory, which people share.
    """
    if not name.startswith("GAN_RUNNER_") and name not in named_variables():
        raise ValueError(f"${{oc.env:{name}}} is read only where the command line names it")
    return oc.env(name, *default)


def compose(*overrides: str) -> DictConfig:
    """Compose a configuration as `gan-run` does with the same arguments.

    Its keys `choices` and `overrides` are for the run directory: `repeat=RUN_DIR`, command.json.

    Args:
        overrides: "GROUP=OPTION" and "KEY=VALUE", such as "dataset=gaussians8".

    Raises:
        ValueError: a group, an option or a key does not exist; in the words of `gan-run`.
    """
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
            words = without_plus(overrides)
            cfg = hydra.compose("config", overrides=words, return_hydra_config=True)
            return without_hydra(cfg)
    except Exception as error:
        message = explain(error, list(overrides), config_dir())
        if message is None:
            raise
        raise ValueError(message) from error


def without_plus(words: Sequence[str]) -> list[str]:
    """Return overrides with `experiment=X` for `+experiment=X`, as recipes are added elsewhere.

    The configuration has the group `experiment` already, so that Hydra would refuse the plus.
    """
    return [word[1:] if word.startswith("+experiment=") else word for word in words]


_WHOLE = ("dataset", "model", "objective", "optimizer")  # groups whose cards exclude each other


def merged_cards(words: Sequence[str]) -> str | None:
    """Return the problem of a list of this package's cards where one is needed; None without one.

    A list that has an option of the user's own is a card and an addition to it.

    Args:
        words: overrides as on a command line.
    """
    for word in words:
        group, _, value = word.partition("=")
        names = parse_overrides([word])[0].value() if group in _WHOLE and value[:1] == "[" else []
        cards = [config_dir() / group / f"{name}.yaml" for name in names]
        if len(cards) > 1 and all(card.is_file() for card in cards):
            problem = f"{word}: a run has one {group}; choose one option"
            return f"{problem}, or sweep over them with -m {group}={','.join(map(str, names))}"
    return None


def compose_choices(
    choices: Mapping[str, str | list[str]], folder: str | None = None
) -> tuple[list[str], DictConfig]:
    """Compose the configuration in which each group has a given option.

    Groups that follow from others, such as the optimizer of an objective's paper, are left to them.

    Args:
        choices: option, or list of options, of each group.
        folder: folder of further groups, as in `--config-dir`.

    Returns:
        The shortest command line that makes these choices, and its configuration.

    Raises:
        hydra.errors.HydraException: a group or an option does not exist.
    """
    search = [] if folder is None else [f"hydra.searchpath=['file://{quoted_path(folder)}']"]
    words: list[str] = []
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        for _ in range(len(choices) + 1):
            cfg = hydra.compose("config", overrides=[*search, *words], return_hydra_config=True)
            present = OmegaConf.to_container(cfg.hydra.runtime.choices)
            assert isinstance(present, dict)
            wrong = sorted((g for g in choices if present.get(g) != choices[g]), key=_rank)
            if not wrong:
                break
            words.append(
                f"{'' if wrong[0] in present else '+'}{wrong[0]}={_option(choices[wrong[0]])}"
            )
    with open_dict(cfg):
        del cfg["hydra"]
    return words, cfg


_FIRST = ("experiment", "dataset", "model", "objective")  # groups that others follow from


def _rank(group: str) -> int:
    return _FIRST.index(group) if group in _FIRST else len(_FIRST)


def _option(option: str | list[str]) -> str:
    return option if isinstance(option, str) else f"[{','.join(option)}]"

"""Errors of composition, and illnesses of runs, in one line each."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

FAILURE, USAGE_ERROR = 1, 2  # exit statuses


class UsageError(Exception):
    """A command rejected because of its input; carries message and exit status."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message, exit_status)  # all of them: so it can travel between processes
        self.message, self.exit_status = message, exit_status

    def __str__(self) -> str:
        return self.message


class Interrupted(BaseException):
    """The end of a run by a signal, its state saved. Not an `Exception`: it ends a sweep too."""

    def __init__(self, signal: str, advice: str) -> None:
        super().__init__(signal, advice)
        self.signal, self.advice = signal, advice
        self.exit_status = 128 + Signals[signal]

    def __str__(self) -> str:
        return f"stopped by {self.signal}; {self.advice}"


def explain(error: BaseException, arguments: list[str], config_dir: Path) -> str | None:
    """What a user needs to know of an error; None if it is not theirs but a bug of ours.

    Args:
        error: raised by Hydra's composition or by a run.
        arguments: of the command line.
        config_dir: where the groups are, to look for the nearest right name.
    """
    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: not of the form KEY=VALUE or GROUP=OPTION; a value with special"
            " characters needs quotes inside the shell's: 'KEY=\"VALUE\"'"
        )
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, ConfigCompositionException | OmegaConfBaseException):
        return _bad_override(error, arguments, config_dir)
    if isinstance(error, OSError):
        where = f"cannot write {error.filename} ({error.strerror})"
        return f"{where}; name another folder: hydra.run.dir=FOLDER"
    if isinstance(error, HydraException):
        return first_line(error)
    return _bad_group(error, arguments, config_dir)


_EXTRAS = {
    "joblib": "joblib", "ray": "ray", "optuna": "optuna",
    "submitit_local": "submitit", "submitit_slurm": "submitit",
}  # fmt: skip


def _missing_option(error: MissingConfigException) -> str:
    from gan_runner.config.signature import suggestion

    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        return first_line(error)
    hint = suggestion(option, sorted(error.options)).replace(
        "did you mean ", f"did you mean {group}="
    )
    options = f" (there are: {', '.join(sorted(error.options))})" if "did you" in hint else ""
    if group in ("hydra/launcher", "hydra/sweeper") and option in _EXTRAS:
        hint = f" before pip install 'gan_runner[{_EXTRAS[option]}]'{hint}"
    return f"{group}={option}: no such option{hint}{options}"


def _bad_override(error: BaseException, arguments: list[str], config_dir: Path) -> str:
    if "Ambiguous value" in str(error):
        return f"{first_line(error)}; add -m to run one job for each value"
    match = re.search(r"Could not override '([^']+)'", str(error))
    if not match:
        said = first_line(error.__cause__ or error)
        pairs = [argument.partition("=") for argument in arguments]
        at = [key for key, _, value in pairs if value and f"Value '{value}'" in said]
        return f"{at[0]}: {said}" if at else said
    key = match[1].partition("@")[0]
    if error.__cause__ is not None and "not in struct" not in str(error.__cause__):
        return f"{key}: {first_line(error.__cause__)}"  # the key is there, its value is not right
    return f"{key}: no such key{_hint(key, arguments, config_dir)}"


def _hint(key: str, arguments: list[str], config_dir: Path) -> str:
    """What a key was meant to be: a near one beside it, one that ends like it, or what there is."""
    top = _groups_and_keys(config_dir)
    if "." not in key and (near := _near(key, top)):  # nothing has to be composed
        return near
    known = _known_keys(arguments, config_dir)
    parent, _, leaf = key.rpartition(".")
    if parent and (near := _near(leaf, _below(parent, known), parent)):
        return near
    if alike := [k for k in known if k.endswith(f".{leaf}")]:
        return _near(key, alike) or f"; there is {', '.join(alike[:3])}"
    while parent and not _below(parent, known):
        parent, _, leaf = parent.rpartition(".")
    if not parent:
        return f"; there are: {', '.join(top)}"
    having = [o for o in _options(config_dir, parent) if leaf in _keys_of(config_dir, parent, o)]
    others = f", but {parent}={' and '.join(having)} {_HAVE[len(having) > 1]} {leaf}"
    return f"; {parent} has {', '.join(_below(parent, known))}{others if having else ''}"


_HAVE = ("has", "have")


def _near(word: str, known: list[str], at: str = "") -> str:
    """`; did you mean X?` with the nearest known word, or nothing."""
    from gan_runner.config.signature import suggestion

    said = suggestion(word, known, at)
    return said if "did you mean" in said else ""


def _below(parent: str, known: list[str]) -> list[str]:
    """The names of the keys directly below one."""
    pairs = (key.rpartition(".") for key in known)
    return [leaf for above, _, leaf in pairs if above == parent and not leaf.startswith("_")]


def _keys_of(config_dir: Path, group: str, option: str) -> set[str]:
    """What a card sets at its top."""
    return set(map(str, OmegaConf.load(config_dir / group / f"{option}.yaml")))


def _groups_and_keys(config_dir: Path) -> list[str]:
    """What stands at the top of a configuration; nothing has to be composed to know it."""
    groups = [path.name for path in config_dir.iterdir() if path.is_dir()]
    keys = [str(key) for key in OmegaConf.load(config_dir / "config.yaml")]
    return sorted({*groups, *keys} - {"defaults", "hydra"})


def _known_keys(arguments: list[str], config_dir: Path) -> list[str]:
    """All keys of the configuration that the group choices of the command line compose."""
    pairs = [argument.partition("=") for argument in arguments]
    choices = [f"{g}={o}" for g, _, o in pairs if o in _options(config_dir, g)]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir), version_base="1.3"):
        cfg = compose("config", overrides=choices)
    tree: Any = OmegaConf.to_container(cfg, resolve=False)
    tree.pop("paper_defaults", None)  # what cards hand to one another
    return _flatten(tree)


def _options(config_dir: Path, group: str) -> list[str]:
    """The options of a group; none if there is no such group."""
    folder = config_dir / group
    return sorted(p.stem for p in folder.glob("*.yaml")) if group.isidentifier() else []


def _bad_group(error: BaseException, arguments: list[str], config_dir: Path) -> str | None:
    """What Hydra makes of `trainer=3`: not an error of composition, but one of its own."""
    if raised_in(error, ("hydra",)) is None:
        return None
    for argument in arguments:
        group, _, option = argument.lstrip("+~").partition("=")
        options = _options(config_dir, group)
        if options and option not in options:
            return f"{group}={option}: no such option; there are: {', '.join(options)}"
    return f"cannot be composed ({first_line(error)})"


def raised_in(error: BaseException, packages: Sequence[str]) -> str | None:
    """The first of some packages that an error comes from; None if it is not of their making."""
    frames = traceback.extract_tb(error.__traceback__)
    parts = Path(frames[-1].filename).parts if frames else ()
    return next((name for name in packages if name in parts), None)


def _flatten(tree: Any, at: str = "") -> list[str]:
    keys = []
    for key, value in tree.items():
        path = f"{at}.{key}" if at else str(key)
        keys += [path, *(_flatten(value, path) if isinstance(value, dict) else [])]
    return keys


def first_line(error: BaseException) -> str:
    """Of what an error says; its kind if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]

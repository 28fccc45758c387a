"""The text of `gan-run --help`, and the flags that are refused before Hydra reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NoReturn

import hydra
from omegaconf import OmegaConf, open_dict

from gan_runner.commands.group_help import group_help
from gan_runner.commands.options import line_of
from gan_runner.config.command_line import allowed_targets
from gan_runner.config.compose import config_dir, without_plus
from gan_runner.config.default_lists import fault_of_plus
from gan_runner.config.errors import UsageError, own_folders
from gan_runner.config.key_hints import is_key, key_hint, options_of
from gan_runner.config.words import key_of, suggestion
from gan_runner.private_hydra import command_line_flags, flag_parser, unknown_flags

_HELP, _FOLDER = {"--help", "-h"}, {"--config-dir", "-cd"}

TRACEBACK = "--traceback"
"""Flag of `gan-run` that asks for the whole traceback of every error."""


def hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments for Hydra: without --traceback, and see `without_plus`."""
    return without_plus([word for word in arguments if word != TRACEBACK])


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether --help is given without other flags, which Hydra would have to parse.

    The help of a group also takes --config-dir, whose options it shows.
    """
    flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    has_group = any("=" not in word for word in _words(arguments))
    return bool(flags & _HELP) and flags <= _HELP | (_FOLDER if has_group else set())


def _words(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that are neither flags nor the folder after --config-dir."""
    before = ["", *arguments]
    return [
        word
        for word, flag in zip(arguments, before, strict=False)
        if not word.startswith("-") and flag not in _FOLDER
    ]


def shows_files(arguments: Sequence[str]) -> bool:
    """Return whether a flag makes Hydra print configuration instead of a run."""
    flags = command_line_flags(arguments)
    return any(flags[name] for name in ("help", "hydra_help", "cfg", "info"))


def usage(arguments: Sequence[str]) -> str:
    """Return the text of --help: the template in conf/config.yaml with its fields substituted.

    Hydra would substitute them too, but takes half a second to list about sixty groups of its own.
    With flags besides --help, such as --config-dir, Hydra prints the text. A group's name among the
    arguments asks for the help of that group.
    """
    overrides = _words(arguments)
    if any("=" not in argument for argument in overrides):
        return group_help(overrides, _own_folders(arguments))
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=overrides, return_hydra_config=True)
    template = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg["hydra"]
    folders = sorted(folder for folder in config_dir().iterdir() if folder.is_dir())
    groups = [f"{f.name}: {', '.join(sorted(p.stem for p in f.glob('*.yaml')))}" for f in folders]
    return template.substitute(APP_CONFIG_GROUPS="\n".join(groups), CONFIG=OmegaConf.to_yaml(cfg))


def _own_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the folder of --config-dir, if there is the flag.

    Raises:
        UsageError: the folder does not exist.
    """
    folders = own_folders(arguments)
    if not folders and (folder := command_line_flags(arguments)["config_dir"]):
        raise UsageError(f"--config-dir {folder}: no such folder; set another one")
    return folders


_REFUSED = {
    "config_path": "use repeat=RUN_DIR to repeat a run, --config-dir DIR to add groups of your own",
    "config_name": "use experiment=NAME, from DIR/experiment/NAME.yaml with --config-dir DIR",
    "experimental_rerun": "would execute what the file says; use repeat=RUN_DIR to repeat a run",
}


def check_flags(arguments: Sequence[str]) -> None:
    """Refuse flags of Hydra's that take a file as the whole configuration, or execute it.

    The prefixes in `allow_targets=[...]` are checked as well.

    Raises:
        UsageError: with the flag or key to use instead.
    """
    try:
        allowed_targets(arguments)  # before a job of a sweep would meet the fault
    except ValueError as error:
        raise UsageError(str(error)) from error
    if fault := fault_of_plus(arguments, [config_dir()]):
        raise UsageError(fault)
    if not any(argument.startswith("-") for argument in arguments):
        return
    own = [argument for argument in arguments if argument != "--dry-run"]
    _check_values(own)
    flags = command_line_flags(own)
    groups = [a for a in _words(arguments) if a.isidentifier() and (config_dir() / a).is_dir()]
    if _HELP & set(arguments) and groups and not asks_for_help(arguments):
        problem = f"--help {groups[0]}: takes --config-dir and no other flag"
        raise UsageError(f"{problem}; leave the others out")
    groups = [w for w in own if w[:2] == "--" and options_of([config_dir()], key_of(w[2:]))]
    for word in [*groups, *unknown_flags(own)]:  # Hydra takes --experiment for an abbreviation
        raise UsageError(_not_a_flag(word, own))
    for name, advice in _REFUSED.items():
        if flags[name] is not None:
            raise UsageError(f"--{name.replace('_', '-')}: is not taken; {advice}")


def _check_values(arguments: Sequence[str]) -> None:
    """Refuse a wrong value of a flag of Hydra's, whose parser would print its usage.

    Raises:
        UsageError: with the flag, the value and the fix.
    """
    parser = flag_parser()
    parser.prog = "gan-run"

    def refuse(message: str) -> NoReturn:
        raise UsageError(line_of(parser, message))

    parser.error = refuse
    parser.parse_known_args(list(arguments))


def _not_a_flag(word: str, arguments: Sequence[str]) -> str:
    """Return the line for a key or an unknown word that is written as a flag, as in `--seed 3`."""
    key, equals, value = word.lstrip("-").partition("=")
    after = dict(zip(arguments, [*arguments[1:], ""], strict=True))[word]
    if not equals and "=" not in after and not after.startswith("-"):
        value = after
    folders = [config_dir(), *own_folders(arguments)]
    value = value or ("OPTION" if options_of(folders, key) else "VALUE")
    if is_key(key, arguments, folders):
        return f"{word}: is not a flag; write {key}={value}"
    hint = key_hint(key, arguments, folders) if key else ""
    if "did you mean" not in hint:
        hint = suggestion(word.partition("=")[0], _FLAGS) + "; keys are written KEY=VALUE"
    return f"{word}: is not a flag{hint}"


_FLAGS = ("--help", "--version", "--multirun", "--cfg", "--config-dir", "--dry-run", TRACEBACK)

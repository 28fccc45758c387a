"""The text of `gan-run --help`, and edits of a command line before Hydra reads it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from string import Template

import hydra
from omegaconf import OmegaConf, open_dict

from gan_runner.commands.group_help import group_help
from gan_runner.config.compose import config_dir
from gan_runner.config.errors import USAGE_ERROR, UsageError

_HYDRA_KEYS = ("hydra.output_subdir=null", "hydra/job_logging=none", "hydra.job.name=gan-run")


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether --help is given without other flags, which Hydra would have to parse."""
    flags = {argument for argument in arguments if argument.startswith("-")}
    return bool(flags) and flags <= {"--help", "-h"}


def usage(arguments: Sequence[str]) -> str:
    """Return the text of --help: the template in conf/config.yaml with its fields substituted.

    Hydra would substitute them too, but takes half a second to list about sixty groups of its own.
    With flags besides --help, such as --config-dir, Hydra prints the text. A group's name among the
    arguments asks for the help of that group.
    """
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    if any("=" not in argument for argument in overrides):
        return group_help(overrides)
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=overrides, return_hydra_config=True)
    template = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg["hydra"]
    folders = sorted(folder for folder in config_dir().iterdir() if folder.is_dir())
    groups = [f"{f.name}: {', '.join(sorted(p.stem for p in f.glob('*.yaml')))}" for f in folders]
    return template.substitute(APP_CONFIG_GROUPS="\n".join(groups), CONFIG=OmegaConf.to_yaml(cfg))


def with_saved_config(arguments: Sequence[str]) -> list[str]:
    """Make the folder in `--config-path RUN_DIR` absolute, and add the Hydra keys that it lacks.

    Hydra resolves a relative path against the package's folder. A run's saved configuration does
    not contain the Hydra keys of conf/config.yaml, which keep Hydra's files out of run directories.
    """
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag not in {"--config-path", "-cp"}:
            continue
        here = i if equals else i + 1
        if here < len(arguments):
            path = os.path.abspath(value if equals else arguments[here])
            if not os.path.isdir(path):
                raise UsageError(f"{flag} {path}: the directory does not exist", USAGE_ERROR)
            word = [path if here != i else f"{flag}={path}"]
            return [*arguments[:here], *word, *arguments[here + 1 :], *_HYDRA_KEYS]
    return list(arguments)

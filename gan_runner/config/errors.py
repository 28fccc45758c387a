"""Errors of commands and of composition, in one line each."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from signal import Signals

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import OmegaConfBaseException

from gan_runner.config.default_lists import fault_of_defaults
from gan_runner.config.key_hints import key_hint, options_of
from gan_runner.config.paths import PATH_KEYS
from gan_runner.config.words import key_of, suggestion, value_of
from gan_runner.private_hydra import command_line_flags

FAILURE, USAGE_ERROR = 1, 2  # exit statuses


class UsageError(Exception):
    """A command rejected because of its input; carries message and exit status."""

    def __init__(self, message: str, exit_status: int = USAGE_ERROR) -> None:
        super().__init__(message, exit_status)  # all arguments, so that it can be pickled
        self.message, self.exit_status = message, exit_status

    def __str__(self) -> str:
        return self.message


class Interrupted(BaseException):
    """The end of a run by a signal, after its state was saved.

    It is not an `Exception`, so that it ends a sweep too.
    """

    def __init__(self, signal: str, advice: str) -> None:
        super().__init__(signal, advice)
        self.signal, self.advice = signal, advice
        self.exit_status = 128 + Signals[signal]

    def __str__(self) -> str:
        return f"stopped by {self.signal}; {self.advice}"


def explain(error: BaseException, arguments: list[str], config_dir: Path) -> str | None:
    """Return an error of the user as one line; None if the error is a bug of this package.

    Args:
        error: raised by Hydra's composition or by a run.
        arguments: arguments of the command line.
        config_dir: folder of the configuration groups, for suggestions of valid names.
    """
    folders = [config_dir, *own_folders(arguments)]
    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: not of the form KEY=VALUE or GROUP=OPTION; a value with special"
            f" characters needs quotes inside the shell's: {_in_quotes(str(error.override))}"
        )
    if fault := fault_of_defaults(error, arguments, folders):
        return fault
    if isinstance(error, MissingConfigException):
        return _missing_option(error, folders)
    if isinstance(error, ConfigCompositionException | OmegaConfBaseException):
        return _bad_override(error, arguments, folders)
    if isinstance(error, OSError):
        problem = f"cannot write {error.filename} ({error.strerror})"
        return f"{problem}; set hydra.run.dir to another folder"
    if isinstance(error, HydraException):
        return first_line(error)
    return _bad_group(error, arguments, folders)


_EXTRAS = {
    "joblib": "joblib", "ray": "ray", "optuna": "optuna",
    "submitit_local": "submitit", "submitit_slurm": "submitit",
}  # fmt: skip


def own_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the folder of groups that the command line adds with --config-dir, if it exists."""
    folder = command_line_flags(arguments)["config_dir"]
    return [Path(folder)] if folder and Path(folder).is_dir() else []


def _in_quotes(word: str) -> str:
    """Return an override with its value in quotes for Hydra, inside those for the shell."""
    key, _, value = word.partition("=")
    plain = key and value and not set("\"'\\\n") & set(word)
    return f"'{key}=\"{value}\"'" if plain else "'KEY=\"VALUE\"'"


def _missing_option(error: MissingConfigException, folders: Sequence[Path]) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    for file in (folder / group / f"{option.removesuffix('.yml')}.yml" for folder in folders):
        if file.is_file():
            new = file.with_suffix(".yaml").name
            return f"{file}: only files that end in .yaml are read; rename it to {new}"
    if not error.options:
        return first_line(error)
    hint = suggestion(option, sorted(error.options)).replace(
        "did you mean ", f"did you mean {group}="
    )
    options = f" (options: {', '.join(sorted(error.options))})" if "did you" in hint else ""
    if group in ("hydra/launcher", "hydra/sweeper") and option in _EXTRAS:
        hint = f" before pip install 'gan_runner[{_EXTRAS[option]}]'{hint}"
    return f"{group}={option}: no such option{hint}{options}"


def _bad_override(error: BaseException, arguments: list[str], folders: Sequence[Path]) -> str:
    if "Ambiguous value" in str(error):
        word = first_line(error).partition("'")[2].rstrip("'")
        is_path = word.partition("=")[0].rpartition(".")[2] in (*PATH_KEYS, "dir")
        advice = f", or quote one path: {_in_quotes(word)}" if is_path else ""
        return f"{first_line(error)}; add -m to run one job for each value{advice}"
    match = re.search(r"Could not override '([^']+)'", str(error))
    if not match:
        cause = error.__cause__ or error
        message = interpolation_problem(cause)
        pairs = [argument.partition("=") for argument in arguments]
        keys = [key for key, _, value in pairs if value and _is_cause(value, first_line(cause))]
        return f"{keys[0]}: {message}" if keys else message
    key = match[1].partition("@")[0]
    if error.__cause__ is not None and "not in struct" not in str(error.__cause__):
        return f"{key}: {first_line(error.__cause__)}"  # the key exists, but its value is invalid
    return f"{key}: no such key{key_hint(key, arguments, folders)}"


def _is_cause(value: str, message: str) -> bool:
    """Return whether an error speaks of a value, or of what the value interpolates."""
    names = re.findall(r"'([^']+)'", message)
    return f"Value '{value}'" in message or any(
        re.search(rf"\$\{{(oc\.env:)?\s*{re.escape(name)}\b", value) for name in names
    )


_UNSET = re.compile(r"Environment variable '([^']+)' not found")


def interpolation_problem(error: BaseException) -> str:
    """Return an error of OmegaConf's as one line; for a variable that is not set, with the fix."""
    message = first_line(error)
    if match := _UNSET.search(message):
        name, default = match[1], f"${{oc.env:{match[1]},VALUE}}"
        return f"the environment variable {name} is not set; set it, or write {default}"
    return message


def _bad_group(error: BaseException, arguments: list[str], folders: Sequence[Path]) -> str | None:
    """Explain an internal error of Hydra, which `trainer=3` causes; None for other errors."""
    if raised_in(error, ("hydra",)) is None:
        return None
    for argument in arguments:
        group, option = key_of(argument), value_of(argument)
        options = options_of(folders, group)
        if options and option not in options:
            return f"{group}={option}: no such option; choose one of: {', '.join(options)}"
    return f"the configuration cannot be composed ({first_line(error)})"


def raised_in(error: BaseException, packages: Sequence[str]) -> str | None:
    """Return the first of the packages that contains the frame that raised an error, or None."""
    frames = traceback.extract_tb(error.__traceback__)
    parts = Path(frames[-1].filename).parts if frames else ()
    return next((name for name in packages if name in parts), None)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its class if that is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]

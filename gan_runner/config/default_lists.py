"""Faults of defaults lists, and of a plus before a group that every run has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import ConfigCompositionException, MissingConfigException

from gan_runner.config.key_hints import groups_listed
from gan_runner.config.words import key_of, value_of

_TWICE = (
    re.compile(r"^Multiple values for (\w+)\. To override a value use 'override \w+: (.+)'"),
    re.compile(r"^(\w+) appears more than once in the final defaults list()"),
    re.compile(r"Could not override '\w+/(\w+)()"),
)


def fault_of_defaults(
    error: BaseException, arguments: Sequence[str], folders: Sequence[Path]
) -> str | None:
    """Return the line for a group that is named a second time; None for other errors.

    Args:
        error: raised by Hydra's composition.
        arguments: of the command line.
        folders: of the groups, that of this package first.
    """
    if not isinstance(error, ConfigCompositionException | MissingConfigException):
        return None
    listed = groups_listed(folders)
    if isinstance(error, MissingConfigException):  # of `objective: gan` in experiment/own.yaml
        _, _, place = (error.missing_cfg_file or "").partition("/")
        group, _, option = place.partition("/")
        found = (group, option) if option and group in listed else None
    else:
        matches = (pattern.search(str(error)) for pattern in _TWICE)
        found = next(((m[1], m[2]) for m in matches if m and m[1] in listed), None)
    if found is None:
        return None
    group, option = found
    if fault := fault_of_plus(arguments, folders):
        return fault
    return (
        f"{_recipe(arguments, folders)}defaults: {group}: {option or 'OPTION'}: every run has an"
        f" option of {group}; write `override /{group}: {option or 'OPTION'}`"
    )


def fault_of_plus(arguments: Sequence[str], folders: Sequence[Path]) -> str | None:
    """Return the line for a plus before a group that every run has; None without one.

    `+experiment=NAME` is taken: recipes are added elsewhere.
    """
    added = [word for word in arguments if re.match(r"\+\w+=", word)]
    listed = groups_listed(folders) if added else []
    for word in added:
        if (group := key_of(word)) in listed and group != "experiment":
            own = f"{group}={value_of(word)}"
            return f"{word}: every run has an option of {group}; leave out the +: {own}"
    return None


def _recipe(arguments: Sequence[str], folders: Sequence[Path]) -> str:
    """Return the path of the experiment of a user's own that the command line names, or ""."""
    names = [value_of(word) for word in arguments if key_of(word) == "experiment"]
    files = (folder / "experiment" / f"{names[-1]}.yaml" for folder in folders[1:] if names)
    return next((f"{file}: " for file in files if file.is_file()), "")

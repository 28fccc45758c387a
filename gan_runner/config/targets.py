"""Targets that a configuration may name, by the group that names them.

A prefix that the command line allows counts anywhere. Prefixes in files do not count.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import yaml

from gan_runner.config.user_code import place_in_user_code
from gan_runner.config.words import suggestion

PLACES: Mapping[str, tuple[str, ...]] = {
    "dataset": ("gan_runner.data.",),
    "model": ("gan_runner.models.", "torch.nn."),
    "objective": ("gan_runner.objectives.", "gan_runner.models.heads."),
    "optimizer": ("gan_runner.optim.", "gan_runner.training.orders.", "torch.optim."),
    "schedule": ("gan_runner.optim.", "torch.optim."),
    "limits": ("gan_runner.optim.",),
    "averages": ("gan_runner.training.ema.",),
    "trainer": ("gan_runner.training.settings.",),
    "metrics": ("gan_runner.metrics.",),
    "plots": ("gan_runner.plots.",),
    "health": ("gan_runner.metrics.health.",),
}
"""Prefixes of the targets that each group may name, at any depth."""

_PREFIX = re.compile(r"([A-Za-z]\w*\.)+")


class Target(str):
    """The dotted name of a class or function, with the object that `locate` found under it."""

    function: Callable[..., Any]


yaml.SafeDumper.add_representer(Target, lambda dumper, name: dumper.represent_str(str(name)))


def with_names(tree: Any) -> Any:
    """Return a checked tree as plain values again, with a name in place of each target."""
    if isinstance(tree, dict):
        return {key: with_names(child) for key, child in tree.items()}
    if isinstance(tree, list):
        return [with_names(child) for child in tree]
    return str(tree) if isinstance(tree, Target) else tree


def checked_prefix(text: str) -> str:
    """Return a prefix of targets as the command line gives it, such as "my_package.".

    Raises:
        ValueError: it is not dotted names with a dot at the end, such as an empty word.
    """
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"{text!r}: should be a package's name and a dot, such as my_package.")
    return text


def locate(name: Any, allow: Sequence[str] = (), *, place: str) -> Target:
    """Import the class or function of a dotted name, if its place may name it.

    A model may name torch's subclasses of `nn.Module`, an optimizer torch's optimizers and
    learning-rate schedulers. A target of this package has to be defined in the module that the name
    says.

    Args:
        name: the value of a `_target_` key.
        allow: prefixes that the command line allows, at any place.
        place: the group that the node stands in.

    Raises:
        ValueError: the name is outside of the place's prefixes, begins a part with an underscore,
            cannot be imported, or is not a target of this place.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", name):
        raise ValueError("should be a dotted name of a class or function, without leading _")
    allowed = name.startswith(tuple(map(checked_prefix, allow)))
    if not allowed and not name.startswith(PLACES.get(place, ())):
        raise ValueError(_refusal(name, place))
    module_name, _, attribute = name.rpartition(".")
    found = _import(module_name, attribute)
    if not callable(found) or not (allowed or _belongs(found, module_name)):
        raise ValueError(f"is not a class or function that {place} may name")
    if allowed and not f"{getattr(found, '__module__', '')}.".startswith(tuple(allow)):
        raise ValueError("is defined in another package than the one that is allowed")
    target = Target(name)
    target.function = found
    return target


def _refusal(name: str, place: str) -> str:
    package = name.partition(".")[0]
    if package in ("gan_runner", "torch"):
        choices = " or ".join(f"{prefix}*" for prefix in PLACES.get(place, ())) or "nothing"
        return f"{place} may name {choices}"
    return (
        f"targets outside gan_runner, torch.nn and torch.optim are refused; if you trust this"
        f" one, pass 'allow_targets=[{package}.]' to gan-run, --allow {package}. to other commands"
    )


def _import(module_name: str, attribute: str) -> Any:
    try:
        module = import_module(module_name)
    except ImportError as error:
        package = module_name.partition(".")[0]
        place = place_in_user_code(error, [f"{package}."])
        fix = "; put its folder on PYTHONPATH" if getattr(error, "name", "") == package else ""
        raise ValueError(f"cannot be imported ({error}){place}{fix}") from error
    if hasattr(module, attribute):
        return getattr(module, attribute)
    names = [n for n in vars(module) if not n.startswith("_")]
    raise ValueError(f"{module_name} has no {attribute}{suggestion(attribute, names)}")


def _belongs(found: Any, module_name: str) -> bool:
    """Return True for a definition of this package, or a class of torch that a node may build."""
    if module_name.startswith("gan_runner."):
        return getattr(found, "__module__", None) == module_name and (
            inspect.isclass(found) or inspect.isfunction(found)
        )
    if not inspect.isclass(found):
        return False
    if module_name.startswith("torch.nn"):
        return issubclass(found, import_module("torch.nn").Module)
    optim = import_module("torch.optim")
    return issubclass(found, (optim.Optimizer, optim.lr_scheduler.LRScheduler))

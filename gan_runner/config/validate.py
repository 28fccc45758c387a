"""Conversion of a composed configuration to a plain tree of checked values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import BeforeValidator

from gan_runner.config import signature
from gan_runner.config.command_line import (
    ENVIRONMENT,
    group_choices,
    hydras_tree,
    split_overrides,
    task_words,
    typed_keys,
)
from gan_runner.config.errors import interpolation_problem
from gan_runner.config.expansion import check_expansion
from gan_runner.config.signature import ConfigTree
from gan_runner.config.targets import locate
from gan_runner.config.unread import helper_groups, named_keys, unread_keys
from gan_runner.config.words import key_of
from gan_runner.objectives.requires import Requirements, requirements_of
from gan_runner.runs.plain import plain
from gan_runner.runs.read import CHOICES
from gan_runner.training.orders import Order

_INTERPOLATION = re.compile(r"^\$\{(\.*)([\w.]+)\}$")


def validate(cfg: DictConfig, *, allow: Sequence[str] = ()) -> ConfigTree:
    """Return the configuration as a plain tree: resolved, checked, and without helper keys.

    Args:
        cfg: the composed configuration; interpolations are resolved here and never again.
        allow: prefixes of targets that the command line allows; `allow_targets` in the
            configuration has to say the same, so that no file can allow a target.

    Raises:
        ValueError: lists every problem, one per line.
    """
    cfg, words = split_overrides(cfg)
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    check_expansion(raw)
    try:
        tree: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} is needed; set {error.full_key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {interpolation_problem(error)}") from error
    tree = plain(tree)
    _check_allowed(tree.get("allow_targets", []), allow)
    # Constants of the objective's paper are already interpolated into the nodes that use them.
    tree.pop("paper_defaults", None)
    tree.pop("penalty", None)  # by now in the terms of the objective
    tree.pop("study", None)  # describes all jobs together, not a single run
    choices = {CHOICES: tree.pop(CHOICES)} if CHOICES in tree else {}
    raw.pop(CHOICES, None)
    named = named_keys(raw, *hydras_tree())
    for name in helper_groups(raw, _TOP, named):
        tree.pop(name, None)
    _check_nodes(tree)
    _choose_critic_norm(tree, allow)
    groups = {key: value for key, value in tree.items() if isinstance(value, dict)}
    top, problems = signature.check_arguments(_top_level, {**tree, **{key: {} for key in groups}})
    for name, group in groups.items():
        top[name], issues = signature.check(group, allow=allow, prefix=name)
        problems += issues
    order, issues = signature.check_arguments(
        _order, {"order": tree["optimizer"].get("order", "alternating")}, prefix="optimizer"
    )
    problems += issues
    problems = [_of_card(problem, raw, typed_keys(words)) for problem in problems]
    _refuse(problems, raw, unread_keys(raw, _TOP, named))
    checked = {k: {} if v is None else _without_helpers(v) for k, v in top.items()}
    # a run directory of an earlier version lacks the groups that change updates
    optional: ConfigTree = {"schedule": {}, "limits": {}, "averages": {}}
    return {**choices, **optional, **checked, "optimizer": {**order, **checked["optimizer"]}}


def _of_card(
    problem: signature.Problem, raw: ConfigTree, typed: Collection[str]
) -> signature.Problem:
    """Return the problem of a card's key that a target of the command line lacks, with the mend.

    Args:
        problem: of any key.
        raw: the configuration with its interpolations as text.
        typed: keys on the command line.
    """
    key, what = problem
    target = f"{key.rpartition('.')[0]}._target_"
    own = {key, sources_of(raw).get(key, key)} & {*typed}
    if not what.startswith("no such key") or own or target not in typed:
        return problem
    words = f"is a key of the card, which the {target} on the command line lacks"
    return f"~{key}", f"{words}; add '~{key}'"  # with a ~, as `_message` would name its source


def _refuse(
    problems: list[signature.Problem], raw: ConfigTree, unread: list[signature.Problem]
) -> None:
    """Raise the problems, one per line, if there are any.

    Raises:
        ValueError: a signature has a problem, or nothing reads a key.
    """
    seen = {where.partition("=")[0] for where, _ in problems}
    unread = [(key, what) for key, what in unread if not {key, key.partition(".")[0]} & seen]
    if problems or unread:
        sources = sources_of(raw)
        lines = [_message(where, what, sources, raw) for where, what in problems]
        lines += [f"{key}: {what}" for key, what in unread]
        raise ValueError("\n".join(dict.fromkeys(lines)))


def _check_allowed(named: Any, allow: Sequence[str]) -> None:
    """Check that no file has added a prefix to those of the command line.

    Raises:
        ValueError: with the word for the command line.
    """
    others = [p for p in named if p not in allow] if isinstance(named, list) else [named]
    if others:
        raise ValueError(
            f"allow_targets={named}: counts from the command line alone, or as allow=[...] of"
            " build; if you trust these packages, name them there"
        )


_NODES = (
    "dataset", "trainer", "health", "objective", "model.generator", "model.critic",
    "optimizer.generator", "optimizer.critic",
)  # fmt: skip


def _check_nodes(tree: ConfigTree) -> None:
    """Check that each part of a run has a `_target_`.

    Raises:
        ValueError: a part is missing, or does not name a target.
    """
    for path in _NODES:
        node: Any = tree
        for key in path.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        if not isinstance(node, dict) or "_target_" not in node:
            raise ValueError(
                f"{path}: should be a node that names a class or function in {path}._target_;"
                f" choose one with {path.partition('.')[0]}=OPTION"
            )


def _top_level(
    *,
    seed: Annotated[int, Ge(0)],
    device: Annotated[str, BeforeValidator(str)],  # a number is for `resolve_device` to refuse
    deterministic: bool,
    allow_targets: list[str],
    dataset: dict[str, Any],
    model: dict[str, Any],
    objective: dict[str, Any],
    optimizer: dict[str, Any],
    trainer: dict[str, Any],
    metrics: dict[str, Any],
    plots: dict[str, Any],
    health: dict[str, Any],
    schedule: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    averages: dict[str, Any] | None = None,
) -> None:
    """Declare the keys of conf/config.yaml as a signature to check against."""


_TOP = list(inspect.signature(_top_level).parameters)


def _order(*, order: Order) -> None:
    """Declare the order of updates, which an optimizer group names for both players."""


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """Return the group choices and the values of overridden keys, for TensorBoard's HParams."""
    choices = group_choices()
    keys = map(key_of, task_words())
    return choices | {key: OmegaConf.select(cfg, key) for key in keys if key not in choices}


def _choose_critic_norm(tree: ConfigTree, allow: Sequence[str]) -> None:
    """Replace a critic norm of "auto" or "batch_or_layer" by one that suits the objective.

    The norm is "batch" unless a part of the objective needs per-sample scores. "auto" then becomes
    "none" and "batch_or_layer" becomes "layer". A constraint that norms would undo gives "none".
    """
    critic, parts = tree["model"]["critic"], list(tree["objective"].values())
    instead = {"auto": "none", "batch_or_layer": "layer"}.get(str(critic.get("norm")))
    if instead is not None:
        names = list(signature.targets(_in_use(parts)))
        critic["norm"] = "batch"
        required = [_requirements(name, allow) for name in names]
        if any(r.per_sample_scores for r in required):
            critic["norm"] = instead
        if any(r.no_feature_norm for r in required):
            critic["norm"] = "none"


def _in_use(value: Any) -> Any:
    """Return a copy without the nodes that a weight of 0 disables."""
    if isinstance(value, dict):
        kept = {key: child for key, child in value.items() if not _is_off(child)}
        return {key: _in_use(child) for key, child in kept.items()}
    return [_in_use(child) for child in value] if isinstance(value, list) else value


def _is_off(node: Any) -> bool:
    return isinstance(node, dict) and "_target_" in node and node.get("weight", 1) == 0


def _requirements(name: Any, allow: Sequence[str]) -> Requirements:
    try:
        return requirements_of(locate(name, allow, place="objective").function)
    except ValueError:  # reported by the check that follows
        return Requirements()


def _without_helpers(value: Any) -> Any:
    """Drop keys that exist only for interpolations, so that every saved value is in use."""
    if not isinstance(value, dict) or "_target_" in value:
        return value
    return {key: _without_helpers(child) for key, child in value.items() if isinstance(child, dict)}


def sources_of(raw: Any, prefix: str = "") -> dict[str, str]:
    """Return {key: source} for the keys that copy another key, such as `lr: ${..lr}`."""
    sources = {}
    for key, value in raw.items() if isinstance(raw, dict) else ():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, str) and (match := _INTERPOLATION.match(value)):
            dots, name = match.groups()
            base = path.split(".")[: -len(dots)] if dots else []
            sources[path] = ".".join([*base, name])
        sources |= sources_of(value, path)
    return sources


def _origin(key: str, raw: ConfigTree) -> str:
    """Return the environment variable that a value comes from, in brackets; "" without one."""
    node: Any = raw
    for word in key.split("."):
        node = node.get(word) if isinstance(node, dict) else None
    match = ENVIRONMENT.search(node) if isinstance(node, str) else None
    return f" (from the environment variable {match[1]})" if match else ""


def _message(where: str, what: str, sources: Mapping[str, str], raw: ConfigTree) -> str:
    key, equals, value = where.partition("=")
    key = sources.get(key, key)
    if "," in value and "unable to parse string" in what:
        what += f"; for a sweep, omit the quotes: -m {key}={value}"
    what += _origin(key, raw)
    key = key.removeprefix("~")
    return (
        f"{key}{equals}{value}: {what}"
        if equals
        else f"{key} {what}"
        if what.startswith("is")
        else f"{key}: {what}"
    )

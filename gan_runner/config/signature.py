"""The signature is the schema: a tree of `_target_` nodes is checked against their signatures.

The checks work on a plain tree (`runs.plain`) and call no target. `targets.locate` finds a target,
and the checked tree carries the function that was found: the one that is checked is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from gan_runner.config.targets import locate
from gan_runner.config.words import suggestion

_DIRECTIVES = ("_target_", "_partial_")
_ANY_TYPE = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)

ConfigTree = dict[str, Any]
Problem = tuple[str, str]
"""A dotted key, with its value, and the description of the problem."""


def check(
    tree: ConfigTree, *, allow: Sequence[str] = (), prefix: str = ""
) -> tuple[ConfigTree, list[Problem]]:
    """Check every `_target_` node below `tree`, and convert its values to the declared types.

    Args:
        tree: nested dictionaries; a node with `_target_` names a class or function.
        allow: prefixes of targets that may stand anywhere; see `targets.locate`.
        prefix: dotted key of the tree; its first word is the group that decides which targets may
            stand in it.

    Returns:
        A converted copy, and all problems: refused and missing targets, unknown keys, missing
        required keys, and values of the wrong type or range.
    """
    if "_target_" not in tree:
        return _check_children(tree, allow, prefix)
    try:
        target = locate(tree["_target_"], allow, place=prefix.partition(".")[0])
    except ValueError as error:
        return tree, [(f"{_join(prefix, '_target_')}={tree['_target_']}", str(error))]
    directives: ConfigTree = {"_target_": target}
    if "_partial_" in tree:
        if not isinstance(tree["_partial_"], bool):
            where = f"{_join(prefix, '_partial_')}={tree['_partial_']}"
            return tree, [(where, "should be true or false")]
        directives["_partial_"] = tree["_partial_"]
    arguments = {key: value for key, value in tree.items() if key not in _DIRECTIVES}
    checked, problems = check_arguments(target.function, arguments, allow=allow, prefix=prefix)
    return {**directives, **checked}, problems


def joined(problems: Sequence[Problem]) -> str:
    """Return problems on one line, each sentence once, after all keys that it is about."""
    keys: dict[str, list[str]] = {}
    for key, sentence in problems:
        keys.setdefault(sentence, []).append(key)
    return "; ".join(f"{', '.join(named)}: {sentence}" for sentence, named in keys.items())


def check_arguments(
    target: Callable[..., Any],
    arguments: ConfigTree,
    *,
    allow: Sequence[str] = (),
    prefix: str = "",
) -> tuple[ConfigTree, list[Problem]]:
    """Check named arguments against a signature; the builder passes the positional parameters.

    Returns:
        A copy of the arguments, converted to the declared types, and all problems.
    """
    keys = {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
        or (
            parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            and parameter.default is not inspect.Parameter.empty
        )
    }
    hints = _hints(target)
    checked, problems = {}, []
    for key, value in arguments.items():
        path = _join(prefix, key)
        if key not in keys:
            problems.append((path, f"no such key{suggestion(key, keys, prefix)}"))
            continue
        checked[key], issues = _check_value(value, allow, path, hints.get(key, Any))
        problems += issues
    for key, parameter in keys.items():
        if parameter.default is inspect.Parameter.empty and key not in arguments:
            problems.append((_join(prefix, key), f"is needed; set {_join(prefix, key)}=VALUE"))
    return checked, problems


def targets(tree: Any) -> Iterator[Any]:
    """Yield every `_target_` below a plain tree, in dictionaries and in lists."""
    if isinstance(tree, dict) and "_target_" in tree:
        yield tree["_target_"]
    for value in _children(tree).values():
        yield from targets(value)


def _children(tree: Any) -> dict[Any, Any]:
    if isinstance(tree, dict):
        return tree
    return dict(enumerate(tree)) if isinstance(tree, list) else {}


def _check_children(
    tree: Any, allow: Sequence[str], prefix: str, hint: Any = Any
) -> tuple[dict[Any, Any], list[Problem]]:
    checked, problems = {}, []
    for key, child in _children(tree).items():
        checked[key], issues = _check_value(child, allow, _join(prefix, str(key)), hint)
        problems += issues
    return checked, problems


def _check_value(
    value: Any, allow: Sequence[str], path: str, hint: Any = Any
) -> tuple[Any, list[Problem]]:
    if isinstance(value, dict) and "_target_" in value:
        return check(value, allow=allow, prefix=path)
    if any(True for _ in targets(value)):
        checked, problems = _check_children(value, allow, path, _item_hint(hint))
        return (checked if isinstance(value, dict) else list(checked.values())), problems
    try:
        return _validate(value, hint), []
    except ValidationError as error:
        reasons = [_reason(e) for e in error.errors(include_url=False)]
        if isinstance(value, bool):
            reasons = [reason.partition(", unable to parse")[0] for reason in reasons]
        return value, [(f"{path}={_show(value)}", " or ".join(dict.fromkeys(reasons)))]


def _item_hint(hint: Any) -> Any:
    """Return the type of a mapping's values, also of an optional mapping; else Any."""
    for option in (hint, *get_args(hint)):
        arguments = get_args(option)
        if isinstance(get_origin(option), type) and issubclass(get_origin(option), Mapping):
            return arguments[1]
    return Any


def _validate(value: Any, hint: Any) -> Any:
    try:
        adapter = _adapter(hint)
    except PydanticSchemaGenerationError:
        return value
    if isinstance(value, bool) and _numeric(adapter):  # pydantic would take true for 1
        adapter.validate_python("")  # raises the error of a value that is not a number
    return adapter.validate_python(value)


def _adapter(hint: Any) -> TypeAdapter[Any]:
    try:
        return _shared_adapter(hint)
    except TypeError:  # a hint with a list or a dictionary in it cannot be a key
        return TypeAdapter(hint, config=_ANY_TYPE)


@cache  # building an adapter takes a hundred times as long as its use
def _shared_adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=_ANY_TYPE)


def _numeric(adapter: TypeAdapter[Any]) -> bool:
    try:
        schema = adapter.json_schema(mode="validation")
    except PydanticInvalidForJsonSchema:  # a function or a tensor is not a number
        return False
    options = schema.get("anyOf", [schema])
    kinds = {option.get("type") for option in options}
    return bool(kinds & {"integer", "number"}) and "boolean" not in kinds


def _reason(error: Any) -> str:
    message = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
    place = "".join(f"[{part}]" for part in error["loc"] if isinstance(part, int))
    return f"{place} {message}".strip()


def _show(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # a user's class with annotations for type checkers only
        return {}


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key

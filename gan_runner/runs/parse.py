"""JSON and YAML of untrusted files, parsed to plain values of a bounded depth and a known shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

import yaml

Shape = Any
"""A type, a tuple of types, [shape of each entry], or {key: shape}.

The key "*" stands for all other keys, and a key with a final "!" has to be present.
"""

MAX_DEPTH = 100  # levels; a saved configuration has about ten
MOST_VALUES = 100_000  # of YAML, which aliases multiply
_DIGITS = 20  # characters of an integer of 64 bits
_PLURAL = {int: "int", float: "number", str: "str", dict: "dict", list: "list", type(None): "None"}


class TooLarge(ValueError):
    """Error for text that stands for too many values, or for too many levels of them."""


def parse_json(text: str) -> Any:
    """Return JSON as plain values; numbers that are not finite become None.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply.
    """
    try:
        content = _DECODER.decode(text.strip())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    check_size(content, inf)
    return content


def parse_yaml(text: str) -> Any:
    """Return YAML as plain values.

    Raises:
        ValueError: the text is not YAML, contains itself, or is nested too deeply.
    """
    try:
        if "<<" in text:
            _check_merges(yaml.compose(text, Loader=yaml.SafeLoader))
        content = yaml.safe_load(text)
    except TooLarge:
        raise
    except RecursionError as error:
        raise TooLarge("nested too deeply") from error
    except Exception as error:  # the constructors of !!int, !!timestamp ... may raise anything
        raise ValueError(type(error).__name__) from error
    check_size(content, MOST_VALUES)
    return content


def _check_merges(root: yaml.Node | None) -> None:
    """Check the number of keys that merges (`<<`) copy, which the parser would multiply.

    Raises:
        TooLarge: there are too many.
    """
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            inner: list[int] = []
            if isinstance(node, yaml.SequenceNode):
                inner = [size(item) for item in node.value]
            elif isinstance(node, yaml.MappingNode):
                inner = [size(v) if key.tag.endswith(":merge") else 1 for key, v in node.value]
            sizes[id(node)] = max(1, sum(inner))
        return sizes[id(node)]

    waiting, seen = [root] if root else [], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            if size(node) > MOST_VALUES:
                raise TooLarge("nested too deeply, or has too many values")
            waiting += [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def mismatch(content: Any, shape: Shape, name: str = "") -> str | None:
    """Return the first difference between a value and a shape as text; None if it fits."""
    if isinstance(shape, Mapping):
        return _mapping_mismatch(content, shape, name)
    if isinstance(shape, list):
        if not isinstance(content, list):
            return f"{name or 'content'} is missing or not of type list"
        issues = (mismatch(item, shape[0], f"{name}[{i}]") for i, item in enumerate(content))
        return next(filter(None, issues), None)
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if isinstance(content, kinds) and not (isinstance(content, bool) and bool not in kinds):
        return None
    return f"{name or 'content'} is missing or not of type {' or '.join(map(_name, kinds))}"


def _mapping_mismatch(content: Any, shape: Mapping[str, Shape], name: str) -> str | None:
    if not isinstance(content, Mapping):
        return f"{name or 'content'} is missing or not of type dict"
    prefix = f"{name}." if name else ""
    for key, inner in shape.items():
        own, needed = key.removesuffix("!"), key.endswith("!")
        others = [k for k in content if k not in shape and f"{k}!" not in shape]
        keys = others if own == "*" else [own] if needed or own in content else []
        for each in keys:
            if issue := mismatch(content.get(each), inner, f"{prefix}{each}"):
                return issue
    return None


def _name(kind: type) -> str:
    return _PLURAL.get(kind, kind.__name__)


def check_size(content: Any, most: float) -> None:
    """Check depth and number of values without recursion; a value that contains itself is deep.

    Raises:
        TooLarge: there are too many levels or values.
    """
    waiting, count = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count + len(waiting) > most:
            raise TooLarge("nested too deeply, or has too many values")
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += [(item, depth + 1) for item in value]


def _finite(text: str) -> float | None:
    value = float(text)
    return value if isfinite(value) else None


def _whole(text: str) -> int | float | None:
    return int(text) if len(text) <= _DIGITS else _finite(text)


_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole)

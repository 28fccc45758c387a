"""JSON and YAML of untrusted files, parsed to plain values of a bounded depth and a known shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import yaml

Shape = Any
"""A type, a tuple of types, [shape of each entry], or {key: shape}.

The key "*" stands for all other keys, and a key with a final "!" has to be present.
"""

MAX_DEPTH = 100  # levels; a saved configuration has about ten
MOST_VALUES = 100_000  # of YAML, which aliases multiply
_MOST_NODES = 20_000  # of YAML as it stands, which takes 60 us each
_MOST_JSON = 1_000_000  # values of a JSON text
_BITS = 64  # of an integer of YAML
_LONG = 100  # characters of an integer of YAML; longer ones take quadratic time in base 60
_DIGITS = 20  # characters of an integer of 64 bits
_NESTED = (dict, list, tuple, set)
_PLURAL = {int: "int", float: "number", str: "str", dict: "dict", list: "list", type(None): "None"}


class TooLarge(ValueError):
    """Error for text that stands for too many values, or for too many levels of them."""


def parse_json(text: str) -> Any:
    """Return JSON as plain values; numbers that are not finite become None.

    Raises:
        ValueError: the text is not JSON, is nested too deeply, or has over a million values.
    """
    check_count(text, _MOST_JSON)
    try:
        content = _DECODER.decode(text.strip())
    except RecursionError as error:
        raise TooLarge("nested too deeply") from error
    check_size(content, _MOST_JSON)
    return content


def check_count(text: str, most: int, *, line: int = 0) -> None:
    """Check the number of values of JSON before it is parsed; a comma in a text counts as well.

    Args:
        text: one JSON value, or one on each line.
        most: largest number of values.
        line: values that a line counts for.

    Raises:
        TooLarge: there are too many.
    """
    if text.count(",") + text.count("[") + text.count("{") + line * text.count("\n") > most:
        raise TooLarge(f"has more than {most:,} values")


class _Loader(yaml.SafeLoader):
    """PyYAML's loader within limits of nodes and of the length of integers."""

    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, as long as there are not too many."""
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise TooLarge(f"has more than {_MOST_NODES:,} values")
        return super().compose_node(parent, index)

    def construct_integer(self, node: Any) -> int:
        """Convert an integer; a long one is left to `_check_integers`."""
        return 1 << _BITS if len(node.value) > _LONG else int(self.construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def parse_yaml(text: str) -> Any:
    """Return YAML as plain values.

    Raises:
        ValueError: the text is not YAML, contains itself, is nested too deeply, or has too many
            values or an integer beyond 64 bits.
    """
    try:
        if "<<" in text:
            _check_merges(yaml.compose(text, Loader=_Loader))
        content = yaml.load(text, Loader=_Loader)
    except TooLarge:
        raise
    except RecursionError as error:
        raise TooLarge("nested too deeply") from error
    except Exception as error:  # the constructors of !!int, !!timestamp ... may raise anything
        raise ValueError(type(error).__name__) from error
    check_size(content, MOST_VALUES)
    if long := next(_long_integers(content), None):
        raise TooLarge(f"{long}: is an integer of more than {_BITS} bits; use a smaller one")
    return content


def _long_integers(value: Any, key: str = "") -> Iterator[str]:
    """Yield the dotted keys of integers that 64 bits cannot hold."""
    if isinstance(value, int) and value.bit_length() > _BITS:
        yield key or "the file"
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _long_integers(name, "a key")
            yield from _long_integers(child, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple | set):
        for number, child in enumerate(value):
            yield from _long_integers(child, f"{key}[{number}]")


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
    waiting, count = [(content, 0)], 1
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict):
            value = value.values()
        elif not isinstance(value, list | tuple | set):
            continue
        count += len(value)
        if count > most or (value and depth >= MAX_DEPTH):
            raise TooLarge("nested too deeply, or has too many values")
        waiting += [(item, depth + 1) for item in value if isinstance(item, _NESTED)]


def finite_values(content: Any) -> Any:
    """Replace NaN and infinities, which JSON does not have, by None."""
    if isinstance(content, Mapping):
        return {key: finite_values(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite_values(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def _finite(text: str) -> float | None:
    value = float(text)
    return value if isfinite(value) else None


def _whole(text: str) -> int | float | None:
    return int(text) if len(text) <= _DIGITS else _finite(text)


_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole)

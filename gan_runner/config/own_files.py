"""Faults of a user's own configuration files, with file, line and the mend."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

_GLOBAL = "# @package _global_"
_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def unreadable(file: str, error: Exception) -> str:
    """Return the line for a file that YAML or OmegaConf cannot read."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"{file}:{mark.line + 1}" if mark else file
    problem = getattr(error, "problem", None) or str(error).strip().partition("\n")[0]
    if "'\\t'" in problem:
        return f"{place}: a tab; indent with spaces"
    if isinstance(error, UnicodeDecodeError):
        return f"{place}: is not UTF-8; save it in that encoding"
    if "duplicate key" in problem:
        return f"{place}: {problem}; keep one of them"
    return f"{place}: {problem}; a line is KEY: VALUE, and text with special characters is quoted"


def own_faults(
    file: Path, content: Any, *, group: str, package: str | None, groups: Collection[str]
) -> Iterator[str]:
    """Yield the faults of a file that YAML can read, each as one line.

    Args:
        file: a user's own file.
        content: its keys, without the defaults list.
        group: folder that the file is in, within the folder of groups; "" at the top.
        package: in its `# @package` line; None without one.
        groups: names of the groups of a run.
    """
    root = yaml.compose(file.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    if root is None:
        yield f"{file}:1: is empty and would have no effect; write KEY: VALUE, or {{}} for no keys"
    elif not isinstance(root, yaml.MappingNode):
        kind = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
        line = root.start_mark.line + 1
        yield f"{file}:{line}: {kind} at the top; write keys as KEY: VALUE, without a dash"
    else:
        yield from _booleans(file, root)
        if group and package is None:
            yield from _without_package(file, root, content, group=group, groups=groups)


def _booleans(file: Path, node: yaml.Node, key: str = "") -> Iterator[str]:
    """Yield the words that YAML takes for booleans, such as `norm: no`."""
    if isinstance(node, yaml.MappingNode):
        for name, child in node.value:
            yield from _booleans(file, name)
            yield from _booleans(file, child, f"{name.value}: ")
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _booleans(file, child, key)
    elif node.tag.endswith(":bool") and (value := _BOOLEANS.get(node.value.lower())):
        words = f"'{node.value}' in quotes" + (", or none" if value == "false" else "")
        yield (
            f"{file}:{node.start_mark.line + 1}: {key}{node.value} is a boolean in YAML; write"
            f" {value}, {words}"
        )


def _without_package(
    file: Path, root: yaml.MappingNode, content: Any, *, group: str, groups: Collection[str]
) -> Iterator[str]:
    """Yield the fault of a file whose keys belong to the top level, but would land in its group."""
    # unresolved: an interpolation names keys that are not there before composition
    plain = OmegaConf.to_container(content) if OmegaConf.is_config(content) else content
    keys = plain if isinstance(plain, Mapping) else {}
    stray = [
        str(key)
        for key, value in keys.items()
        if group == "experiment" or (key in groups and isinstance(value, Mapping))
    ]
    if stray:
        line = next(k.start_mark.line for k, _ in root.value if k.value == stray[0]) + 1
        yield (
            f"{file}:{line}: {stray[0]} would become {group}.{stray[0]}, which nothing reads; write"
            f" {_GLOBAL} as the first line"
        )

"""Objects from the nodes of a configuration, which `signature.check` has checked.

This is the only module that calls a target.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from gan_runner.config.signature import ConfigTree

_DIRECTIVES = ("_target_", "_partial_")


def instantiate(node: ConfigTree, *args: Any) -> Any:
    """Call the target of a checked node with its arguments, in which nodes are instantiated first.

    Values are taken as they stand: nothing is imported, interpolated or converted here.

    Args:
        node: from `signature.check`; with `_partial_: true`, the call is left to the caller.
        args: positional arguments of the target.

    Raises:
        ValueError: the target lacks a positional argument.
    """
    function = node["_target_"].function
    arguments = {key: _argument(v) for key, v in node.items() if key not in _DIRECTIVES}
    if node.get("_partial_"):
        return partial(function, *args, **arguments)
    try:
        inspect.signature(function).bind(*args, **arguments)
    except TypeError as error:
        raise ValueError(
            f"{node['_target_']} cannot be called ({error}); is _partial_: true missing?"
        ) from error
    return function(*args, **arguments)


def _argument(value: Any) -> Any:
    if isinstance(value, dict):
        if "_target_" in value:
            return instantiate(value)
        return {key: _argument(child) for key, child in value.items()}
    return [_argument(child) for child in value] if isinstance(value, list) else value

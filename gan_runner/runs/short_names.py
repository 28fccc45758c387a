"""Dotted keys by their last words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return for each dotted key its shortest end that is not the end of another one."""
    parts = {key: key.split(".") for key in keys}
    names: dict[str, str] = {}
    left, size = list(parts), 1
    while left:  # one word more, but only for those that still collide
        ends = {key: ".".join(parts[key][-size:]) for key in left}
        counts = Counter(ends.values())
        names |= {k: end for k, end in ends.items() if end == k or counts[end] == 1}
        left, size = [key for key in left if key not in names], size + 1
    return {key: names[key] for key in parts}

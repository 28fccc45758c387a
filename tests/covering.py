"""Cases of a law: a covering part in the fast tier, the others in the slow one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pytest


def some(entries: Iterable[Any], *, one_in: int) -> list[Any]:
    """Return all entries; of `one_in` of them the first is in the fast tier."""
    return [
        pytest.param(entry, marks=pytest.mark.slow if k % one_in else ())
        for k, entry in enumerate(entries)
    ]


def covering(
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    one_in: int,
    always: Collection[tuple[str, str]] = (),
) -> list[Any]:
    """Return all pairs; the fast ones hold each entry of both lists, and those that `always` names."""
    assert one_in <= min(len(first), len(second))
    return [
        pytest.param(
            a, b, marks=() if (i + j) % one_in == 0 or (a, b) in always else pytest.mark.slow
        )
        for i, a in enumerate(first)
        for j, b in enumerate(second)
    ]

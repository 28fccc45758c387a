"""Memory of an evaluation, checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from gan_runner.runs.memory import free_memory

_COPIES = 4  # of the samples: themselves, their noise, features and distances


def check_memory(count: int, shape: Sequence[int]) -> None:
    """Check that samples of a shape fit into the free memory of the machine.

    Raises:
        ValueError: they do not.
    """
    needed, free = _COPIES * count * prod(shape) * 4, free_memory()
    if free is not None and needed > free:
        sizes = f"need about {needed / 2**30:,.0f} GiB and {free / 2**30:.0f} GiB are free"
        raise ValueError(f"--count {count}: the samples {sizes}; choose a smaller number")

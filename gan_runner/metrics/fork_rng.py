"""Temporary seeding of torch's global random generator on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fork_rng(seed: int) -> Iterator[None]:
    """Seed the CPU's random numbers with `seed`, and restore their previous state on exit.

    User warnings are muted, because torchmetrics warns each time that it keeps features in memory.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        yield

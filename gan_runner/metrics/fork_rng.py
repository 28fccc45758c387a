"""Calling what draws from torch's global generator without changing it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fork_rng(seed: int) -> Iterator[None]:
    """Random numbers on the CPU start from `seed`; afterwards they go on as if nothing had been.

    Warnings are muted: torchmetrics says each time that it keeps the features it is given.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        yield

"""Endless, seeded, resumable batches: from a table on the training device, if it fits there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from gan_runner.core import Batch, RowIndices, StateDict, to_unit

_SHARE_OF_MEMORY = 0.5  # of the accelerator's free memory that the table may take
_AHEAD = 8  # batches that are read and pinned before they are asked for

Position = tuple[int, int]
"""Epoch, and rows of it that have been handed out."""


def place(table: Batch, device: torch.device) -> Batch:
    """The table on the device, if it takes at most half of the memory that is free there."""
    return _to(table, device) if _fits(table.x, device) else table


class Stream:
    """Batches without replacement, in a fresh order each epoch; a last, partial one is dropped.

    `next` hands out what is needed to make a batch on the device, and `to_batch` makes it there:
    rows of a table that lies on the device are gathered in the update, as part of what is compiled
    or captured. Rows of a table that does not fit are read ahead of time by a thread, pinned and
    copied while the device is at work. The order is a function of (seed, epoch) alone, so
    `state_dict` is two integers.

    Args:
        table: all samples; uint8 images are normalised when served. See `place`.
        batch_size: rows of a batch.
        seed: of the permutations.
        device: where batches are wanted.

    Raises:
        ValueError: the batch is larger than the table.
    """

    def __init__(self, table: Batch, *, batch_size: int, seed: int, device: torch.device) -> None:
        if batch_size > len(table.x):
            raise ValueError(
                f"trainer.batch_size={batch_size} is larger than the training data"
                f" ({len(table.x)} samples); set trainer.batch_size={len(table.x)} or less"
            )
        self.table, self.device, self.batch_size = table, device, batch_size
        self.order = _Order(len(table.x), batch_size, seed, table.x.device)
        self.position = self.order.position
        self.ahead = None if _same(table.x.device, device) else _ReadAhead(self._read)

    def next(self) -> RowIndices:
        """What `to_batch` needs for the next batch: (rows,), or (x,) or (x, y) as they are"
        " stored."""
        if self.ahead is None:
            rows, self.position = self.order.next()
            return (rows,)
        stored, self.position = self.ahead.next()
        return tuple(part.to(self.device, non_blocking=True) for part in stored)

    def to_batch(self, first: Tensor, *rest: Tensor) -> Batch:
        """The batch, on the device: float32 x (batch_size, *shape), and labels or None."""
        x, y = self.table.x, self.table.y
        if self.ahead is None:
            return Batch(to_unit(x[first]), None if y is None else y[first])
        return Batch(to_unit(first), *rest)

    def state_dict(self) -> StateDict:
        """Where the stream stands: after the last batch that was handed out."""
        epoch, position = self.position
        return {"epoch": epoch, "position": position}

    def load_state_dict(self, state: StateDict) -> None:
        """Continue where `state` was taken."""
        self.position = state["epoch"], state["position"]
        if self.ahead is not None:
            self.ahead.forget()
        self.order.seek(self.position)

    def _read(self) -> tuple[RowIndices, Position]:
        rows, position = self.order.next()
        parts = [part[rows] for part in self.table if part is not None]
        pinned = self.device.type == "cuda"  # so that the copy can run beside the computation
        return tuple(part.pin_memory() if pinned else part for part in parts), position


class _Order:
    """Row numbers of one batch after another."""

    def __init__(self, n: int, batch_size: int, seed: int, device: torch.device) -> None:
        self.n, self.batch_size, self.seed, self.device = n, batch_size, seed, device
        self.seek((0, 0))

    def seek(self, position: Position) -> None:
        epoch, _ = self.position = position
        order = torch.from_numpy(np.random.default_rng([self.seed, epoch]).permutation(self.n))
        if self.device.type == "cuda":  # an epoch begins without waiting for the device
            order = order.pin_memory()
        self.rows = order.to(self.device, non_blocking=True)

    def next(self) -> tuple[Tensor, Position]:
        """The rows, and where the order stands after them."""
        epoch, start = self.position
        if start + self.batch_size > self.n:
            epoch, start = epoch + 1, 0
            self.seek((epoch, start))
        self.position = (epoch, start + self.batch_size)
        return self.rows[start : start + self.batch_size], self.position


class _ReadAhead:
    """Results of a function, computed in order by a thread before they are asked for."""

    def __init__(self, read: Callable[[], tuple[RowIndices, Position]]) -> None:
        self.read, self.waiting = read, deque[Future]()
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def next(self) -> tuple[RowIndices, Position]:
        while len(self.waiting) < _AHEAD + 1:
            self.waiting.append(self.pool.submit(self.read))
        return self.waiting.popleft().result()

    def forget(self) -> None:
        """Drop what was read; the thread is idle when this returns."""
        while self.waiting:
            self.waiting.popleft().result()


def held_out(batch: Batch, count: int, *, device: torch.device, seed: int) -> Batch:
    """`count` rows at most, drawn without replacement, normalised and on the device."""
    rows = torch.randperm(len(batch.x), generator=torch.Generator().manual_seed(seed))[:count]
    y = None if batch.y is None else batch.y[rows].to(device)
    return Batch(to_unit(batch.x[rows].to(device)), y)


def _same(one: torch.device, other: torch.device) -> bool:
    """cuda is cuda:0 where that is the current one."""
    return one.type == other.type and (other.index is None or one.index == other.index)


def _to(table: Batch, device: torch.device) -> Batch:
    return Batch(table.x.to(device), None if table.y is None else table.y.to(device))


def _fits(x: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return x.numel() * x.element_size() < _SHARE_OF_MEMORY * free

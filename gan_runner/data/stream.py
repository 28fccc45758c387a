"""Endless, seeded, resumable batches, from a table on the training device if it fits there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from gan_runner.core import Batch, RowIndices, StateDict, to_unit
from gan_runner.data.transforms import Transform

_SHARE_OF_MEMORY = 0.5  # largest share of the accelerator's free memory for the table
_AHEAD = 8  # batches that are read and pinned ahead of time

Position = tuple[int, int]
"""Epoch, and number of its rows in batches so far."""


def place(table: Batch, device: torch.device) -> Batch:
    """Move the table to the device if it takes less than half of the free memory there."""
    return _to(table, device) if _fits(table.x, device) else table


class Stream:
    """Batches without replacement, in a new order each epoch; a last, partial batch is dropped.

    `next` returns the inputs of `to_batch`, which makes the batch on the device. Rows of a table on
    the device are gathered inside the update, so this is compiled or captured with it. Rows of a
    table that does not fit are read ahead by a thread, pinned, and copied while the device
    computes. The order is a function of (seed, epoch) alone, so `state_dict` is two integers.

    Args:
        table: all samples; uint8 images are normalised per batch. See `place`.
        batch_size: rows of a batch.
        seed: seed of the permutations.
        device: device of the batches.
        transform: maps stored samples to float32; None: pixels to [-1, 1].

    Raises:
        ValueError: the batch is larger than the table, or the transform does not apply to it.
    """

    def __init__(
        self,
        table: Batch,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        transform: Transform | None = None,
    ) -> None:
        if batch_size > len(table.x):
            raise ValueError(
                f"trainer.batch_size={batch_size}: the batch is larger than the training data"
                f" ({len(table.x)} samples); set trainer.batch_size={len(table.x)} or less"
            )
        self.table, self.device, self.batch_size = table, device, batch_size
        self.transform = transform or Transform()
        self.transform.check(table)
        self.order = _Order(len(table.x), batch_size, seed, table.x.device)
        self.position = self.order.position
        self.ahead = None if _same(table.x.device, device) else _ReadAhead(self._read)

    def next(self) -> RowIndices:
        """Return the inputs of `to_batch` for the next batch: (rows,), or stored (x,) or (x, y)."""
        if self.ahead is None:
            rows, self.position = self.order.next()
            return (rows,)
        stored, self.position = self.ahead.next()
        return tuple(part.to(self.device, non_blocking=True) for part in stored)

    def to_batch(self, first: Tensor, *rest: Tensor) -> Batch:
        """Return the batch on the device: float32 x (batch_size, *shape), and labels or None."""
        x, y = self.table.x, self.table.y
        if self.ahead is None:
            return Batch(self.transform(x[first]), None if y is None else y[first])
        return Batch(self.transform(first), *rest)

    def state_dict(self) -> StateDict:
        """Return the position after the last batch that `next` returned."""
        epoch, position = self.position
        return {"epoch": epoch, "position": position}

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the position that `state_dict` returned."""
        self.position = state["epoch"], state["position"]
        if self.ahead is not None:
            self.ahead.forget()
        self.order.seek(self.position)

    def _read(self) -> tuple[RowIndices, Position]:
        rows, position = self.order.next()
        parts = [part[rows] for part in self.table if part is not None]
        pinned = self.device.type == "cuda"  # so that the copy overlaps with computation
        return tuple(part.pin_memory() if pinned else part for part in parts), position


class _Order:
    """Endless sequence of the batches' row numbers."""

    def __init__(self, n: int, batch_size: int, seed: int, device: torch.device) -> None:
        self.n, self.batch_size, self.seed, self.device = n, batch_size, seed, device
        self.position: Position = (0, 0)
        self.rows = self._rows(epoch=0)

    def seek(self, position: Position) -> None:
        self.position, self.rows = position, self._rows(epoch=position[0])

    def _rows(self, *, epoch: int) -> Tensor:
        """Return an epoch's order on the device."""
        order = torch.from_numpy(np.random.default_rng([self.seed, epoch]).permutation(self.n))
        if self.device.type == "cuda":  # a new epoch does not wait for the device
            order = order.pin_memory()
        return order.to(self.device, non_blocking=True)

    def next(self) -> tuple[Tensor, Position]:
        """Return the rows of the next batch, and the position after them."""
        epoch, start = self.position
        if start + self.batch_size > self.n:
            epoch, start = epoch + 1, 0
            self.seek((epoch, start))
        self.position = (epoch, start + self.batch_size)
        return self.rows[start : start + self.batch_size], self.position


class _ReadAhead:
    """Queue of a function's results, computed in order and ahead of time by a thread."""

    def __init__(self, read: Callable[[], tuple[RowIndices, Position]]) -> None:
        self.read, self.waiting = read, deque[Future]()
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def next(self) -> tuple[RowIndices, Position]:
        while len(self.waiting) < _AHEAD + 1:
            self.waiting.append(self.pool.submit(self.read))
        return self.waiting.popleft().result()

    def forget(self) -> None:
        """Discard the queued results and wait until the thread is idle."""
        while self.waiting:
            self.waiting.popleft().result()


def held_out(batch: Batch, count: int, *, device: torch.device, seed: int) -> Batch:
    """Draw at most `count` rows without replacement, normalised and on the device."""
    rows = torch.randperm(len(batch.x), generator=torch.Generator().manual_seed(seed))[:count]
    y = None if batch.y is None else batch.y[rows].to(device)
    return Batch(to_unit(batch.x[rows].to(device)), y)


def _same(one: torch.device, other: torch.device) -> bool:
    """Return whether two devices are the same; one without an index matches every index."""
    return one.type == other.type and (other.index is None or one.index == other.index)


def _to(table: Batch, device: torch.device) -> Batch:
    return Batch(table.x.to(device), None if table.y is None else table.y.to(device))


def _fits(x: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return x.numel() * x.element_size() < _SHARE_OF_MEMORY * free

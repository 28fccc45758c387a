"""Endless, seeded, resumable batches from a table that lies on the training device if it fits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gan_runner.core import Batch, State

_SHARE_OF_MEMORY = 0.5  # of the accelerator's free memory that the table may take


def to_unit(x: Tensor) -> Tensor:
    """Pixels 0..255 (uint8) to float32 in [-1, 1]: x / 127.5 - 1. Floats pass unchanged."""
    return x.float().div_(127.5).sub_(1.0) if x.dtype == torch.uint8 else x


class Stream:
    """Batches without replacement, in a fresh order each epoch; a last, partial one is dropped.

    The order is a function of (seed, epoch) alone, so `state_dict` is two integers.

    Args:
        table: all samples; uint8 images are normalised when served.
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
        home = device if _fits(table.x, device) else torch.device("cpu")
        self.table = Batch(table.x.to(home), None if table.y is None else table.y.to(home))
        self.device, self.batch_size, self.seed = device, batch_size, seed
        self._start_epoch(0)

    def next(self) -> Batch:
        """The next batch, on the device: float32 x (batch_size, *shape) and labels or None."""
        if self.position + self.batch_size > len(self.order):
            self._start_epoch(self.epoch + 1)
        rows = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        x, y = self.table
        x = to_unit(x[rows].to(self.device, non_blocking=True))
        return Batch(x, None if y is None else y[rows].to(self.device, non_blocking=True))

    def state_dict(self) -> State:
        """Where the stream stands."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: State) -> None:
        """Continue where `state` was taken."""
        self._start_epoch(state["epoch"])
        self.position = state["position"]

    def _start_epoch(self, epoch: int) -> None:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.table.x))
        self.order = torch.from_numpy(order).to(self.table.x.device)
        self.epoch, self.position = epoch, 0


def held_out(batch: Batch, count: int, *, device: torch.device, seed: int) -> Batch:
    """`count` rows at most, drawn without replacement, normalised and on the device."""
    rows = torch.randperm(len(batch.x), generator=torch.Generator().manual_seed(seed))[:count]
    y = None if batch.y is None else batch.y[rows].to(device)
    return Batch(to_unit(batch.x[rows].to(device)), y)


def _fits(x: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return x.numel() * x.element_size() < _SHARE_OF_MEMORY * free

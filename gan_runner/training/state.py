"""What a run is at one instant: the running average, random states, checkpoints on disk."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gan_runner.core import State


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Exponential moving average of weights and of batch-norm statistics.

    average <- d average + (1 - d) network with d = min(decay, (1 + step) / (10 + step)), so that a
    young average forgets its random start; integer buffers are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(_tensors(average), _tensors(network), strict=True))
    floats = [(a, n) for a, n in pairs if a.is_floating_point()]
    get_ema_multi_avg_fn(decay)([a for a, _ in floats], [n for _, n in floats], None)
    for a, n in pairs:
        if not a.is_floating_point():
            a.copy_(n)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def random_state(device: torch.device) -> State:
    """States of the generators that training draws from: torch's, on the CPU and the device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def save_checkpoint(path: Path, state: State) -> None:
    """Write a checkpoint so that `path` holds either all of it or what it held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, device: torch.device) -> State:
    """Read a checkpoint: tensors and plain values only, nothing in it is executed."""
    return torch.load(path, map_location=device, weights_only=True)


def checkpoints(run_dir: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted((run_dir / "checkpoints").glob("step_*.pt"))

"""What a run is at one instant: the running average and the random states."""

from __future__ import annotations

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


def set_random_state(state: State, device: torch.device) -> None:
    """Continue the generators where `random_state` was taken."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)

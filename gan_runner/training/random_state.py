"""The states of the random generators that training draws from."""

from __future__ import annotations

import torch

from gan_runner.core import StateDict


def random_state(device: torch.device) -> StateDict:
    """Return the states of the generators that training draws from: the CPU's and the device's."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: StateDict, device: torch.device) -> None:
    """Continue the generators where `random_state` was called."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:  # absent where the run began on a CPU
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)

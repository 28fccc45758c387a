"""What a run is at one instant: what training depends on, the running average, random states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gan_runner.core import State

if TYPE_CHECKING:
    from gan_runner.training.trainer import Trainer


class Average:
    """Exponential moving average of weights and of batch-norm statistics, in place.

    average <- d average + (1 - d) network with d = min(decay, (1 + step) / (10 + step)), so that a
    young average forgets its random start; integer buffers are copied.

    Args:
        averages: the tensors that hold the average.
        tensors: those that it follows, one for each.
        decay: d; 0 makes the average a copy.
        spectral: see `spectral_parts`, of the network that holds the average. The mean of singular
            vectors is none; theirs follow the averaged weights by a power iteration a step.
    """

    def __init__(
        self,
        averages: Iterable[Tensor],
        tensors: Iterable[Tensor],
        *,
        decay: float,
        spectral: Iterable[tuple[nn.Module, Tensor]] = (),
    ) -> None:
        self.spectral = list(spectral)
        vectors = {id(v) for part, _ in self.spectral for v in part.buffers()}
        pairs = [p for p in zip(averages, tensors, strict=True) if id(p[0]) not in vectors]
        self.floats = [(a, n) for a, n in pairs if a.is_floating_point()]
        self.others = [(a, n) for a, n in pairs if not a.is_floating_point()]
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take one step of the average, after `step` steps before it."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, tensors = zip(*self.floats, strict=True)
        get_ema_multi_avg_fn(decay)(list(averages), list(tensors), None)
        for average, tensor in self.others:
            average.copy_(tensor)
        for part, weight in self.spectral:
            part.train()(weight)
            part.eval()


def tensors_of(network: nn.Module) -> list[Tensor]:
    """Parameters, then buffers."""
    return [*network.parameters(), *network.buffers()]


def average_of(average: nn.Module, network: nn.Module, *, decay: float) -> Average:
    """The running average of a whole network, in a copy of it."""
    tensors = tensors_of(average), tensors_of(network)
    return Average(*tensors, decay=decay, spectral=spectral_parts(average))


def spectral_parts(network: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    """What divides weights by their spectral norms (torch's parametrization), and the weights."""
    return [
        (part, module.original)
        for module in network.modules()
        if isinstance(module, ParametrizationList)
        for part in module
        if hasattr(part, "_power_method")
    ]


def trained_state(run: Trainer) -> State:
    """Everything that the steps of a run depend on, and nothing else; tensors are not copied."""
    nets = run.nets
    return {
        "step": run.step,
        "generator": nets.generator.state_dict(),
        "critic": nets.critic.state_dict(),
        "average": nets.average.state_dict(),
        "generator_optimizer": run.optimizers["generator"].state_dict(),
        "critic_optimizer": run.optimizers["critic"].state_dict(),
        "stream": run.stream.state_dict(),
        "random": random_state(run.noise.z.device),
    }


def load_trained_state(run: Trainer, state: State) -> None:
    """Put a run where `state` was taken; optimizers may go on with the tensors in it."""
    nets, run.step = run.nets, state["step"]
    nets.generator.load_state_dict(state["generator"])
    nets.critic.load_state_dict(state["critic"])
    nets.average.load_state_dict(state["average"])
    run.optimizers["generator"].load_state_dict(state["generator_optimizer"])
    run.optimizers["critic"].load_state_dict(state["critic_optimizer"])
    run.stream.load_state_dict(state["stream"])
    set_random_state(state["random"], run.noise.z.device)


def copied(value: Any) -> Any:
    """The same nested values, with tensors of their own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    return type(value)(map(copied, value)) if isinstance(value, list | tuple) else value


def random_state(device: torch.device) -> State:
    """States of the generators that training draws from: torch's, on the CPU and the device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: State, device: torch.device) -> None:
    """Continue the generators where `random_state` was taken."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:  # not where the run began on a CPU
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)

"""The exponential moving average (EMA) of a generator's weights, which samples are drawn from."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gan_runner.private_apis import is_spectral_norm


class EMA:
    """Exponential moving average of weights and of batch-norm statistics, in place.

    ema <- d ema + (1 - d) network with d = min(decay, (1 + step) / (10 + step)), so that a young
    average forgets its random start; integer buffers are copied.

    Args:
        averages: the tensors that hold the average.
        tensors: those that it follows, one for each.
        decay: d; 0 makes the average a copy.
        spectral: see `spectral_parts`, of the network that holds the average. A mean of singular
            vectors is not a singular vector; a power iteration a step follows the averaged weights.
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
    """Return parameters, then buffers."""
    return [*network.parameters(), *network.buffers()]


def ema_of(average: nn.Module, network: nn.Module, *, decay: float) -> EMA:
    """Return the moving average of a whole network, held by a copy of it."""
    tensors = tensors_of(average), tensors_of(network)
    return EMA(*tensors, decay=decay, spectral=spectral_parts(average))


def spectral_parts(network: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    """Return torch's spectral-norm parametrizations, each with the weight that it divides."""
    return [
        (part, module.original)
        for module in network.modules()
        if isinstance(module, ParametrizationList)
        for part in module
        if is_spectral_norm(part)
    ]

"""The types that flow between the parts: batches, latents, losses, data facts, protocols.

Every other module speaks in these types; this one imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

CRITIC_W, CRITIC_GAP = "wasserstein/critic", "critic/gap"


class Batch(NamedTuple):
    """Samples and, where the data has classes, their labels; of generated ones also their noise.

    `x` is (N, C, H, W) for images and (N, d) for points: uint8 pixels in storage, float32 (images
    in [-1, 1]) once a `data.stream.Stream` has served them. `y` is (N,) int64, or None. `z` is
    (N, latent_dim), the noise of generated samples; None for data.
    """

    x: Tensor
    y: Tensor | None = None
    z: Tensor | None = None


RowIndices = tuple[Tensor, ...]
"""One batch as a stream hands it out: row numbers of a table on the device, or the rows."""


class Latent(NamedTuple):
    """The input of a generator: noise `z` (N, latent_dim), labels `y` (N,) or None."""

    z: Tensor
    y: Tensor | None = None


class Loss(NamedTuple):
    """A scalar to descend, and the 0-d tensors worth logging beside it, by tag."""

    total: Tensor
    logs: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class DataSpec:
    """The facts about a data set that networks, metrics and plots are sized by.

    Attributes:
        name: as the user knows it.
        shape: of one sample: (C, H, W) with pixels in [-1, 1], or (d,).
        n_classes: 0 where the data has no labels; class_names: theirs, where they have any.
        modes: centres (K, d) of a mixture, where they are known.
        mode_std: standard deviation of each component, in the data's units.
    """

    name: str
    shape: tuple[int, ...]
    n_classes: int = 0
    modes: np.ndarray | None = None
    mode_std: float | None = None
    class_names: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        """Return True for (C, H, W) images, False for points."""
        return len(self.shape) == 3

    def __str__(self) -> str:
        if self.is_image:
            channels, height, width = self.shape
            return f"{self.name}, {height}x{width} pixels, {channels} channel{'s' * (channels > 1)}"
        return f"{self.name}, points of {self.shape[0]} number{'s' * (self.shape[0] > 1)}"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory: its facts, the samples to train on and those held out."""

    spec: DataSpec
    train: Batch
    heldout: Batch


class Critic(Protocol):
    """A network `(x, y) -> f(x)`: one number per sample.

    One that lets its last hidden layer be used as well has a module `features`: (x, y) -> (N, d).
    """

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, *shape) samples to (N,) scores: the higher, the more real."""
        ...


class HasHeads(Critic, Protocol):
    """A critic whose parts can be called by themselves: a player in training."""

    def submodule(self, name: str, *inputs: Tensor | None) -> Any:
        """Call the module `name` of the critic, with the weights that the critic is called with.

        "features" maps (x, y) to the last hidden layer (N, d); others are an objective's `heads`.
        """
        ...


class HasParameters(Protocol):
    """A module, or a player in training, that shows the weights it computes with.

    They are looked up by name at the time of the call. A player may be called with other weights
    than its network's own: the inputs of a gradient, or those of one replica.
    """

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield names and weights, like `torch.nn.Module.named_parameters`."""
        ...


@dataclass(eq=False)
class Nets:
    """The two players, and the generator's moving average that samples are drawn from."""

    generator: nn.Module
    critic: nn.Module
    generator_ema: nn.Module

    @property
    def weights(self) -> dict[str, Tensor]:
        """Return all trained weights by player and name: generator/layers.0.weight ..."""
        players = {"generator": self.generator, "critic": self.critic}
        return {f"{p}/{n}": w for p, net in players.items() for n, w in net.named_parameters()}


@dataclass(frozen=True, eq=False)
class EvalContext:
    """Constants of a run that metrics and plots are built from.

    Attributes:
        dataset: as it is stored: uint8 pixels (see `to_unit`), perhaps on another device.
        heldout: the reference samples of all metrics, float32, on the players' device.
        batch_size: of training; a critic with batch norm wants it kept.
        seed: of the metrics' own random numbers; device: the players'.
        categories: values of the categorical code that the noise begins with; 0: there is none.
        samples: of each generator in a snapshot; 0: as many as are held out.
        code: number of coordinates of the noise that belong to the code.
        critic_tag: tag of the critic's estimate on training batches.
    """

    dataset: Dataset
    heldout: Batch
    batch_size: int
    seed: int
    device: torch.device
    categories: int = 0
    samples: int = 0
    code: int = 0
    critic_tag: str = CRITIC_W

    @property
    def spec(self) -> DataSpec:
        """Return the facts about the data."""
        return self.dataset.spec

    @cached_property
    def reference(self) -> dict[str, Any]:
        """Return the provenance of the reference samples."""
        x = self.heldout.x.detach().cpu().contiguous()
        content = sha256(x.numpy().tobytes()).hexdigest()[:12]
        of = len(self.dataset.heldout.x)
        return {"reference": "held-out", "rows": len(x), "of": of, "content": content}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a run that metrics and plots see on a tick; they never change it.

    Attributes:
        nets: the players as they stand, in the modes they train in.
        spec: facts about the data.
        heldout: samples that no player was trained on; a small data set may have few.
        samples: N samples (N, *shape) of the generator as it stands.
        samples_ema: N samples of its moving average, always from the same noise.
        noise: of both, with their labels.
        history: the points of all curves, {"step": n, tag: value ...}; None where not finite.
    """

    nets: Nets
    spec: DataSpec
    heldout: Batch
    samples: Tensor
    samples_ema: Tensor
    noise: Latent
    history: Sequence[Mapping[str, float | None]] = ()

    @property
    def labels(self) -> Tensor | None:
        """Return the labels (N,) of the samples, or None."""
        return self.noise.y

    @property
    def samples_by_generator(self) -> dict[str, Tensor]:
        """Return the samples of both generators by the suffix of their tags."""
        return {"": self.samples_ema, "_raw": self.samples}


Provenance = Mapping[str, Any]
"""The settings that a number depends on; numbers of unlike settings do not compare.
For display: `better` ("higher", "lower", "neither") and `beside`, the tag whose chart shows it.
"""


class Metric(Protocol):
    """A metric, built from an `EvalContext`; see `recorder.measure` for costly ones.

    Attributes:
        provenance: of each of its numbers, by tag; empty where the metric does not apply.
    """

    provenance: Mapping[str, Provenance]

    def __call__(self, snapshot: Snapshot) -> Mapping[str, float]:
        """Return `{tag: value}`; metrics undefined for non-finite samples are omitted."""
        ...


class Plot(Protocol):
    """A plot, built from an `EvalContext`."""

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Return the drawing (H, W, 3) uint8; None where there is nothing to show."""
        ...


StateDict = dict[str, Any]
"""The state that a part continues from: plain values and tensors."""


def to_unit(x: Tensor) -> Tensor:
    """Map pixels 0..255 (uint8) to float32 in [-1, 1]: x / 127.5 - 1. Floats pass unchanged."""
    return x.float().div_(127.5).sub_(1.0) if x.dtype == torch.uint8 else x


def forward_without_buffer_updates(
    network: nn.Module, x: Tensor, y: Tensor | None = None
) -> Tensor:
    """Call a network in its present mode, but leave its buffers (batch-norm averages) alone."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return functional_call(network, buffers, (x, y))


def fixed_size_slices(count: int, size: int) -> list[tuple[slice, int]]:
    """Return slices of `size` rows (or of all), each with the number of rows seen before."""
    firsts = [(max(0, min(start, count - size)), start) for start in range(0, count, size)]
    return [(slice(first, first + size), start - first) for first, start in firsts]


def ensemble_mean(scores: Tensor, rows: int) -> Tensor:
    """Return one score per row (rows,): the mean over an ensemble with scores (K rows,)."""
    return scores.view(-1, rows).mean(0)


@torch.no_grad()
def is_per_sample(network: nn.Module, x: Tensor, y: Tensor | None = None) -> bool:
    """Return True if the output of each row is independent of the other rows of the batch.

    The outputs of a batch's halves are compared with those of the whole. Batch norm, minibatch
    features and anything random make it false. The network is left as it was.

    Args:
        network: in the mode it trains in.
        x: at least 4 different rows of input.
        y: their labels, or None.
    """
    network, half = deepcopy(network).double(), len(x) // 2  # the rounding of float32 would hide
    x = x.double() if x.is_floating_point() else x  # a feature of the batch with a small weight
    parts = [slice(0, half), slice(half, None)]
    whole = forward_without_buffer_updates(network, x, y)
    halves = torch.cat(
        [forward_without_buffer_updates(network, x[p], None if y is None else y[p]) for p in parts]
    )
    return torch.allclose(whole, halves, rtol=1e-9, atol=1e-9 * float(whole.abs().max()))

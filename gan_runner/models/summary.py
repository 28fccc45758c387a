"""What a network is made of: layers, output shapes, parameters, FLOPs, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gan_runner.core import forward_without_buffer_updates


@dataclass(frozen=True)
class Layer:
    """One layer as it was called: its name in the network, its kind, what came out of it.

    Attributes:
        name: dotted.
        kind: its class.
        shape: of its output for one sample.
        parameters: trainable numbers.
        flops: of its forward pass for one sample; a multiplication and an addition are two. Only
            convolutions and matrix products count.
        times: how many like it follow each other.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
    times: int = 1


@dataclass(frozen=True)
class Summary:
    """A network's layers in the order of their calls, and what they add up to.

    Attributes:
        layers: those without layers inside.
        blocks: the same, those that belong together added up.
        parameters: trainable numbers.
        flops: of a forward pass for one sample.
        step_bytes: of the weights, their gradients, and what a forward pass over a batch keeps for
            its backward pass; an optimizer's moments and a penalty's second pass come on top.
        drawn: what was chosen at random; see `random_architecture`.
    """

    layers: Sequence[Layer]
    blocks: Sequence[Layer]
    parameters: int
    flops: int
    step_bytes: int
    drawn: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """The sums, and what was drawn."""
        sums = {"parameters": self.parameters, "flops": self.flops, "step_bytes": self.step_bytes}
        return sums | ({"architecture": dict(self.drawn)} if self.drawn else {})

    def text(self, name: str, *, whole: bool) -> str:
        """The sums and the table, as people read them."""
        drawn = "".join(f" {key}={value}" for key, value in self.drawn.items())
        drawn = f"; drawn:{drawn}" if drawn else ""
        size = f"{self.step_bytes / 2**20:.3g} MiB a step"
        head = f"{self.parameters:,} parameters, {_si(self.flops)}FLOP a sample, {size}{drawn}"
        rows = self.table(whole=whole).splitlines()
        return "\n".join([f"  {name:<11} {head}", *(f"    {row}" for row in rows), ""])

    def table(self, *, whole: bool) -> str:
        """A line for each layer, or for each block that has parameters, alike ones in one."""
        layers = self.layers if whole else _fold([b for b in self.blocks if b.parameters])
        cells = [
            (
                layer.name,
                layer.kind + (f" x{layer.times}" if layer.times > 1 else ""),
                "x".join(map(str, layer.shape)) or "1",
                f"{layer.times * layer.parameters:,}" if layer.parameters else "",
                f"{_si(layer.times * layer.flops)}FLOP" if layer.flops else "",
            )
            for layer in layers
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(_line(row, widths) for row in cells)


@torch.random.fork_rng()
def summarise(
    network: nn.Module, x: Tensor, y: Tensor | None = None, *, batch_size: int
) -> Summary:
    """Call a network once, and note what happens; it is left as it was.

    Args:
        network: in the mode it trains in.
        x: a few rows of its input, two at least where it has batch norm.
        y: their labels, or None.
        batch_size: rows of a training step.
    """
    layers: list[Layer] = []
    kept: dict[int, int] = {}
    weights = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        address, size = storage.data_ptr(), tensor.numel() * tensor.element_size()
        if address not in weights:  # a view of more counts by itself
            kept[address] = max(kept.get(address, 0), min(size, storage.nbytes()))
        return tensor

    rows = len(x)
    with _watch(network, layers), saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward_without_buffer_updates(network, x, y)  # noqa: F841 -- alive, so that no address is reused
    trainable = [p for p in network.parameters() if p.requires_grad]
    weight_bytes = sum(2 * p.numel() * p.element_size() for p in trainable)
    return Summary(
        layers=layers,
        blocks=_blocks(network, layers),
        parameters=sum(p.numel() for p in trainable),
        flops=sum(layer.flops for layer in layers),
        step_bytes=weight_bytes + sum(kept.values()) * batch_size // rows,
        drawn=getattr(network, "architecture", {}),
    )


@contextmanager
def _watch(network: nn.Module, layers: list[Layer]) -> Iterator[None]:
    """Write down each call of a layer that has no layers inside."""
    hooks, seen = [], set[nn.Parameter]()  # a layer that is called twice has its weights once
    for name, module in network.named_modules():
        inside = {child for child, _ in module.named_children()} - {"parametrizations"}
        if inside or "parametrizations" in name:
            continue

        def note(module: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
            new = [p for p in module.parameters() if p.requires_grad and p not in seen]
            seen.update(new)
            count = sum(p.numel() for p in new)
            kind = type(module).__name__.removeprefix("Parametrized")
            flops = _flops(module, given[0].shape, output.shape)
            layers.append(Layer(name, kind, tuple(output.shape[1:]), count, flops))

        hooks.append(module.register_forward_hook(note))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _flops(layer: nn.Module, given: torch.Size, output: torch.Size) -> int:
    """Of a forward pass for one sample: each weight once at every pixel that it is moved to.

    torch's own counter says the same, but takes a second to import the compiler.
    """
    if isinstance(layer, nn.Linear):
        return 2 * layer.weight.numel()
    if isinstance(layer, nn.Conv2d):
        return 2 * layer.weight.numel() * prod(output[2:])
    if isinstance(layer, nn.ConvTranspose2d):
        return 2 * layer.weight.numel() * prod(given[2:])
    return 0


def _blocks(network: nn.Module, layers: Sequence[Layer]) -> list[Layer]:
    """Layers of one block in one: those that agree in the first two parts of their names."""
    blocks = []
    for name, group in groupby(layers, key=lambda layer: ".".join(layer.name.split(".")[:2])):
        inside = list(group)
        kind = type(network.get_submodule(name)).__name__.removeprefix("Parametrized")
        parameters, flops = sum(b.parameters for b in inside), sum(b.flops for b in inside)
        blocks.append(Layer(name, kind, inside[-1].shape, parameters, flops))
    return blocks


def _fold(layers: Sequence[Layer]) -> list[Layer]:
    """Neighbours that are alike but for their names, as one."""
    alike = groupby(layers, key=lambda layer: replace(layer, name=""))
    folded = []
    for _, group in alike:
        first, *others = group
        folded.append(replace(first, times=1 + len(others)))
    return folded


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, kind, *numbers = cells
    left = f"{name:<{widths[0]}}  {kind:<{widths[1]}}"
    right = [f"{n:>{w}}" for n, w in zip(numbers, widths[2:], strict=True)]
    return "  ".join([left, *right]).rstrip()


def _si(number: float) -> str:
    """Three digits and a prefix: 12300000 -> '12.3 M'."""
    for prefix in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {prefix}"
        number /= 1000
    return f"{number:.3g} T"

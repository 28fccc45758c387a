"""Listing of a network: layers, output shapes, parameters, FLOPs, memory."""

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
    """One layer as it was called: name in the network, kind, output.

    Attributes:
        name: dotted.
        kind: its class, by the name of torch's where ours only differs in speed.
        shape: of its output for one sample.
        parameters: trainable numbers.
        flops: of its forward pass per sample; a multiplication and an addition are two.
            Convolutions, matrix products and attention count.
        times: number of equal layers in a row.
        is_counted: False for a layer with matrices whose FLOPs are unknown.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
    times: int = 1
    is_counted: bool = True


@dataclass(frozen=True)
class Summary:
    """The layers of a network in the order of their calls, with sums.

    Attributes:
        layers: those without layers inside, and those with parameters of their own.
        blocks: the same layers, added up block by block.
        parameters: trainable numbers.
        flops: of a forward pass per sample.
        step_bytes: of the weights, their gradients, and the tensors that a forward pass over a
            batch keeps for its backward pass. An optimizer's moments and a penalty's second pass
            come on top.
        drawn: the random choices of an architecture; see `random_architecture`.
    """

    layers: Sequence[Layer]
    blocks: Sequence[Layer]
    parameters: int
    flops: int
    step_bytes: int
    drawn: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """Return the sums and the random choices."""
        sums = {"parameters": self.parameters, "flops": self.flops, "step_bytes": self.step_bytes}
        return sums | ({"architecture": dict(self.drawn)} if self.drawn else {})

    def text(self, name: str, *, whole: bool) -> str:
        """Return the sums and the table for people."""
        drawn = "".join(f" {key}={value}" for key, value in self.drawn.items())
        drawn = f"; drawn:{drawn}" if drawn else ""
        size = f"{self.step_bytes / 2**20:.3g} MiB of memory per step"
        unknown = dict.fromkeys(layer.kind for layer in self.layers if not layer.is_counted)
        without = f" (without {', '.join(unknown)})" if unknown else ""
        flops = f"{_si(self.flops)}FLOP per sample{without}"
        plural = "" if self.parameters == 1 else "s"
        head = f"{self.parameters:,} parameter{plural}, {flops}, {size}{drawn}"
        rows = self.table(whole=whole).splitlines()
        legend = [f"    {_LEGEND}"] if whole else []
        return "\n".join([f"  {name:<11} {head}", *legend, *(f"    {row}" for row in rows), ""])

    def table(self, *, whole: bool) -> str:
        """Return a line per layer or per block with parameters, equal ones in one line."""
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


_LEGEND = (
    "layer, kind, output per sample, parameters, FLOP of a forward pass per sample (2 for a"
    " multiply-add); MiB: weights, gradients and stored activations of one batch"
)


@torch.random.fork_rng()
def summarise(
    network: nn.Module, x: Tensor, y: Tensor | None = None, *, batch_size: int
) -> Summary:
    """Call a network once and list its layers; the network is left as it was.

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
    """Write down each call of a layer without layers inside, or with parameters left to count.

    The second kind has parameters of its own, or layers that it does not call, as attention has.
    """
    hooks, seen = [], set[nn.Parameter]()  # a layer that is called twice has its weights once
    for name, module in network.named_modules():
        if "parametrizations" in name:
            continue
        inside = {child for child, _ in module.named_children()} - {"parametrizations"}

        def note(
            module: nn.Module, inputs: Any, output: Any, name: str = name, leaf: bool = not inside
        ) -> None:
            new = [p for p in module.parameters() if p.requires_grad and p not in seen]
            if not (leaf or new):
                return
            seen.update(new)
            first = output[0] if isinstance(output, tuple) else output
            count = sum(p.numel() for p in new)
            flops = _flops(module, inputs[0].shape, first.shape)
            is_counted_here = (
                flops > 0 or isinstance(module, nn.Embedding) or all(p.ndim < 2 for p in new)
            )
            shape = tuple(first.shape[1:])
            kind = kind_of(module)
            layers.append(
                Layer(name or "(other)", kind, shape, count, flops, is_counted=is_counted_here)
            )

        hooks.append(module.register_forward_hook(note))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def kind_of(module: nn.Module) -> str:
    """Return the class of a layer, or the name that it is known by (`listed_as`)."""
    listed_as: str | None = getattr(module, "listed_as", None)
    return listed_as or type(module).__name__.removeprefix("Parametrized")


def _flops(layer: nn.Module, inputs: torch.Size, output: torch.Size) -> int:
    """Count the FLOPs of a forward pass per sample: each weight once at every output pixel.

    torch's own counter says the same, but takes a second to import the compiler.
    """
    if isinstance(layer, nn.Linear):
        return 2 * layer.weight.numel()
    if isinstance(layer, nn.Conv2d):
        return 2 * layer.weight.numel() * prod(output[2:])
    if isinstance(layer, nn.ConvTranspose2d):
        return 2 * layer.weight.numel() * prod(inputs[2:])
    if isinstance(layer, nn.MultiheadAttention):
        length, width = (inputs[1], inputs[2]) if layer.batch_first else (inputs[0], inputs[2])
        return 2 * length * 4 * width**2 + 2 * 2 * length**2 * width
    return 0


def _blocks(network: nn.Module, layers: Sequence[Layer]) -> list[Layer]:
    """Add up the layers of each block, which share the first two parts of their names."""
    blocks = []
    for name, group in groupby(layers, key=lambda layer: ".".join(layer.name.split(".")[:2])):
        inside = list(group)
        whole = name != "(other)" and (len(inside) > 1 or inside[0].name != name)
        kind = kind_of(network.get_submodule(name)) if whole else inside[0].kind
        parameters, flops = sum(b.parameters for b in inside), sum(b.flops for b in inside)
        blocks.append(Layer(name, kind, inside[-1].shape, parameters, flops))
    return blocks


def _fold(layers: Sequence[Layer]) -> list[Layer]:
    """Fold neighbours that differ in their names alone."""
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
    """Format three digits and a prefix: 12300000 -> '12.3 M'."""
    for prefix in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {prefix}"
        number /= 1000
    return f"{number:.3g} T"

"""Gradient norms from layer to layer (Gulrajani et al. 2017, figure 1b)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from torch import Tensor, autograd, nn

from gan_runner.core import EvalContext, Snapshot, ensemble_mean
from gan_runner.plots.figures import Axes
from gan_runner.plots.samples import OF_DATA, OF_SAMPLES, new_figure, rendered

INPUT = "input"
_NAMED = 26  # largest number of layers of a player that the plot labels by name


def gradient_norms(
    networks: Sequence[nn.Module], x: Tensor, y: Tensor | None = None, *, batch_size: int
) -> list[dict[str, float]]:
    """Compute E |d f / d h|_2 for the input of each network and for the output of each layer.

    f is the score at the end of the chain of networks: [critic] at data, or [generator, critic] at
    noise. The norm is per row, over all coordinates of h; the mean is over rows. The values do not
    depend on the objective. A loss multiplies f of a row by the same factor in all layers, so the
    growth from layer to layer is that of f; a penalty adds a gradient that is not shown. A layer is
    a module with a weight of two dimensions or more; h is the output before norms and activations.
    For an ensemble, the values are means over members. The networks are not changed.

    Args:
        networks: networks in training mode, each called with the previous output and y.
        x: input of the first network, (N, ...).
        y: labels (N,), or None.
        batch_size: rows per batch, as in training.

    Returns:
        For each network the means by layer in the order of calls, the network's input first.
    """
    networks = [deepcopy(network) for network in networks]  # norms may count their calls
    sums: list[dict[str, float]] = [{} for _ in networks]
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        labels = None if y is None else y[rows]
        outputs: list[tuple[int, str, Tensor]] = []
        h = x[rows].detach().requires_grad_()
        for k, network in enumerate(networks):
            outputs.append((k, INPUT, h))
            with _watched(network, k, outputs):
                h = network(h, labels)
        score = ensemble_mean(h, len(x[rows])).sum()
        tensors = [tensor for *_, tensor in outputs]
        gradients = autograd.grad(score, tensors, materialize_grads=True)
        for (k, name, _), gradient in zip(outputs, gradients, strict=True):
            norms = gradient.flatten(1).double().norm(dim=1)  # squares of 1e-23 are 0 in float32
            total = norms.sum().item()
            sums[k][name] = sums[k].get(name, 0.0) + total
    return [{name: total / len(x) for name, total in totals.items()} for totals in sums]


@contextmanager
def _watched(
    network: nn.Module, number: int, outputs: list[tuple[int, str, Tensor]]
) -> Iterator[None]:
    """Append (number, name, output) to `outputs` for each layer with a weight that is called."""
    hooks = []
    for name, module in network.named_modules():
        inside = {child for child, _ in module.named_children()} - {"parametrizations"}
        weighty = any(weight.ndim > 1 for weight in module.parameters())
        if inside or "parametrizations" in name or not weighty:
            continue

        def note(_: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
            if inputs[0].is_floating_point():  # embeddings take integers and are skipped
                outputs.append((number, _member_free(name), output))

        hooks.append(module.register_forward_hook(note))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _member_free(name: str) -> str:
    """Return a layer's name without the prefix of the ensemble member."""
    return re.sub(r"^members\.\d+\.", "", name)


class GradientNorms:
    """`gradient_norms` of both players on a log scale, from noise to sample and sample to score.

    The line from noise continues through the critic; a second line starts at held-out data. If a
    line rises or falls to the left by decades, gradients explode or vanish in the backward pass.
    The last layer's output is the score, whose norm is 1. Both players have their current weights.

    Args:
        context: constants of the run.
        rows: largest number of rows, of noise and of data, that the means are taken over.
    """

    def __init__(self, context: EvalContext, *, rows: Annotated[int, Ge(1)] = 256) -> None:
        self.batch_size, self.rows = context.batch_size, rows

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None if a norm is not finite."""
        nets, size, n = snapshot.nets, self.batch_size, self.rows
        z, y = snapshot.noise.z[:n], None if snapshot.labels is None else snapshot.labels[:n]
        real, real_labels = (
            snapshot.heldout.x[:n],
            None if snapshot.heldout.y is None else snapshot.heldout.y[:n],
        )
        path = gradient_norms([nets.generator, nets.critic], z, y, batch_size=size)
        (at_data,) = gradient_norms([nets.critic], real, real_labels, batch_size=size)
        if not np.isfinite([v for norms in (*path, at_data) for v in norms.values()]).all():
            return None
        widths = [max(4, len(norms)) for norms in path]
        figure = new_figure(min(14, 3 + 0.36 * sum(widths)), 4.6)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=widths)
        _norms_by_layer(left, {"from noise": (path[0], OF_SAMPLES)}, title="generator")
        lines = {"at samples": (path[1], OF_SAMPLES), "at held-out data": (at_data, OF_DATA)}
        _norms_by_layer(right, lines, title="critic")
        left.set_ylabel("E |df/dh|, h the output of a layer")
        left.set_ylim(*_decades(*left.get_ylim()))
        return rendered(figure)


def _decades(low: float, high: float) -> tuple[float, float]:
    """Return limits of a log axis with the same centre and at least two decades."""
    stretch = max(1.0, 10 / (high / low) ** 0.5)
    return low / stretch, high * stretch


def _norms_by_layer(
    axes: Axes, lines: Mapping[str, tuple[Mapping[str, float], str]], *, title: str
) -> None:
    for label, (norms, colour) in lines.items():
        values = [value or np.nan for value in norms.values()]  # a log scale has no 0
        axes.plot(values, "o-", ms=4, lw=1.4, color=colour, label=label)
    names = list(next(iter(lines.values()))[0])
    axes.set_yscale("log")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    if len(names) <= _NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    else:
        axes.set_xlabel("layer, from the input")

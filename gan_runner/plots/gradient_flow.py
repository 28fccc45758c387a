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
_NAMED = 26  # layers of a player that the picture has room to name


def gradient_norms(
    networks: Sequence[nn.Module], x: Tensor, y: Tensor | None = None, *, batch_size: int
) -> list[dict[str, float]]:
    """E |d f / d h|_2 for what goes into each network, and for what each of its layers makes.

    f is the score at the end of the networks, one after the other: those of [critic] at data, or of
    [generator, critic] at noise. The norm is that of one row, over all coordinates of h; the mean
    is over rows. It depends on no objective: a loss multiplies a row's f by one number, in all
    layers alike, so that it grows and shrinks from layer to layer as f does (a penalty adds its
    own). A layer has a weight of two dimensions or more; h is what leaves it, before norms and
    activations. Of an ensemble it is the mean over its members. The networks are left as they are.

    Args:
        networks: each in the mode it trains in, called with what the one before makes, and y.
        x: input of the first, (N, ...).
        y: labels (N,), or None.
        batch_size: rows at once, as in training.

    Returns:
        For each network the means by layer, its input first, in the order of their calls.
    """
    networks = [deepcopy(network) for network in networks]  # norms may count their calls
    sums: list[dict[str, float]] = [{} for _ in networks]
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        labels = None if y is None else y[rows]
        made: list[tuple[int, str, Tensor]] = []
        h = x[rows].detach().requires_grad_()
        for k, network in enumerate(networks):
            made.append((k, INPUT, h))
            with _watched(network, k, made):
                h = network(h, labels)
        score = ensemble_mean(h, len(x[rows])).sum()
        found = autograd.grad(score, [tensor for *_, tensor in made], materialize_grads=True)
        for (k, name, _), gradient in zip(made, found, strict=True):
            norms = gradient.flatten(1).double().norm(dim=1)  # squares of 1e-23 are 0 in float32
            total = norms.sum().item()
            sums[k][name] = sums[k].get(name, 0.0) + total
    return [{name: total / len(x) for name, total in its.items()} for its in sums]


@contextmanager
def _watched(
    network: nn.Module, number: int, made: list[tuple[int, str, Tensor]]
) -> Iterator[None]:
    """Note what leaves each layer with a weight, as (number, name, output)."""
    hooks = []
    for name, module in network.named_modules():
        inside = {child for child, _ in module.named_children()} - {"parametrizations"}
        weighty = any(weight.ndim > 1 for weight in module.parameters())
        if inside or "parametrizations" in name or not weighty:
            continue

        def note(_: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
            if given[0].is_floating_point():  # not the table of an embedding
                made.append((number, _member_free(name), output))

        hooks.append(module.register_forward_hook(note))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _member_free(name: str) -> str:
    """A name without the number of the ensemble's member that it lies in."""
    return re.sub(r"^members\.\d+\.", "", name)


class GradientNorms:
    """`gradient_norms` of both players on a log scale, from noise to sample and sample to score.

    The line of the generator goes on through the critic; there is another from held-out data. A
    line that climbs or falls to the left by decades is a gradient that explodes or vanishes on its
    way back. The last layer's output is the score, whose norm is 1. Both players are as they stand.

    Args:
        context: of the run.
        rows: of noise and of data that means are taken over, at most.
    """

    def __init__(self, context: EvalContext, *, rows: Annotated[int, Ge(1)] = 256) -> None:
        self.batch_size, self.rows = context.batch_size, rows

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Paint a view."""
        nets, size, n = snapshot.nets, self.batch_size, self.rows
        z, y = snapshot.noise.z[:n], None if snapshot.labels is None else snapshot.labels[:n]
        real, its = (
            snapshot.heldout.x[:n],
            None if snapshot.heldout.y is None else snapshot.heldout.y[:n],
        )
        path = gradient_norms([nets.generator, nets.critic], z, y, batch_size=size)
        (at_data,) = gradient_norms([nets.critic], real, its, batch_size=size)
        if not np.isfinite([v for norms in (*path, at_data) for v in norms.values()]).all():
            return None
        widths = [max(4, len(norms)) for norms in path]
        figure = new_figure(min(14, 3 + 0.36 * sum(widths)), 4.6)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=widths)
        _norms_by_layer(left, {"from noise": (path[0], OF_SAMPLES)}, title="generator")
        lines = {"at samples": (path[1], OF_SAMPLES), "at held-out data": (at_data, OF_DATA)}
        _norms_by_layer(right, lines, title="critic")
        left.set_ylabel("E |df/dh|, h what a layer makes")
        left.set_ylim(*_decades(*left.get_ylim()))
        return rendered(figure)


def _decades(low: float, high: float) -> tuple[float, float]:
    """Limits of a log axis that is two decades high at least, about the same centre."""
    stretch = max(1.0, 10 / (high / low) ** 0.5)
    return low / stretch, high * stretch


def _norms_by_layer(
    axes: Axes, lines: Mapping[str, tuple[Mapping[str, float], str]], *, title: str
) -> None:
    for label, (norms, colour) in lines.items():
        values = [value or np.nan for value in norms.values()]  # 0 is nowhere on a log scale
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

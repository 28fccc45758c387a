"""Histograms of each layer's weights (Gulrajani et al. 2017, figure 1b)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from gan_runner.core import EvalContext, Snapshot
from gan_runner.plots.figures import Axes
from gan_runner.plots.samples import OF_SAMPLES, new_figure, rendered

_LAYERS = 12  # largest number of layers shown per player
_COLUMNS = 6
_BINS = 61
_OF_CRITIC = "tab:green"


class WeightHistograms:
    """A histogram of current weights per layer, for at most twelve layers of each player.

    Clipped weights pile up at the ends of the range (Gulrajani et al. 2017, figure 1b). A layer
    under spectral norm shows the trained weights, before the division by the norm.
    """

    def __init__(self, context: EvalContext) -> None:
        del context  # all plots have this signature; this one needs no context

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None if a weight is not finite."""
        weights = {name: w for name, w in snapshot.nets.weights.items() if w.ndim > 1}
        if not weights or not all(w.isfinite().all() for w in weights.values()):
            return None
        by_player = [
            _spread([(name, w) for name, w in weights.items() if name.startswith(player)])
            for player in ("generator/", "critic/")
        ]
        columns = min(_COLUMNS, max(map(len, by_player)))
        rows = [-(-len(shown) // columns) for shown in by_player]
        figure = new_figure(2.3 * columns, 1.9 * sum(rows))
        colours, starts = (OF_SAMPLES, _OF_CRITIC), (0, rows[0] * columns)
        for shown, colour, start in zip(by_player, colours, starts, strict=True):
            for place, (name, weight) in enumerate(shown, start=start + 1):
                axes = figure.add_subplot(sum(rows), columns, place)
                _histogram(axes, weight.detach().flatten().cpu().double().numpy(), colour=colour)
                axes.set_title(f"{_short(name)}\n{'x'.join(map(str, weight.shape))}", fontsize=7)
        return rendered(figure)


def _spread(layers: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Return at most twelve layers, evenly spread, with the first and the last."""
    if len(layers) <= _LAYERS:
        return layers
    places = np.linspace(0, len(layers) - 1, _LAYERS).round().astype(int)
    return [layers[place] for place in places]


def _histogram(axes: Axes, values: np.ndarray, *, colour: str) -> None:
    half = float(np.abs(values).max()) or 1.0
    bins = min(_BINS, 11 + 2 * int(len(values) ** 0.5 / 2))  # few weights need few bins
    axes.stairs(*np.histogram(values, np.linspace(-half, half, bins)), fill=True, color=colour)
    axes.set_xlim(-1.05 * half, 1.05 * half)
    axes.set_yticks([])
    axes.set_xticks([-half, 0, half], [f"{-half:.2g}", "0", f"{half:.2g}"], fontsize=7)


def _short(name: str) -> str:
    return name.replace(".parametrizations", "").removesuffix(".original").removesuffix(".weight")

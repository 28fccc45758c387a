"""Plot of the critic's output over the plane."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge

from gan_runner.core import EvalContext, Snapshot
from gan_runner.plots.figures import label_text
from gan_runner.plots.samples import critic_on_grid, half_width, new_figure, rendered

_LEVELS = 24


class CriticSurface:
    """f(x) in colour over the plane, with level lines, data and samples.

    The plot follows figure 1 (left) of Gulrajani et al. 2017. Here f is the current critic, trained
    together with the generator. Only for data in the plane.

    Args:
        context: constants of the run.
        side: points of the grid along each axis; the paper has 128.
        points: largest number of data points, and of samples, that are drawn.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        side: Annotated[int, Ge(2)] = 128,
        points: Annotated[int, Ge(0)] = 400,
    ) -> None:
        self.side, self.points = side, points

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None if the data is not planar or f is not finite."""
        if snapshot.spec.shape != (2,):
            return None
        real, fake = (x.cpu().numpy() for x in (snapshot.heldout.x, snapshot.samples_ema))
        half = half_width(real)
        axis = np.linspace(-half, half, self.side, dtype=np.float32)
        value = critic_on_grid(snapshot, axis)
        if not np.isfinite(value).all():
            return None
        figure = new_figure(6, 5)
        axes = figure.subplots()
        filled = axes.contourf(axis, axis, value, levels=_LEVELS, cmap="viridis")
        axes.contour(axis, axis, value, levels=_LEVELS, colors="black", linewidths=0.4, alpha=0.5)
        groups = ((real, "tab:red", "data"), (fake, "white", "generator"))
        for x, colour, label in groups:
            x = x[: self.points]
            axes.scatter(
                x[:, 0], x[:, 1], s=9, c=colour, label=label, edgecolors="black", linewidths=0.3
            )
        axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
        axes.set_title(f"{label_text(snapshot.spec.name)}: the critic's value f(x)")
        axes.legend(loc="upper right", markerscale=1.5)
        figure.colorbar(filled, ax=axes)
        return rendered(figure)

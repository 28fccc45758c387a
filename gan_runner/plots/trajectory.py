"""Plot of the path that two players of one weight each have taken."""

from __future__ import annotations

import numpy as np

from gan_runner.core import EvalContext, Snapshot
from gan_runner.plots.learning_curves import curves_of
from gan_runner.plots.samples import new_figure, rendered


class Trajectory:
    """(x, y) after each evaluation so far, coloured by step, from the start to the present point.

    There is no plot where `game/x` and `game/y` are not logged (see `metrics.radius`), and none at
    step 0.

    Args:
        context: constants of the run.
        start: (x, y) before training; the log begins after the first step.
    """

    def __init__(self, context: EvalContext, *, start: tuple[float, float]) -> None:
        self.start = start

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot."""
        curves = curves_of(snapshot.history)
        if not {"game/x", "game/y"} <= curves.keys():
            return None
        steps, xs = curves["game/x"]
        path = np.array([self.start, *zip(xs, curves["game/y"][1], strict=True)])
        figure = new_figure(6, 5)
        axes = figure.subplots()
        axes.plot(*path.T, color="tab:grey", lw=0.6, zorder=1)
        dots = axes.scatter(*path.T, c=[0.0, *steps], s=8, cmap="viridis", zorder=2)
        marks = (("start", path[0], "o"), (f"step {steps[-1]:,.0f}", path[-1], "s"))
        for label, point, marker in (*marks, ("solution", np.zeros(2), "*")):
            axes.scatter(*point, s=90, marker=marker, edgecolors="black", label=label, zorder=3)
        side = 1.1 * np.nanmax(np.abs(path))
        axes.set(xlim=(-side, side), ylim=(-side, side), aspect="equal")
        axes.set(xlabel="x (generator)", ylabel="y (critic)")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=3, frameon=False)
        figure.colorbar(dots, ax=axes, label="step")
        return rendered(figure)

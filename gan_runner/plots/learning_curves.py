"""Plot of the learning curves, next to current samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import log

import numpy as np

from gan_runner.core import EvalContext, Snapshot
from gan_runner.plots.figures import Axes, fit_flat, label_text
from gan_runner.plots.samples import Samples, draw_points, new_figure, points_of, rendered
from gan_runner.runs.tags import FLOOR, panel, record_of

Curve = tuple[list[float], list[float]]
"""Steps and values."""

_DISTANCES, _QUALITIES = panel("distances"), panel("qualities")
_DIVERGENCES = ("jsd/*", *panel("divergences"))
_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


class Curves:
    """W, JSD and sample quality over the steps so far, next to current samples.

    Curves of the raw generator (tags that end in _raw) are omitted. There is no plot at step 0.

    Args:
        context: constants of the run.
        distances: tags of the first panel; * matches anything.
        divergences: tags of the second panel, in nats, with a line at log 2, the largest
            Jensen-Shannon divergence.
        qualities: tags of the third panel; the first two that are logged, each on a separate axis.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        distances: Sequence[str] = _DISTANCES,
        divergences: Sequence[str] = _DIVERGENCES,
        qualities: Sequence[str] = _QUALITIES,
    ) -> None:
        self.distances, self.divergences, self.qualities = distances, divergences, qualities
        self.samples = Samples(context)

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None if no curve matches."""
        curves = curves_of(snapshot.history)
        kinds = (self.distances, self.divergences, self.qualities)
        groups = [matching(curves, patterns) for patterns in kinds]
        panels = [
            (draw, group)
            for draw, group in zip((_distances, _divergences, _qualities), groups, strict=True)
            if group
        ]
        if not panels:
            return None
        figure = new_figure(13, 5.8)
        layout = figure.add_gridspec(len(panels), 2, width_ratios=(1.4, 1))
        axes: Axes = None  # all panels share the steps
        for row, (draw, group) in enumerate(panels):
            axes = figure.add_subplot(layout[row, 0], sharex=axes)
            draw(axes, group)
            axes.grid(alpha=0.3)
        axes.set_xlabel("step")
        step = max(int(point["step"] or 0) for point in snapshot.history)
        self._draw_samples(figure.add_subplot(layout[:, 1]), snapshot, f"samples at step {step:,}")
        return rendered(figure)

    def _draw_samples(self, axes: Axes, snapshot: Snapshot, title: str) -> None:
        if snapshot.spec.is_image:
            axes.imshow(self.samples(snapshot))
            axes.set_axis_off()
            axes.set_title(title)
        else:
            draw_points(axes, *points_of(snapshot), title=title, snapshot=snapshot)


def curves_of(history: Sequence[Mapping[str, float | None]]) -> dict[str, Curve]:
    """Return steps and values of each tag; a value that is not finite is a gap (NaN)."""
    curves: dict[str, Curve] = {}
    for point in history:
        for tag, value in point.items():
            if tag == "step":
                continue
            steps, values = curves.setdefault(tag, ([], []))
            steps.append(float(point["step"] or 0))
            values.append(np.nan if value is None else value)
    return curves


def matching(curves: Mapping[str, Curve], patterns: Sequence[str]) -> dict[str, Curve]:
    """Return curves whose tags match, in the order of the patterns, without _raw and spreads."""
    shown = [t for t in curves if not t.endswith("_raw") and record_of(t).kind != "spread"]
    return {tag: curves[tag] for p in patterns for tag in shown if fnmatchcase(tag, p)}


def _distances(axes: Axes, curves: Mapping[str, Curve]) -> None:
    _draw(axes, curves)
    axes.set_ylabel("W")
    axes.axhline(0, color="black", lw=0.6)


def _divergences(axes: Axes, curves: Mapping[str, Curve]) -> None:
    _draw(axes, curves)
    if any(tag.startswith("jsd/") for tag in curves):
        axes.axhline(log(2), color="black", lw=0.8, ls="--", label="log 2")
        _legend(axes)
    axes.axhline(0, color="black", lw=0.6)
    axes.set_ylabel("nats")


def _qualities(axes: Axes, curves: Mapping[str, Curve]) -> None:
    for k, (tag, curve) in enumerate(list(curves.items())[:2]):
        twin = axes.twinx() if k else axes
        twin.plot(*curve, marker=".", ms=3, lw=1.3, color=_COLOURS[k], clip_on=False, zorder=3)
        fit_flat(twin, curve[1])
        twin.set_ylabel(label_text(tag.partition("/")[2].replace("_", " ")), color=_COLOURS[k])
        twin.tick_params(axis="y", labelcolor=_COLOURS[k])


def _draw(axes: Axes, curves: Mapping[str, Curve]) -> None:
    """Draw lines; a floor is dotted, in the colour of the metric."""
    tags = list(dict.fromkeys(tag.removesuffix(FLOOR) for tag in curves))
    for tag, curve in curves.items():
        colour = _COLOURS[tags.index(tag.removesuffix(FLOOR)) % len(_COLOURS)]
        line = ":" if tag.endswith(FLOOR) else "-"
        name = tag.removeprefix("wasserstein/")
        axes.plot(*curve, marker=".", ms=3, lw=1.3, ls=line, label=label_text(name), color=colour)
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Draw the legend outside of the panel, where it hides no lines."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)

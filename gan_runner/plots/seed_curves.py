"""Curves of groups of runs with bands, as one figure file for a paper; it reads files only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from gan_runner.plots.figures import Axes, Figure, fit_flat, label_text
from gan_runner.runs.files import atomic_path
from gan_runner.runs.groups import Group
from gan_runner.runs.rows import Band, Unit
from gan_runner.runs.tags import FLOOR

FORMATS = ("pdf", "png", "svg", "eps")

# Okabe & Ito 2008: colours that readers with colour-blindness tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_LABELS = {"step": "generator updates", "critic_updates": "critic updates",
           "seconds": "seconds of training"}  # fmt: skip
_POINTS = 400  # largest number of points of a curve
_MARKED = 12  # largest number of points of a curve with markers
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (4, 1.5, 1, 1.5)), (0, (1.5, 1.5)))
_DODGE = 8  # points between the groups of a panel in which they have one value each


@dataclass(frozen=True, eq=False)
class BandCurve:
    """The mean curve of a group of runs, and a band around it.

    Attributes:
        x: positions.
        mean: over the runs.
        low: lower edge of the band.
        high: upper edge of the band.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def band_curve(
    group: Group, tag: str, *, unit: Unit = "step", band: Band = "error"
) -> BandCurve | None:
    """Return the mean curve of a tag over a group's runs; None if no run has the tag.

    Curves are interpolated linearly at the positions of all runs, up to the shortest run's last.
    Runs that share their positions, as those of one sweep do in steps, are not changed by that.
    Curves of one point each give one point at their mean position.

    Args:
        group: the runs.
        tag: tag of the curve.
        unit: of the positions.
        band: one standard error of the mean, one sample standard deviation, or minimum to maximum.
    """
    curves = [curve for run in group.runs if (curve := run.curve(tag, unit))[0]]
    if not curves:
        return None
    if all(len(x) == 1 for x, _ in curves):  # whose seconds differ
        curves = [([float(np.mean([x for x, _ in curves]))], values) for _, values in curves]
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    x = np.unique(np.concatenate([np.asarray(x) for x, _ in curves]))
    x = x[(x >= first) & (x <= last)]
    if len(x) > _POINTS:
        x = x[np.linspace(0, len(x) - 1, _POINTS).round().astype(int)]
    if not len(x):
        return None
    values = np.stack([np.interp(x, *curve) for curve in curves])
    mean = values.mean(axis=0)
    if band == "range":
        return BandCurve(x, mean, values.min(axis=0), values.max(axis=0))
    n = len(values)
    spread = values.std(axis=0, ddof=1) if n > 1 else np.zeros_like(mean)
    half = spread / sqrt(n) if band == "error" else spread
    return BandCurve(x, mean, mean - half, mean + half)


def draw(
    groups: Sequence[Group],
    tags: Sequence[str],
    *,
    unit: Unit = "step",
    band: Band = "error",
    log_scale: bool = False,
) -> Figure:
    """Draw one panel per tag: a line and a band per group, and the floor of the tag, dotted.

    With `log_scale`, panels without a positive value keep a linear axis.
    """
    from matplotlib.figure import Figure

    columns = min(len(tags), 3)
    rows = -(-len(tags) // columns)
    figure = Figure(figsize=(3.4 * columns + 0.6, 2.6 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    limits = x_limits(groups, tags, unit)
    for axes, tag in zip(panels, tags, strict=False):
        values = _panel(axes, groups, tag, unit=unit, band=band)
        if log_scale and max(values, default=0.0) > 0:
            axes.set_yscale("log")
        else:
            fit_flat(axes, values)
        axes.set_xlim(*limits)
    for axes in panels[len(tags) :]:
        axes.set_axis_off()
    lines, labels = [], []
    for axes in panels:  # a group may lack a tag
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label not in labels:
                lines.append(line)
                labels.append(label)
    if len(labels) > 1:
        figure.legend(lines, labels, loc="outside lower center", ncols=min(4, len(labels)),
                      frameon=False, fontsize=8)  # fmt: skip
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as the ending of the path says: pdf, png, svg or eps.

    Raises:
        ValueError: another ending.
        OSError: the file cannot be written.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ValueError(f"--out {path}: should end in .{', .'.join(FORMATS)}")
    from matplotlib import rc_context

    as_text: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}
    with rc_context(as_text), atomic_path(path) as file:
        figure.savefig(file, format=ending, dpi=200)


def x_limits(groups: Sequence[Group], tags: Sequence[str], unit: Unit) -> tuple[float, float]:
    """Return the range of positions of all curves, for all panels, with 4% on either side.

    A single position lies in the middle of the axis from 0.
    """
    curves = (run.curve(tag, unit)[0] for group in groups for run in group.runs for tag in tags)
    positions = [x for curve in curves for x in curve] or [0.0, 1.0]
    low, high = min(positions), max(positions)
    if low == high:
        return 0.0, 2 * high or 1.0
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _panel(axes: Axes, groups: Sequence[Group], tag: str, *, unit: Unit, band: Band) -> list[float]:
    """Draw the curves of a tag and its floor; return all values that are shown."""
    from matplotlib.ticker import MaxNLocator

    floors: list[float] = []
    values: list[float] = []
    for place, group in enumerate(groups):
        curve = band_curve(group, tag, unit=unit, band=band)
        if curve is None:
            continue
        _draw_curve(axes, curve, place, label=label_text(_legend(group)), of=len(groups))
        values += [*curve.low, *curve.high]
        floors += [v for run in group.runs if (v := run.values().get(f"{tag}{FLOOR}")) is not None]
    if floors:
        axes.axhline(float(np.mean(floors)), color="grey", lw=1, ls=":", label="real data")
    axes.set_title(label_text(tag), fontsize=9)
    axes.set_xlabel(_LABELS[unit], fontsize=8)
    if unit != "seconds":
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(which="both", labelsize=8)
    axes.grid(alpha=0.3, lw=0.5)
    return [*values, *floors]


def _draw_curve(axes: Axes, curve: BandCurve, place: int, *, label: str, of: int) -> None:
    """Draw a group's line and band, such that groups of equal values are all seen.

    Curves of few points have open markers, larger ones below. Those of one point are `_DODGE`
    points apart, with the band as a bar. Lines below show in the gaps of the dashes above.
    """
    from matplotlib.transforms import ScaledTranslation

    colour, dashes = _COLOURS[place % len(_COLOURS)], _DASHES[place % len(_DASHES)]
    is_point, few = len(curve.x) == 1, len(curve.x) <= _MARKED
    marker = _MARKERS[place % len(_MARKERS)] if few else ""
    size = 5 + 2 * max(0, min(of, 4) - 1 - place)
    shift = _DODGE * (place - (of - 1) / 2) / 72 if is_point else 0.0  # inches
    moved = axes.transData + ScaledTranslation(shift, 0, axes.figure.dpi_scale_trans)
    axes.plot(curve.x, curve.mean, lw=1.5, ls=dashes, color=colour, marker=marker, ms=size,
              mfc="none", label=label, transform=moved, clip_on=False, zorder=3)  # fmt: skip
    axes.fill_between(curve.x, curve.low, curve.high, alpha=0.2, lw=0, color=colour)
    if is_point:
        axes.vlines(curve.x, curve.low, curve.high, color=colour, lw=1, transform=moved)


def _legend(group: Group) -> str:
    n = len(group.runs)
    return f"{group.label} (n = {n})" if n > 1 else group.label

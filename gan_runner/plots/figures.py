"""Aliases of matplotlib's types.

Importing matplotlib takes a third of a second, and is deferred until a plot is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from gan_runner.runs.printable import printable_cell

Axes = Any
"""A `matplotlib.axes.Axes`."""

Figure = Any
"""A `matplotlib.figure.Figure`."""


def label_text(text: object) -> str:
    """Return text for a title or a legend as it stands; matplotlib would typeset `$...$` as TeX."""
    return printable_cell(text).replace("$", r"\$")


def fit_flat(axes: Axes, values: Iterable[float]) -> None:
    """Let the y axis of equal values begin at 0; matplotlib would centre it on them.

    An axis from -0.05 to 0.05 for a count of 0 suggests that it could be negative.
    """
    finite = [value for value in values if isfinite(value)]
    if finite and min(finite) == max(finite) >= 0:
        axes.set_ylim(0, 2 * finite[0] or 1)

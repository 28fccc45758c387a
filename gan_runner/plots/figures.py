"""Aliases of matplotlib's types.

Importing matplotlib takes a third of a second, and is deferred until a plot is drawn.
"""

from __future__ import annotations

from typing import Any

from gan_runner.runs.printable import printable_cell

Axes = Any
"""A `matplotlib.axes.Axes`."""

Figure = Any
"""A `matplotlib.figure.Figure`."""


def label_text(text: object) -> str:
    """Return text for a title or a legend as it stands; matplotlib would typeset `$...$` as TeX."""
    return printable_cell(text).replace("$", r"\$")

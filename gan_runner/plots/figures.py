"""Names for matplotlib's types, whose import takes a third of a second and waits for a drawing."""

from __future__ import annotations

from typing import Any

Axes = Any
"""A `matplotlib.axes.Axes`."""

Figure = Any
"""A `matplotlib.figure.Figure`."""

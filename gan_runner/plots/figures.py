"""Aliases of matplotlib's types.

Importing matplotlib takes a third of a second, and is deferred until a plot is drawn.
"""

from __future__ import annotations

from typing import Any

Axes = Any
"""A `matplotlib.axes.Axes`."""

Figure = Any
"""A `matplotlib.figure.Figure`."""

"""Which curves are drawn in one chart."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gan_runner.core import Provenance
from gan_runner.runs.tags import record_of

Charts = dict[str, dict[str, tuple[str, list[str]]]]
"""A layout as of `SummaryWriter.add_custom_scalars`: charts by title, by category."""


def charts_of(provenances: Mapping[str, Provenance]) -> Charts:
    """Return a chart for each tag in whose chart others are drawn, titled by it.

    Args:
        provenances: by tag; the tag that others are beside needs none of its own.
    """
    together: dict[str, list[str]] = {}
    for tag, provenance in provenances.items():
        if chart := record_of(tag, provenance).chart:
            tags = together.setdefault(chart, [chart])
            tags += [tag] if tag not in tags else []
    charts: Charts = {}
    for title, tags in together.items():
        exactly = [f"{re.escape(tag)}$" for tag in tags]  # TensorBoard matches expressions
        charts.setdefault(title.partition("/")[0], {})[title] = ("Multiline", exactly)
    return charts

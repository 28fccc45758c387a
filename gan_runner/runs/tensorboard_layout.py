"""TensorBoard charts that show several curves."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gan_runner.core import Provenance
from gan_runner.runs.tags import record_of

Charts = dict[str, dict[str, tuple[str, list[str]]]]
"""The layout that `SummaryWriter.add_custom_scalars` takes: {category: {title: chart}}."""


def charts_of(provenances: Mapping[str, Provenance]) -> Charts:
    """Return one chart for each tag that other tags name as theirs; the tag is the title.

    Args:
        provenances: {tag: provenance}; the tag in the title may be missing.
    """
    together: dict[str, list[str]] = {}
    for tag, provenance in provenances.items():
        if chart := record_of(tag, provenance).chart:
            tags = together.setdefault(chart, [chart])
            tags += [tag] if tag not in tags else []
    charts: Charts = {}
    for title, tags in together.items():
        exactly = [f"{re.escape(tag)}$" for tag in tags]  # TensorBoard takes regular expressions
        charts.setdefault(title.partition("/")[0], {})[title] = ("Multiline", exactly)
    return charts

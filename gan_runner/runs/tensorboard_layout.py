"""Which curves are drawn in one chart."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gan_runner.core import Provenance

Charts = dict[str, dict[str, tuple[str, list[str]]]]
"""A layout as of `SummaryWriter.add_custom_scalars`: charts by title, by category."""


def charts_of(provenances: Mapping[str, Provenance]) -> Charts:
    """One chart for each tag that others belong `beside`: titled by it, with all of them.

    Args:
        provenances: by tag; the tag that others are beside needs none of its own.
    """
    together: dict[str, list[str]] = {}
    for tag, provenance in provenances.items():
        if "beside" in provenance:
            tags = together.setdefault(provenance["beside"], [provenance["beside"]])
            tags += [tag] if tag not in tags else []
    charts: Charts = {}
    for title, tags in together.items():
        exactly = [f"{re.escape(tag)}$" for tag in tags]  # TensorBoard matches expressions
        charts.setdefault(title.partition("/")[0], {})[title] = ("Multiline", exactly)
    return charts

"""Which curves are drawn in one chart."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gan_runner.core import Card

Charts = dict[str, dict[str, tuple[str, list[str]]]]
"""A layout as of `SummaryWriter.add_custom_scalars`: charts by title, by category."""


def charts_of(cards: Mapping[str, Card]) -> Charts:
    """One chart for each tag that others belong `beside`: titled by it, with all of them.

    Args:
        cards: by tag; the tag that others are beside needs none of its own.
    """
    together: dict[str, list[str]] = {}
    for tag, card in cards.items():
        if "beside" in card:
            tags = together.setdefault(card["beside"], [card["beside"]])
            tags += [tag] if tag not in tags else []
    charts: Charts = {}
    for title, tags in together.items():
        exactly = [f"{re.escape(tag)}$" for tag in tags]  # TensorBoard matches expressions
        charts.setdefault(title.partition("/")[0], {})[title] = ("Multiline", exactly)
    return charts

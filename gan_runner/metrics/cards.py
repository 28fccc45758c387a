"""What made a number: the cards of measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_runner.core import Card


def of_generators(cards: Mapping[str, Mapping[str, Any]]) -> dict[str, Card]:
    """The cards of a measure of samples, which it takes of both generators.

    Args:
        cards: by tag.

    Returns:
        For each tag two cards: of the averaged generator, and with the suffix _raw of the other.
    """
    both = {"": "averaged", "_raw": "raw"}
    return {
        f"{tag}{suffix}": {"generator": generator, **card}
        for tag, card in cards.items()
        for suffix, generator in both.items()
    }

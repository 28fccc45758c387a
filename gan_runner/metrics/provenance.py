"""What made a number: the cards of measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_runner.core import Provenance


def of_generators(provenances: Mapping[str, Mapping[str, Any]]) -> dict[str, Provenance]:
    """The cards of a measure of samples, which it takes of both generators.

    Args:
        provenances: by tag.

    Returns:
        For each tag two cards: of the averaged generator, and with the suffix _raw of the other.
    """
    both = {"": "averaged", "_raw": "raw"}
    return {
        f"{tag}{suffix}": {"generator": generator, **provenance}
        for tag, provenance in provenances.items()
        for suffix, generator in both.items()
    }

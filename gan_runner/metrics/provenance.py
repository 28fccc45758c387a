"""Provenance of metric values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_runner.core import Provenance


def of_generators(provenances: Mapping[str, Mapping[str, Any]]) -> dict[str, Provenance]:
    """Expand the provenance of a sample metric to both generators.

    Args:
        provenances: provenance by tag.

    Returns:
        Two entries per tag: TAG for the averaged generator, TAG_raw for the raw one.
    """
    both = {"": "averaged", "_raw": "raw"}
    return {
        f"{tag}{suffix}": {"generator": generator, **provenance}
        for tag, provenance in provenances.items()
        for suffix, generator in both.items()
    }

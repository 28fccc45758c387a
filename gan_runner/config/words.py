"""Suggestions of the word that was meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any


def suggestion(word: str, valid: Mapping[str, Any] | Sequence[str], prefix: str = "") -> str:
    """Return `; did you mean X?` with the nearest valid word, else the list of valid words."""
    near = get_close_matches(word, list(valid), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {f'{prefix}.' if prefix else ''}{near[0]}?"
    return f"; choose one of: {', '.join(valid)}" if valid else ""

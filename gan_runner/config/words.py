"""Words of a command line: key and value of an override, the word that was meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

_CLOSE = 0.6  # smallest similarity of a word that may have been meant, in lower case


def suggestion(word: str, valid: Mapping[str, Any] | Sequence[str], prefix: str = "") -> str:
    """Return `; did you mean X or Y?` with the nearest valid words, else the list of valid words.

    Several words are named where they are equally near.
    """
    if near := nearest(word, list(valid)):
        names = [f"{prefix}.{name}" if prefix else name for name in near]
        return f"; did you mean {' or '.join(names)}?"
    return f"; choose one of: {', '.join(valid)}" if valid else ""


def nearest(word: str, valid: Sequence[str]) -> list[str]:
    """Return the valid words of the greatest similarity to a word; [] where none is close."""
    alike = {name: _similarity(word.lower(), name.lower()) for name in valid}
    most = max(alike.values(), default=0.0)
    return [name for name in alike if alike[name] == most] if most >= _CLOSE else []


def _similarity(word: str, other: str) -> float:
    return round(SequenceMatcher(None, other, word).ratio(), 9)


def key_of(override: str) -> str:
    """Return the key that an override sets: `+trainer.steps=5` -> `trainer.steps`."""
    return override.lstrip("+~").partition("=")[0]


def value_of(override: str) -> str:
    """Return the value that an override sets, as text."""
    return override.partition("=")[2]

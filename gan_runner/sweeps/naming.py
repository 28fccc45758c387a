"""Readable names of folders: the words of overrides, and a hash."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Sequence
from hashlib import sha256

from gan_runner.config.paths import MACHINE_KEYS
from gan_runner.config.words import key_of, value_of
from gan_runner.runs.groups import SEED, brief, short_names

_LONGEST = 80  # characters without the hash


def readable(overrides: Sequence[str], among: Container[str] | None = None) -> str:
    """Return the values of options, and other keys with their values, joined by underscores.

    Options come first, then the seed, keys of the trainer last. Keys have the shortest end that is
    not the end of another one. A word that would have to be cut is left out.

    Args:
        overrides: as on a command line; keys about the machine do not count.
        among: keys that count; None for all.
    """
    own = {key_of(o): brief(value_of(o)) for o in overrides}
    names = short_names([*own, SEED])
    order = sorted(own, key=lambda key: (key.startswith("trainer."), "." in key, key == SEED, key))
    kept: list[str] = []
    for key in order:
        word = _word(key, names[key], own[key])
        counts = key not in MACHINE_KEYS and (among is None or key in among)
        if counts and len("_".join([*kept, word])) <= _LONGEST:
            kept.append(word)
    return "_".join(kept)


def _word(key: str, name: str, value: str) -> str:
    is_option = "." not in key and key != SEED and value != "none"  # "none" alone says nothing
    return value if is_option else f"{name}-{value}"


def slug(words: str, content: Sequence[str]) -> str:
    """Return words that every file system and shell accepts, and a hash of the content."""
    text = re.sub(r"[^A-Za-z0-9.+-]+", "_", words)[:_LONGEST].strip("_.")
    return f"{text}_{sha256(json.dumps(content).encode()).hexdigest()[:8]}"

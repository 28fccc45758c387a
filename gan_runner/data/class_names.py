"""Labels of classes as users write them: numbers, names, and lists of both."""

from __future__ import annotations

from collections.abc import Sequence

Labels = int | str | Sequence[int] | None
"""A class, several by comma or as numbers, or all in turn (None)."""

_LISTED = 20  # names in a message; CIFAR-100 has more


def labels_of(label: int | str | Sequence[int], n_classes: int, names: Sequence[str]) -> list[int]:
    """Return the numbers of classes; a number counts as one even if a class has it as a name.

    Args:
        label: 3, "3,4", "cat" or "cat,dog".
        n_classes: number of classes; 0 for a generator without labels.
        names: of the classes, or empty.

    Raises:
        ValueError: a class does not exist.
    """
    if isinstance(label, str):
        words: list[str] = [label] if label in names else label.split(",")
    else:
        words = [str(label)] if isinstance(label, int) else list(map(str, label))
    index = {name.lower(): k for k, name in reversed(list(enumerate(names)))}
    labels = [index.get(word.strip().lower(), -1) for word in words]
    labels = [
        int(word) if word.strip().isdecimal() else k for word, k in zip(words, labels, strict=True)
    ]
    if not all(0 <= k < n_classes for k in labels):
        raise ValueError(
            f"--label {label}: the labels of this generator are {_valid(n_classes, names)}"
        )
    return labels


def _valid(n_classes: int, names: Sequence[str]) -> str:
    if not n_classes:
        return "none: it was trained without them"
    named = [name for k, name in enumerate(names) if name != str(k)]
    return f"0 to {n_classes - 1}" + (f": {', '.join(names)}" if 0 < len(named) <= _LISTED else "")

"""The first lines of a run: the data that it is about to train on."""

from __future__ import annotations

from typing import Any

import pytest

from gan_runner.commands.run import _contents


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, ""),  # a run of an older version
        ({"rows": 1, "classes": []}, ", 1 training sample"),
        ({"rows": 1200, "classes": []}, ", 1,200 training samples"),
        (
            {"rows": 11, "classes": ["cat", "dog"]},
            ", 11 training samples, 2 classes: cat, dog",
        ),
        (
            {"rows": 9, "classes": list("abcdefg")},
            ", 9 training samples, 7 classes: a, b, c, d, e, ...",
        ),
    ],
)
def test_samples_are_counted_and_classes_named(data: dict[str, Any], words: str) -> None:
    assert _contents(data) == words

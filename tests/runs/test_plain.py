"""Plain values of untrusted files: whole numbers that become floats."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gan_runner.runs.plain import plain


@pytest.mark.parametrize(("base", "digits"), [(2, 63), (10, 400), (10, 5000), (-10, 401)])
def test_whole_numbers_beyond_64_bits_are_refused_with_their_key(base: int, digits: int) -> None:
    number = base**digits
    choose = random.Random(number.bit_length())
    tree: Any = {"last": number}
    path = ["last"]
    for _ in range(choose.randint(0, 5)):
        key = choose.choice("abc")
        tree, path = {key: tree}, [key, *path]
    with pytest.raises(ValueError, match="is a whole number of more than 64 bits") as error:
        plain(tree)
    assert str(error.value).startswith(f"{'.'.join(path)}: ")
    assert len(str(error.value)) < 150


def test_whole_numbers_of_64_bits_stay() -> None:
    tree = {"a": [2**63 - 1, -(2**63), True, 0]}
    assert plain(tree) == tree

"""Texts of strangers: a small file takes little time and memory, or is refused in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from covering import some

from gan_runner.runs import parse
from gan_runner.runs.parse import TooLarge, check_size, parse_json, parse_yaml
from gan_runner.runs.read import (
    read_json,
    read_points,
    saved_config,
    try_json,
    try_points,
)
from gan_runner.studies.study_files import read_rows

MANY_JSON: dict[str, str] = {
    "lists": "[" + "[]," * 3_000_000 + "[]]",
    "objects": "[" + "{}," * 3_000_000 + "{}]",
    "numbers": "[" + "1," * 4_000_000 + "1]",
    "brackets": "[" * 2_000_000 + "]" * 2_000_000,
    "text": json.dumps({"x": "," * 4_000_000}),
}
MANY_LINES: dict[str, str] = {
    "points": '{"step":1}\n' * 1_700_000,
    "values": '{"step":1' + "".join(f',"{k}":1' for k in range(1000)) + "}\n",
    "empty lines": "\n" * 1_700_000,
}
SLOW_YAML: dict[str, str] = {
    "base 60": "seed: 1" + ":0" * 400_000,
    "base 60 in a list": "a: [2, 1" + ":59" * 200 + "]",
    "hexadecimal": "seed: 0x" + "f" * 6000,
    "binary": "seed: 0b" + "1" * 65,
    "decimal": "seed: 1" + "0" * 30,
    "negative": "seed: -1" + "0" * 30,
    "tagged": "seed: !!int '1" + "0" * 5000 + "'",
    "a key": "{? 1" + "0" * 30 + " : 1}",
    "a list": "x: [" + "1," * 500_000 + "1]",
    "lines": "- 1\n" * 250_000,
    "levels": "[" * 500_000,
    "mappings": "x: {" + ",".join(f"{k}: 1" for k in range(80_000)) + "}",
}


def within(seconds: float, function: Callable[[], object]) -> None:
    start = time.perf_counter()
    function()
    assert time.perf_counter() - start < seconds


@pytest.mark.parametrize("name", MANY_JSON)
def test_json_of_many_values_is_refused_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(MANY_JSON[name])

    def read() -> None:
        with pytest.raises(ValueError, match=r"summary.json is not JSON that .* more than 1,000,0"):
            read_json(path)
        assert try_json(path) is None

    within(2, read)


@pytest.mark.parametrize("name", MANY_LINES)
def test_logs_of_many_values_are_refused_at_once(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(MANY_LINES[name] * (9000 if name == "values" else 1))

    def read() -> None:
        with pytest.raises(ValueError, match=r"metrics.jsonl: has more than 8,000,000 values"):
            read_points(path)
        assert try_points(path) == []

    within(6, read)


def test_the_log_of_a_long_run_is_read(tmp_path: Path) -> None:
    """A million steps with sixty curves and a point every fifty steps, a hundredth of it."""
    point = {"step": 1_000_000} | {
        f"wasserstein/name_{k}": -1.2345678901234567e-05 for k in range(60)
    }
    line = json.dumps(point) + "\n"
    assert line.count(",") * 20_000 < 2_000_000 and len(line) * 20_000 < 128 << 20
    (tmp_path / "metrics.jsonl").write_text(line * 200)
    assert read_points(tmp_path / "metrics.jsonl") == [point] * 200
    parse.check_count(line * 20_000, 8_000_000, line=5)


@pytest.mark.parametrize("name", some(SLOW_YAML, one_in=3))
def test_slow_yaml_is_refused_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SLOW_YAML[name])

    def read() -> None:
        with pytest.raises(TooLarge):
            parse_yaml(path.read_text())
        with pytest.raises(
            ValueError, match=r"config\.yaml: .*(values|bits|bytes|deeply)"
        ) as error:
            saved_config(tmp_path)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300

    within(10, read)


def test_a_long_integer_is_named(tmp_path: Path) -> None:
    text = "model: {a: [1, {b: 0x10000000000000000}]}\ntrainer: {}\n"
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml: model\.a\[1\]\.b: is an integer of more"):
        saved_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["0", "-7", "0x1F", "0b101", "0o17", "017", "1_000", "1:30", "190:20:30", "18446744073709551615",
     "-18446744073709551615", "1e3", ".inf", "12e03", "yes", "~", "2001-01-01", "'1:30'"],
)  # fmt: skip
def test_short_scalars_are_what_yaml_says(text: str) -> None:
    assert parse_yaml(f"a: {text}") == yaml.safe_load(f"a: {text}")


def test_a_value_that_contains_itself_often_takes_no_memory() -> None:
    value: list[object] = []
    value += [value] * 90_000
    with pytest.raises(TooLarge):
        check_size(value, 100_000)
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    check_size(deep, 1000)
    with pytest.raises(TooLarge):
        check_size([deep], 1000)


def test_json_is_read_as_before() -> None:
    text = '{"a": [1, 2.5, null, NaN, -Infinity, 123456789012345678901234567890, "x"], "b": {}}'
    values = [1, 2.5, None, None, None, 1.2345678901234568e29, "x"]
    assert parse_json(text) == {"a": values, "b": {}}


@pytest.mark.parametrize(
    "content",
    [b"a,b\n" + b"1,2\n" * 2_500_000, b"a," * 2_500_000, b",".join(b"%d" % k for k in range(800)) + b"\n" + b"x\n" * 100_000],
)  # fmt: skip
def test_tables_of_many_cells_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"results\.csv: has more than 2,000,000 values"):
        read_rows(tmp_path / "results.csv")


@pytest.mark.parametrize(
    ("name", "read"),
    [("results.csv", read_rows), ("summary.json", read_json), ("metrics.jsonl", read_points),
     ("config.yaml", lambda path: saved_config(path.parent))],
)  # fmt: skip
def test_sparse_files_are_not_read(tmp_path: Path, name: str, read: Callable) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(600 << 20)
    with pytest.raises(ValueError, match=f"{name}: has 629,145,600 bytes; at most"):
        read(tmp_path / name)

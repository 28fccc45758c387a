"""Configuration files of a stranger that never end, or stand for more than they hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from hydra.errors import ConfigCompositionException

from gan_runner import train
from gan_runner.commands.terminal import printable_output
from gan_runner.commands.usage import shows_files
from gan_runner.config.expansion import check_expansion
from gan_runner.config.outside import check_contents
from gan_runner.config.unread import unread_keys
from gan_runner.runs.parse import parse_yaml

BOMB = "m0: &m0 [x]\n" + "".join(
    f"m{k}: &m{k} [{', '.join([f'*m{k - 1}'] * 10)}]\n" for k in range(1, 9)
)

MERGES = "m0: &m0 {x: 1}\n" + "".join(
    f"m{k}: &m{k} {{<<: [{', '.join([f'*m{k - 1}'] * 10)}]}}\n" for k in range(1, 9)
)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text(MERGES), "too many values"),
        (lambda path: path.write_text(BOMB), "too many values"),
        (lambda path: path.write_text("a: &a {b: *a}"), "nested too deeply"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: (path.touch(), os.truncate(path, 20 << 30)), "more than"),
    ],
)
def test_a_file_that_would_take_all_memory_or_time_is_refused_unread(
    make: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    make(tmp_path / "x.yaml")
    with pytest.raises(ConfigCompositionException, match=reason):
        check_contents(str(tmp_path / "x.yaml"), "/home")


def test_files_of_this_package_and_of_others_packages_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(BOMB)
    check_contents(str(tmp_path / "x.yaml"), str(tmp_path))
    check_contents("hydra.conf/hydra/help/default.yaml", "/home")


@pytest.mark.parametrize(
    "raw",
    [
        {"hydra.searchpath": ["x"]},
        {"schedule": {"a.b": 1}},
        {"schedule": {"a.b": {"c.d": {"e": 1}}}},
        {"schedule": {"": 1, ".": 2, "a.": {".b": None}}},
    ],
)
def test_dots_in_a_key_of_a_file_are_no_traceback(raw: dict[str, Any]) -> None:
    problems = dict(unread_keys(raw, ["schedule"], set()))
    assert problems
    assert all(what.startswith("no such key") for what in problems.values())


def test_merges_of_a_sane_size_are_read() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: [*a, *a], y: 2}")["b"] == {"x": 1, "y": 2}


@pytest.mark.slow
def test_no_control_character_of_a_file_s_name_reaches_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "x\x1b[31m.yaml").write_text("a: 1")
    monkeypatch.setattr("sys.argv", ["gan-run", "--config-dir", str(tmp_path), "--help"])
    with pytest.raises(SystemExit):
        train.main()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "x\\x1b[31m" in out


def test_what_hydra_prints_of_files_is_escaped(capsys: pytest.CaptureFixture) -> None:
    flags = ["--help", "--hydra-help", "--cfg=job", "-i", "--info", "-c"]
    assert all(shows_files(["-cd", "D", flag, *["all"] * (flag in "-i-c")]) for flag in flags)
    assert not shows_files(["--config-dir", "D", "seed=1"])
    with printable_output():
        print("a\x1b[31m")
    assert capsys.readouterr().out == "a\\x1b[31m\n"


WORDS = {"b0": "word", **{f"b{k}": f"${{b{k - 1}}}${{b{k - 1}}}" for k in range(1, 40)}}


@pytest.mark.parametrize(
    "tree",
    [
        WORDS,
        dict(reversed(WORDS.items())),
        {"own": {"b0": "x", **{f"b{k}": [f"${{..b{k - 1}}}"] * 3 for k in range(1, 40)}}},
        {"n": "1", **{f"b{k}_1": f"${{b{k - 1}_${{n}}}}" * 2 for k in range(1, 40)}, "b0_1": "x"},
        {**WORDS, "b7": "${oc.select:b6}${oc.select:b6}"},
        {"b-0": "word", **{f"b-{k}": f"${{ b-{k - 1} }}" * 2 for k in range(1, 40)}},
        {"a.b": {"b0": "x", **{f"b{k}": f"${{.b{k - 1}}}" * 2 for k in range(1, 40)}}},
        {"hydra": {"b0": "x", **{f"b{k}": f"${{hydra:b{k - 1}}}" * 2 for k in range(1, 40)}}},
        {"b0": "x", **{f"b{k}": f"${{first:b{k + 1}}}" + f"${{b{k - 1}}}" * 2 for k in range(40)}},
        {"long": "x" * 9_999, **{f"b{k}": "${long}" for k in range(2_000)}},
        {f"b{k}": f"${{b{k - 1}}}" for k in range(5_000, 0, -1)},
    ],
)
def test_interpolations_that_double_are_refused_unresolved(tree: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="its interpolations stand for more than"):
        check_expansion(tree)


def test_circles_and_chains_of_interpolations_are_left_to_omegaconf() -> None:
    check_expansion({"a": "${b}", "b": "${a}"})
    check_expansion({"b0": "x", **{f"b{k}": f"${{b{k - 1}}}" for k in range(1, 200)}})


@pytest.mark.parametrize("text", ["${own}", "${z}", "${:", "${oc.select:${n}}", "oc.", "${ "])
def test_the_size_of_a_long_text_is_found_in_little_time(text: str) -> None:
    keys = {f"k{k}": 1 for k in range(3_000)}
    start = perf_counter()
    with suppress(ValueError):
        check_expansion({"own": keys, "text": text * 60_000})
    assert perf_counter() - start < 2


DOUBLING = "b0: xxxxxxxxxx\n" + "".join(f"b{k}: ${{b{k - 1}}}${{b{k - 1}}}\n" for k in range(1, 25))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", ["--cfg", "job", "--resolve"]),
        ("", ["-m", "seed=1,2"]),
        ("hydra: {sweeper: {params: {seed: '${b24}'}}}\n", ["-m"]),
        ("study: {name: '${b24}'}\n", ["-m", "seed=1,2"]),
    ],
)
def test_doubling_is_refused_before_hydra_resolves_anything(
    more: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "x.yaml").write_text(f"# @package _global_\n{DOUBLING}{more}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gan-run", "--config-dir", ".", "experiment=x", *words])
    with pytest.raises(SystemExit) as end:
        train.main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "its interpolations stand for more than 1,000,000 characters" in line


@pytest.mark.parametrize(
    "cards",
    [
        {"x": "[x]"},
        {"x": "[y]", "y": "[x]"},
        {"x": "[y0]", **{f"y{k}": f"[y{k + 1}@a, y{k + 1}@b]" for k in range(40)}, "y40": "[]"},
    ],
)
@pytest.mark.parametrize("words", [[], ["--help", "experiment"], ["--cfg", "job"], ["-m"]])
def test_defaults_lists_that_never_end_are_refused(
    cards: dict[str, str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    (tmp_path / "experiment").mkdir()
    for name, defaults in cards.items():
        text = f"# @package _global_\ndefaults: {defaults}\nseed: 1\n"
        (tmp_path / "experiment" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gan-run", "--config-dir", ".", "experiment=x", *words])
    with pytest.raises(SystemExit) as end:
        train.main()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 2
    assert "its defaults list names itself, or others name it over 50 times" in line

"""Configuration files of a stranger that never end, or stand for more than they hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from gan_runner import train
from gan_runner.commands.terminal import printable_output
from gan_runner.commands.usage import shows_files
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


def test_dots_in_a_key_of_a_file_are_no_traceback() -> None:
    raw = {"seed": 0, "hydra.searchpath": ["x"]}
    assert [what for _, what in unread_keys(raw, ["seed"], set())]


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

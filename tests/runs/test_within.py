"""Paths stay inside a directory, text stays printable, parsed values stay plain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gan_runner.runs.parse import mismatch, parse_json, parse_yaml
from gan_runner.runs.printable import printable, printable_cell
from gan_runner.runs.text_tables import aligned, csv_text, markdown
from gan_runner.runs.within import Folder, check_folders, within

PACKAGE = Path(__file__).resolve().parents[2] / "gan_runner"
OWN_TEXT = {
    "training/progress.py",
    "train.py",
    "runs/printable.py",
    "commands/terminal.py",
}  # nothing of a file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "inner").mkdir(parents=True)
    (tmp_path / "run" / "out").symlink_to("..")
    (tmp_path / "run" / "back").symlink_to("inner")
    (tmp_path / "run" / "loop").symlink_to("loop")
    (tmp_path / "run" / "dangling").symlink_to("../nowhere")
    (tmp_path / "file").touch()
    (tmp_path / "latest").symlink_to("run")
    return tmp_path / "run"


def test_a_write_stays_inside(run: Path) -> None:
    for name in ("a", "inner/a", "back/a", "new/a", "out"):
        assert within(run, run / name) == run / name
        assert within(run.with_name("latest"), run / name) == run / name
    for name in ("out/a", "dangling/a", "../a", "inner/../../a"):
        with pytest.raises(ValueError, match=r"leads out of .*run; remove the link$"):
            within(run, run / name)
    check_folders(run, ["", "inner", "back", "new"])
    with pytest.raises(ValueError, match="dangling: leads out"):
        check_folders(run, ["inner", "dangling"])


def test_a_folder_reads_inside(run: Path) -> None:
    folder = Folder(run)
    assert folder.path("inner/a") == run / "inner" / "a"
    assert folder.path("back") == run / "back"
    for name in ("out", "out/file", "../file", "/etc/passwd", "dangling", "out/run/../file"):
        assert folder.find(name) is None
        with pytest.raises(ValueError, match="leads out of"):
            folder.path(name)
    assert folder.find("a\0b") is None
    (run / "inner" / "x").touch()
    inside, outside = folder.glob("*/*")
    assert [str(p.relative_to(run)) for p in inside] == [
        "back/x",
        "inner/x",
        "out/latest",
        "out/run",
    ]
    assert {p.name for p in outside} == {"file"}


def test_control_characters_are_shown_and_not_obeyed() -> None:
    text = "a\tb\nc \x1b[2J\x07\r\x7f\x9b\u202e\u2066\udc80 é Ω"
    shown = printable(text)
    assert shown == r"a	b" "\n" r"c \x1b[2J\x07\x0d\x7f\x9b\u202e\u2066\udc80 é Ω"
    assert printable_cell(text) == shown.replace("\n", r"\n").replace("\t", r"\t")
    rows = [["a", "\x1b[2J"], ["b\n", "c"]]
    assert aligned(rows) == [r"a    \x1b[2J", r"b\n  c"]
    assert markdown(rows) == [r"| a | \x1b[2J |", "| --- | --- |", r"| b\n | c |"]
    assert csv_text(rows) == 'a,\\x1b[2J\n"b\n",c\n'


def test_every_print_passes_printable() -> None:
    """All text that a command prints goes through `echo`, `printable` or a warning."""
    for path in PACKAGE.rglob("*.py"):
        bare = re.findall(r"(?<![\w.])print\((?!printable\()(?!image_to_ansi\()", path.read_text())
        assert not bare or str(path.relative_to(PACKAGE)) in OWN_TEXT, path


def test_json_is_plain_finite_and_shallow() -> None:
    assert parse_json('{"a": [1, 2.5, null, true], "b": "x"}') == {
        "a": [1, 2.5, None, True],
        "b": "x",
    }
    assert parse_json("[NaN, Infinity, -Infinity, 1e999]") == [None] * 4
    assert parse_json("9223372036854775807") == 2**63 - 1
    assert parse_json("1" + "0" * 30) == 1e30 and parse_json("1" + "0" * 400) is None
    for depth in (102, 3000, 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json("[" * depth + "]" * depth)
    assert parse_json("[" * 90 + "]" * 90)


def test_yaml_does_not_contain_itself() -> None:
    shared = parse_yaml("a: &a [1]\nb: *a\n")
    assert shared == {"a": [1], "b": [1]}
    many = "a0: &a0 [x]\n" + "".join(
        f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9)
    )
    for text in ("a: &a [*a]", "&a {b: *a}", "a: &a {b: {c: *a}}", many, "[" * 3000 + "]" * 3000):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_yaml(text)
    for text in (
        "a: !!timestamp x",
        "a: !!int ''",
        "a: !!bool x",
        "!!python/name:os.system x",
        "{",
    ):
        with pytest.raises(ValueError, match=r"^\w+$"):
            parse_yaml(text)


def test_a_shape_names_the_first_difference() -> None:
    shape = {"status!": str, "final": {"*": (float, type(None))}, "jobs": [[str]], "n": int}
    assert mismatch({"status": "x", "final": {"a": 1.0, "b": None}, "jobs": [["x"]]}, shape) is None
    for content, name in (
        ([], "content"), ({}, "status"), ({"status": "x", "final": {"a": "x"}}, r"final\.a"),
        ({"status": "x", "jobs": [["x"], "x"]}, r"jobs\[1\]"), ({"status": "x", "n": True}, "n"),
    ):  # fmt: skip
        assert re.match(f"{name} is missing or not of type ", str(mismatch(content, shape)))

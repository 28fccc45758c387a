"""Names with newlines: none of them begins a line of what a command prints."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sweep_files import write_run
from toy_runs import TOY

from gan_runner import train
from gan_runner.commands import compare
from gan_runner.commands.console import plain_warnings
from gan_runner.runs.printable import echo

FORGED = "gan-run: all is well"


def picture_folder(folder: Path) -> None:
    (folder / f"a\n{FORGED}.png").write_bytes(b"x")


def class_folder(folder: Path) -> None:
    (folder / f"a\n{FORGED}").mkdir()
    (folder / f"a\n{FORGED}" / "0.png").write_bytes(b"x")


def linked_runs(folder: Path) -> None:
    (folder / f"a\n{FORGED}").mkdir()
    (folder / f"a\n{FORGED}" / "config.yaml").symlink_to("/etc/passwd")


def broken_run(folder: Path) -> None:
    (folder / f"a\n{FORGED}").mkdir()
    (folder / f"a\n{FORGED}" / "config.yaml").write_text("[")


def good_runs(folder: Path) -> None:
    for number in (0, 1):  # their settings do not tell them apart, their names do
        write_run(folder / f"a{number}\n{FORGED}", "wgan_gp", 0, 1.0, number=number)


def card(folder: Path) -> None:
    (folder / "experiment").mkdir()
    (folder / "experiment" / f"a\n{FORGED}.yaml").write_text("[")


def images(folder: Path) -> list[str]:
    return [*TOY, "dataset=image_folder", f"dataset.path={folder}", "dataset.cache=null"]


COMMANDS: dict[str, tuple[Callable[[Path], None], Callable[[], None], Callable[..., list[str]]]] = {
    "a picture": (picture_folder, train.main, images),
    "a skipped one": (picture_folder, train.main, lambda f: [*images(f), "dataset.on_bad_file=skip"]),
    "a class": (class_folder, train.main, images),
    "a link, compared": (linked_runs, compare.main, lambda f: [str(f)]),
    "a run, compared": (broken_run, compare.main, lambda f: [str(f)]),
    "runs, compared": (good_runs, compare.main, lambda f: [str(f)]),
    "a card, in a list": (card, train.main, lambda f: ["--config-dir", str(f), "--help", "experiment"]),
    "a card, by mistake": (card, train.main, lambda f: ["--config-dir", str(f), "experiment=nosuch"]),
}  # fmt: skip


@pytest.mark.parametrize("place", COMMANDS)
def test_no_newline_of_a_name_begins_a_line(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make, main, arguments = COMMANDS[place]
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gan", *arguments(folder)])
    with suppress(SystemExit), warnings.catch_warnings():
        main()
    out, err = capsys.readouterr()
    assert "all is well" in out + err or place == "a skipped one" or "card" in place
    assert not [line for line in (out + err).splitlines() if line.startswith(FORGED)]


def test_messages_of_several_lines_are_indented(capsys: pytest.CaptureFixture) -> None:
    echo(f"gan-run: a\n{FORGED}", error=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        plain_warnings("gan-run")
        warnings.warn(f"a\n{FORGED}", stacklevel=1)
    assert capsys.readouterr().err.splitlines() == [
        "gan-run: a", f"  {FORGED}", f"gan-run: warning: a\\n{FORGED}",
    ]  # fmt: skip

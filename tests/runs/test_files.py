"""Files are whole whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gan_runner.runs.files import append_text, atomic_path, atomic_write, create_file


def test_processes_that_write_one_file_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with atomic_path(path, shared=True) as first, atomic_path(path, shared=True) as second:
        first.write_text("the first to begin, the last to end")
        second.write_text("between")
    assert path.read_text() == "the first to begin, the last to end"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("shared", [False, True])
def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "table.csv"
    atomic_write(path, b"old", shared=shared)
    with pytest.raises(OSError, match="full"), atomic_path(path, shared=shared) as partial:
        partial.write_text("ne")
        raise OSError("disk full")
    assert path.read_bytes() == b"old"
    atomic_write(path, b"new", shared=shared)
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("target", ["victim", "nowhere", "folder"])
def test_a_link_at_the_temporary_name_is_replaced_and_not_followed(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "folder").mkdir()
    path, partial = tmp_path / "run" / "config.yaml", tmp_path / "run" / "config.yaml.partial"
    path.parent.mkdir()
    partial.symlink_to(f"../{target}")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new" and not path.is_symlink()
    partial.symlink_to(f"../{target}")
    with atomic_path(path) as given:
        given.write_bytes(b"newer")
    assert path.read_bytes() == b"newer" and not path.is_symlink()
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists() and list((tmp_path / "folder").iterdir()) == []


def test_a_leftover_is_replaced_and_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    path, partial = tmp_path / "a", tmp_path / "a.partial"
    partial.write_text("a leftover that is longer than what follows")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    partial.mkdir()
    with pytest.raises(OSError, match=r"a\.partial"):
        atomic_write(path, b"newer")
    assert path.read_bytes() == b"new"


def test_a_created_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link").symlink_to("victim")
    create_file(tmp_path / "link")
    assert (tmp_path / "link").read_text() == "" and (tmp_path / "victim").read_text() == "precious"


def test_lines_are_appended_to_regular_files_alone(tmp_path: Path) -> None:
    for line in ("a", "b"):
        with append_text(tmp_path / "log") as file:
            file.write(f"{line}\n")
    assert (tmp_path / "log").read_text() == "a\nb\n"
    (tmp_path / "link").symlink_to("log")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling", "pipe"):
        with pytest.raises(ValueError, match=f"{name}: is a link or not a regular file; remove it"):
            append_text(tmp_path / name)
    assert (tmp_path / "log").read_text() == "a\nb\n" and not (tmp_path / "nowhere").exists()

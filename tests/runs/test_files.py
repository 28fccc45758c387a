"""Files are whole whatever happens while they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_runner.runs.files import atomic_path, atomic_write


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

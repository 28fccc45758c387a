"""The lock that allows one process per run directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

RUN_LOCK = ".lock"


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Lock a run directory; the operating system releases the lock when the process ends.

    Raises:
        ValueError: another process has locked it, or the lock file is a link.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    if (run_dir / RUN_LOCK).is_symlink():
        raise ValueError(f"{run_dir / RUN_LOCK}: is a link; remove it")
    lock = FileLock(run_dir / RUN_LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ValueError(f"{run_dir} belongs to another process that is still running") from error
    try:
        yield
    finally:
        lock.release()

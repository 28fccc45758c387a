"""What a study adds to a sweep: its cost before it starts, its own table or picture at the end.

A composed configuration names its study in `study.name`; the recipes in conf/experiment do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gan_runner.sweep.jobs import Job, read_jobs
from gan_runner.sweep.table import terminal_table, write_table

FILE = "study.json"


def conclude(folder: Path, jobs: Sequence[Job]) -> str:
    """Write what the study of a sweep's jobs makes of them; says where, or "" if there is none.

    A directory with a study.json but without jobs, such as a published one, is tabulated from it.
    """
    names = {job.config.get("study", {}).get("name") for job in jobs} - {None}
    if not names and (folder / FILE).is_file():
        return _table(folder)
    makers: Mapping[str, Callable[[Path, Sequence[Job]], str]] = {
        "robustness": _robustness,
        "figure2": _figure2,
    }
    return "\n".join(makers[name](folder, jobs) for name in sorted(names) if name in makers)


def main() -> None:
    """Entry point of `gan-table`: the table of a sweep, and of its study, from files alone."""
    parser = argparse.ArgumentParser(
        prog="gan-table",
        description="Print the table of a sweep and write it as sweep.csv and sweep.md; of a study,"
        " also its own table or picture.",
    )
    parser.add_argument("sweep_dir", type=Path)
    folder = parser.parse_args().sweep_dir
    try:
        jobs = read_jobs(folder)
        if not jobs and not (folder / FILE).is_file():
            raise ValueError(f"{folder} is not the directory of a sweep (it has no job)")
        if jobs:
            write_table(folder, jobs)
            print(terminal_table(jobs))
        if said := conclude(folder, jobs):
            print(said)
    except (ValueError, OSError) as error:
        print(f"gan-table: {error}", file=sys.stderr)
        sys.exit(2)


def _robustness(folder: Path, jobs: Sequence[Job]) -> str:
    from gan_runner.studies.robustness import collect

    collect(folder, jobs)
    return _table(folder)


def _table(folder: Path) -> str:
    from gan_runner.studies.table import render, write

    paths = write(folder)
    return f"\n{render(folder)}\n  study       {', '.join(map(str, paths))}"


def _figure2(folder: Path, jobs: Sequence[Job]) -> str:
    from gan_runner.studies.figure2 import draw

    return f"  figure      {draw(folder, jobs)}"


if __name__ == "__main__":
    main()

"""gan-table: the table of a sweep, and of its study, from files alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gan_runner.studies.conclude import FILE, conclude
from gan_runner.sweeps.jobs import read_jobs
from gan_runner.sweeps.table import terminal_table, write_table


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


if __name__ == "__main__":
    main()

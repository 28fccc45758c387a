"""gan-table: print and write the table of a sweep and of its study; it reads files only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gan_runner.commands.console import plain_warnings
from gan_runner.runs.printable import echo
from gan_runner.studies.conclude import FILE, conclude
from gan_runner.sweeps.jobs import read_jobs
from gan_runner.sweeps.table import terminal_table, write_table


def main() -> None:
    """Run the `gan-table` command; exit with status 2 on an error of the user."""
    parser = argparse.ArgumentParser(
        prog="gan-table",
        description="Print the table of a sweep and write it as sweep.csv and sweep.md; a study"
        " adds its own table or plot.",
    )
    parser.add_argument("sweep_dir", type=Path)
    folder = parser.parse_args().sweep_dir
    plain_warnings("gan-table")
    try:
        jobs = read_jobs(folder)
        if not jobs and not (folder / FILE).is_file():
            raise ValueError(f"{folder} is not the directory of a sweep (it contains no job)")
        if jobs:
            write_table(folder, jobs)
            echo(terminal_table(jobs))
        if conclusion := conclude(folder, jobs):
            echo(conclusion)
    except (ValueError, OSError) as error:
        echo(f"gan-table: {error}", error=True)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""gan-table: print and write the table of a sweep and of its study; it reads files only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gan_runner.commands.console import plain_warnings
from gan_runner.commands.options import OptionParser
from gan_runner.commands.selection import (
    add_budget,
    add_over,
    add_tags,
    check_budget,
    without_repeats,
)
from gan_runner.commands.terminal import terminal
from gan_runner.runs.files import atomic_write
from gan_runner.runs.groups import SEED, csv_rows, grouped, matching_tags, text_rows
from gan_runner.runs.latex import latex_table
from gan_runner.runs.layout import STUDY
from gan_runner.runs.mistaken import not_a_sweep
from gan_runner.runs.printable import echo
from gan_runner.runs.rows import read_records
from gan_runner.runs.text_tables import aligned, csv_text, markdown
from gan_runner.studies.conclude import conclude
from gan_runner.sweeps.jobs import read_jobs, read_plan
from gan_runner.sweeps.means import mean_lines, mean_table, seed_groups, table_tags
from gan_runner.sweeps.search import best_trial
from gan_runner.sweeps.table import terminal_table, write_table


@terminal("gan-table")
def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-table` command; exit with status 2 on an error of the user."""
    options = _parser().parse_args(arguments)
    folder = options.sweep_dir
    plain_warnings("gan-table")
    try:
        if options.over or options.tags or options.at or options.latex:
            _print_means(folder, options)
        else:
            _print_jobs(folder)
    except (ValueError, OSError) as error:
        echo(f"gan-table: {error}", error=True)
        sys.exit(2)


def _print_jobs(folder: Path) -> None:
    """Print and write the table of all jobs, the means over seeds, and the study's table."""
    jobs = read_jobs(folder)
    if not jobs and not (folder / STUDY).is_file():
        raise ValueError(not_a_sweep(folder))
    if jobs:
        groups = seed_groups(folder, jobs)
        write_table(folder, jobs, means=mean_lines(jobs, groups))
        echo(terminal_table(jobs))
        if means := mean_table(folder, jobs, groups):
            echo(f"\n{means}")
    if best := best_trial(jobs, read_plan(folder)):
        echo(best)
    if conclusion := conclude(folder, jobs):
        echo(conclusion)


def _print_means(folder: Path, options: argparse.Namespace) -> None:
    """Print the chosen tags, one line per group of runs; write them to the files asked for."""
    records = read_records(folder)
    tags = matching_tags(records, options.tags) or table_tags(records, read_jobs(folder))
    groups = grouped(records, options.over or SEED)
    check_budget(groups, tags, options.at, command="gan-table")
    rows = text_rows(groups, tags, options.at)
    if options.csv:
        atomic_write(options.csv, csv_text(csv_rows(groups, tags, options.at)).encode())
    if options.markdown:
        atomic_write(options.markdown, ("\n".join(markdown(rows)) + "\n").encode())
    if options.latex:
        echo(latex_table(groups, tags, options.at))
        return
    echo("\n".join(aligned(rows)))
    at = f", at or before {options.at}" if options.at else ""
    mean = f"mean \u00b1 standard error over {groups[0].over}, alone where all values are equal"
    echo((without_repeats(groups) or mean) + at)


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser(
        prog="gan-table",
        description="Print the table of a sweep and write it as sweep.csv and sweep.md; a study"
        " adds its own table or plot. With any option, print one line per group of runs instead:"
        " mean, standard error, number of runs, best and worst value of each tag.",
    )
    parser.add_argument(
        "sweep_dir",
        type=Path,
        metavar="SWEEP_DIR",
        help="a sweep; with an option, any folder of runs",
    )
    add_tags(parser, "the tags of the sweep's table")
    add_over(parser)
    add_budget(parser)
    parser.add_argument("--latex", action="store_true", help="print a tabular for booktabs")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the means as CSV")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write them as Markdown")
    return parser


if __name__ == "__main__":
    main()

"""gan-plot: draw curves of groups of runs, with bands, into one file; it reads files only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from gan_runner.commands.console import plain_warnings
from gan_runner.commands.options import OptionParser
from gan_runner.commands.selection import add_over, add_tags, without_repeats
from gan_runner.commands.terminal import terminal
from gan_runner.runs.groups import SEED, grouped, matching_tags
from gan_runner.runs.printable import echo
from gan_runner.runs.rows import UNITS, Band, RunRecord, read_records, without_sweep_files
from gan_runner.sweeps.jobs import read_jobs
from gan_runner.sweeps.means import table_tags


@terminal("gan-plot")
def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-plot` command; exit with status 2 on an error of the user."""
    options = _parser().parse_args(arguments)
    plain_warnings("gan-plot")
    try:
        note = draw_file(options)
    except (ValueError, OSError) as error:
        echo(f"gan-plot: {error}", error=True)
        sys.exit(2)
    echo(f"figure in {options.out}" + (f"\n{note}" if note else ""))


def draw_file(options: argparse.Namespace) -> str:
    """Draw the figure that the options describe; return a note if no group has two runs.

    Raises:
        ValueError: a folder, a tag, the averaged key or the file's ending is wrong.
        OSError: the file cannot be written.
    """
    from gan_runner.plots.seed_curves import draw, save  # numpy and matplotlib take their time

    records: list[RunRecord] = []
    folders = without_sweep_files(options.folders)
    for folder in folders:
        records += read_records(folder)
    jobs = [job for folder in folders for job in read_jobs(folder)]
    tags = matching_tags(records, options.tags) or table_tags(records, jobs)
    groups = grouped(records, options.over or SEED)
    figure = draw(groups, tags, unit=options.x, band=options.band, log_scale=options.log)
    save(figure, options.out)
    note = without_repeats(groups)
    return note if options.over or "--over" in note else ""


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser(prog="gan-plot", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="a run, a sweep, or a folder of runs"
    )
    add_tags(parser, "those of the sweep's table")
    add_over(parser)
    parser.add_argument(
        "--x", choices=UNITS, default="step", help="unit of the axis (default: step)"
    )
    parser.add_argument(
        "--band", choices=get_args(Band), default="error",
        help="one standard error of the mean (default), one standard deviation, or the range",
    )  # fmt: skip
    parser.add_argument("--log", action="store_true", help="logarithmic values")
    parser.add_argument(
        "--out", type=Path, default=Path("curves.pdf"), metavar="FILE",
        help="ends in .pdf, .png, .svg or .eps (default: curves.pdf)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    main()

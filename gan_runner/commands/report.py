"""gan-report: write one HTML file that shows a study or a sweep and works offline."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from gan_runner.commands.console import plain_warnings
from gan_runner.commands.options import OptionParser
from gan_runner.commands.terminal import terminal
from gan_runner.reports.page import render
from gan_runner.runs.files import atomic_write
from gan_runner.runs.printable import echo
from gan_runner.studies.conclude import conclude
from gan_runner.sweeps.jobs import read_jobs


@terminal("gan-report")
def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-report` command; exit with status 2 on an error of the user."""
    parser = OptionParser(prog="gan-report", description=__doc__)
    parser.add_argument("sweep_dir", type=Path, metavar="SWEEP_DIR", help="a sweep or study")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: SWEEP_DIR/report.html")
    options = parser.parse_args(arguments)
    plain_warnings("gan-report")
    out = options.out or options.sweep_dir / "report.html"
    try:
        if out.is_dir():
            raise ValueError(f"--out {out}: is a directory; choose a file in it")
        if jobs := read_jobs(options.sweep_dir):  # unfinished jobs included
            with suppress(OSError):  # a read-only directory
                conclude(options.sweep_dir, jobs)
        atomic_write(out, render(options.sweep_dir).encode(errors="replace"), shared=True)
    except (ValueError, OSError) as error:
        echo(f"gan-report: {error}", error=True)
        sys.exit(2)
    echo(f"report in {out} ({out.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()

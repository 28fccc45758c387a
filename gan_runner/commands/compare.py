"""gan-compare: metrics of several runs side by side, if they have the same provenance.

The command reads files only and does not import torch; see `runs.comparison`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from gan_runner.commands.compare_groups import group_rows, group_table
from gan_runner.commands.console import plain_warnings
from gan_runner.commands.options import OptionParser
from gan_runner.commands.selection import add_budget, add_over, check_budget
from gan_runner.commands.terminal import terminal
from gan_runner.config.words import suggestion
from gan_runner.evaluation.tables import number
from gan_runner.runs.comparison import ABSENT, ComparedRun, difference, differing, read_runs
from gan_runner.runs.groups import SEED, grouped
from gan_runner.runs.printable import echo
from gan_runner.runs.tags import is_compared, record_of
from gan_runner.runs.text_tables import aligned, csv_text

WHICH = ("final", "best")


@terminal("gan-compare")
def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-compare` command; exit with status 2 on an error of the user."""
    options = _parser().parse_args(arguments)
    plain_warnings("gan-compare")
    try:
        runs = read_runs(options.runs)
        over_groups = bool(options.over or options.at)
        tags = chosen(runs, options.tags, is_shown=is_compared if over_groups else is_comparable)
        unlike = {tag: text for tag in tags if (text := difference(runs, tag))}
        if unlike and not options.unlike:
            tag, text = next(iter(unlike.items()))
            raise ValueError(
                f"{tag}: {text}; these runs are not comparable; pass --unlike to compare anyway"
                + (f" ({len(unlike)} tags differ)" if len(unlike) > 1 else "")
            )
        shown = _side_by_side(runs, tags, unlike, options)
    except (ValueError, OSError) as error:
        echo(f"gan-compare: {error}", error=True)
        sys.exit(2)
    echo(shown)


def _side_by_side(
    runs: Sequence[ComparedRun],
    tags: Sequence[str],
    unlike: Mapping[str, str],
    options: argparse.Namespace,
) -> str:
    """Return the table of runs or of groups of runs; write the files that the options name."""
    if options.over or options.at:
        groups = grouped([run.record for run in runs], options.over or SEED)
        check_budget(groups, tags, options.at, command="gan-compare")
        rows = list(group_rows(groups, tags, options.at))
        if options.csv:
            lines = [list(rows[0]), *(list(row.values()) for row in rows)]
            options.csv.write_text(csv_text(lines, line_end="\r\n"), encoding="utf-8", newline="")
        shown = group_table(groups, tags, options.at)
        marked = "\n".join(f"* {tag}: {text}" for tag, text in unlike.items())
        shown = f"{shown}\n{marked}".rstrip()
    else:
        which = [options.only] if options.only else list(WHICH)
        rows = list(numbers(runs, tags, which))
        if options.csv:
            _write_csv(options.csv, rows)
        shown = table(runs, tags, which=which, unlike=unlike)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return shown


def is_comparable(tag: str) -> bool:
    """Return whether a tag has one scale in all runs: losses, gradient norms and speeds do not."""
    return record_of(tag).is_comparable


def chosen(
    runs: Sequence[ComparedRun],
    patterns: Sequence[str],
    *,
    is_shown: Callable[[str], bool] = is_comparable,
) -> list[str]:
    """Return the tags that match, sorted by name; * matches any text.

    Without patterns, return those for which `is_shown` is true.

    Raises:
        ValueError: a pattern matches no tag.
    """
    logged = sorted({tag for run in runs for tag in run.values.final})
    for pattern in patterns:
        if not any(fnmatchcase(tag, pattern) for tag in logged):
            hint = suggestion(pattern, logged)
            raise ValueError(f"--tags {pattern}: not logged by any of these runs{hint}")
    if not patterns:
        return [tag for tag in logged if is_shown(tag)]
    return [tag for tag in logged if any(fnmatchcase(tag, pattern) for pattern in patterns)]


def numbers(
    runs: Sequence[ComparedRun], tags: Sequence[str], which: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield {"run", "tag", "value", "provenance"} for each value of the tags.

    The provenance also contains `which`, "final" or "best", and `step`. A non-finite value is None.
    """
    for tag, run, name in product(tags, runs, which):
        step_and_value = run.at(tag, name)
        if step_and_value is not None:
            step, value = step_and_value
            provenance = {**run.provenance.get(tag, {}), "which": name, "step": step}
            path = str(run.record.path)
            yield {"run": path, "tag": tag, "value": value, "provenance": provenance}


def table(
    runs: Sequence[ComparedRun],
    tags: Sequence[str],
    *,
    which: Sequence[str] = WHICH,
    unlike: Mapping[str, str] | None = None,
) -> str:
    """Return a table: differing configuration keys, then one line per tag; one column per run.

    Args:
        runs: the columns.
        tags: the lines; a dash marks a value that a run does not have.
        which: "final", "best" or both.
        unlike: {tag: difference in provenance}; these lines are marked with a star.
    """
    unlike = unlike or {}
    labels = [f"{tag} *" if tag in unlike else tag for tag in tags]
    columns = [_column(run, tags, which) for run in runs]
    head = [["", *(run.label or run.name for run in runs)], ["", *(run.state for run in runs)]]
    keys = [[key, *values] for key, values in differing([run.config for run in runs]).items()]
    body = [["", *(column[0] for column in columns)]]
    body += [
        [label, *cells]
        for label, *cells in zip(labels, *(column[1:] for column in columns), strict=True)
    ]
    lines = aligned([*head, *keys, [""] * (len(runs) + 1), *body], gap=3)
    notes = [f"* {tag}: {text}" for tag, text in unlike.items()]
    notes += [f"{run.label}: {run.name}" for run in runs if run.label not in ("", run.name)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _column(run: ComparedRun, tags: Sequence[str], which: Sequence[str]) -> list[str]:
    """Return the column of a run: the heading, then one cell per tag."""
    parts = []
    for name in which:
        cells = [run.at(tag, name) for tag in tags]
        values = [ABSENT if cell is None else number(cell[1]) for cell in cells]
        if name == "best":
            steps = ["" if cell is None else f"@ {cell[0]:,}" for cell in cells]
            values = _right(["best", *values])
            parts.append([f"{v} {s}" for v, s in zip(values, _right(["@ step", *steps]),
                                                     strict=True)])  # fmt: skip
        else:
            parts.append(_right(["final", *values]))
    return ["   ".join(row) for row in zip(*parts, strict=True)]


def _right(texts: Sequence[str]) -> list[str]:
    width = max(map(len, texts))
    return [f"{text:>{width}}" for text in texts]


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines: list[list[Any]] = [["run", "tag", "which", "step", "value"]]
    for row in rows:
        provenance = row["provenance"]
        lines.append(
            [row["run"], row["tag"], provenance["which"], provenance["step"], row["value"]]
        )
    path.write_text(csv_text(lines, line_end="\r\n"), encoding="utf-8", newline="")


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser(prog="gan-compare", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN_DIR",
        help="directory of a gan-run; a directory with replicas or jobs adds each of them",
    )  # fmt: skip
    parser.add_argument(
        "--tags", type=lambda text: text.split(","), default=[], metavar="TAG,TAG",
        help="tags to compare, such as jsd/probe or 'images/*' (default: all but losses, gradient"
        " norms and speeds; with --over also but health, class shares and spreads)",
    )  # fmt: skip
    add_over(parser)
    add_budget(parser)
    parser.add_argument(
        "--unlike", action="store_true", help="compare even if provenance differs; mark those lines"
    )
    only = parser.add_mutually_exclusive_group()
    for which in WHICH:
        only.add_argument(
            f"--{which}", action="store_const", dest="only", const=which,
            help=f"{which} values only (default: both)",
        )  # fmt: skip
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the values as CSV")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write provenance, as JSON")
    return parser


if __name__ == "__main__":
    main()

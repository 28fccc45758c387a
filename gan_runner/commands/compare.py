"""gan-compare: numbers of several runs side by side, where what made them is alike.

Only files are read, and nothing of torch is imported: see `runs.comparison`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from gan_runner.runs.comparison import ABSENT, Run, difference, differing, read_runs
from gan_runner.runs.tags import record_of
from gan_runner.runs.text_tables import aligned, csv_text

WHICH = ("final", "best")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `gan-compare`."""
    options = _parser().parse_args(arguments)
    try:
        runs = read_runs(options.runs)
        tags = chosen(runs, options.tags)
        unlike = {tag: what for tag in tags if (what := difference(runs, tag))}
        if unlike and not options.unlike:
            tag, what = next(iter(unlike.items()))
            raise ValueError(
                f"{tag}: {what}; unlike numbers are not put side by side without --unlike"
                + (f" ({len(unlike)} tags are unlike)" if len(unlike) > 1 else "")
            )
        which = [options.only] if options.only else list(WHICH)
        rows = list(numbers(runs, tags, which))
        if options.csv:
            _write_csv(options.csv, rows)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")
    except (ValueError, OSError) as error:
        print(f"gan-compare: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        print(table(runs, tags, which=which, unlike=unlike), flush=True)
    except BrokenPipeError:  # whoever reads has seen enough: gan-compare ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def chosen(runs: Sequence[Run], patterns: Sequence[str]) -> list[str]:
    """The tags that match, in the order of the alphabet; * stands for anything.

    Without patterns all but losses, norms of gradients and speeds, which are on each run's own
    scale.

    Raises:
        ValueError: a pattern matches nothing.
    """
    known = sorted({tag for run in runs for tag in run.values.final})
    for pattern in patterns:
        if not any(fnmatchcase(tag, pattern) for tag in known):
            near = get_close_matches(pattern, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise ValueError(f"--tags {pattern}: no run has it; {hint}")
    if not patterns:
        return [tag for tag in known if record_of(tag).is_comparable]
    return [tag for tag in known if any(fnmatchcase(tag, pattern) for pattern in patterns)]


def numbers(
    runs: Sequence[Run], tags: Sequence[str], which: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Each number with its card, which says as well whether it is the final or the best, and when.

    A value that is not finite is None.
    """
    for tag, run, name in product(tags, runs, which):
        found = run.at(tag, name)
        if found is not None:
            step, value = found
            provenance = {**run.provenance.get(tag, {}), "which": name, "step": step}
            yield {"run": str(run.path), "tag": tag, "value": value, "provenance": provenance}


def table(
    runs: Sequence[Run],
    tags: Sequence[str],
    *,
    which: Sequence[str] = WHICH,
    unlike: Mapping[str, str] | None = None,
) -> str:
    """What differs between the configurations, then a line a tag and a column a run.

    Args:
        runs: the columns.
        tags: the lines; a number that a run does not have is a dash.
        which: "final", "best" or both.
        unlike: what differs in the cards of a tag; its line is marked with a star.
    """
    unlike = unlike or {}
    labels = [f"{tag} *" if tag in unlike else tag for tag in tags]
    columns = [_column(run, tags, which) for run in runs]
    head = [["", *(run.name for run in runs)], ["", *(run.state for run in runs)]]
    what = [[key, *values] for key, values in differing([run.config for run in runs]).items()]
    body = [["", *(column[0] for column in columns)]]
    body += [
        [label, *cells]
        for label, *cells in zip(labels, *(column[1:] for column in columns), strict=True)
    ]
    lines = aligned([*head, *what, [""] * (len(runs) + 1), *body], gap=3)
    notes = [f"* {tag}: {what}" for tag, what in unlike.items()]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _column(run: Run, tags: Sequence[str], which: Sequence[str]) -> list[str]:
    """A run's numbers as text, under a heading."""
    parts = []
    for name in which:
        found = [run.at(tag, name) for tag in tags]
        values = [ABSENT if f is None else _number(f[1]) for f in found]
        if name == "best":
            steps = ["" if f is None else f"@ {f[0]:,}" for f in found]
            values = _right(["best", *values])
            parts.append([f"{v} {s}" for v, s in zip(values, _right(["@ step", *steps]),
                                                     strict=True)])  # fmt: skip
        else:
            parts.append(_right(["final", *values]))
    return ["   ".join(row) for row in zip(*parts, strict=True)]


def _right(texts: Sequence[str]) -> list[str]:
    width = max(map(len, texts))
    return [f"{text:>{width}}" for text in texts]


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines: list[list[Any]] = [["run", "tag", "which", "step", "value"]]
    for row in rows:
        provenance = row["provenance"]
        lines.append(
            [row["run"], row["tag"], provenance["which"], provenance["step"], row["value"]]
        )
    path.write_text(csv_text(lines, line_end="\r\n"), encoding="utf-8", newline="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gan-compare", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN_DIR",
        help="directory of a gan-run; one of replicas stands for all of them",
    )  # fmt: skip
    parser.add_argument(
        "--tags", type=lambda text: text.split(","), default=[], metavar="TAG,TAG",
        help="what to compare, such as jsd/probe or 'images/*' (default: all but losses, norms of"
        " gradients and speeds)",
    )  # fmt: skip
    parser.add_argument(
        "--unlike", action="store_true", help="even where cards differ; such lines are marked"
    )
    only = parser.add_mutually_exclusive_group()
    for which in WHICH:
        only.add_argument(
            f"--{which}", action="store_const", dest="only", const=which,
            help=f"{which} values only (default: both)",
        )  # fmt: skip
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the numbers there as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same, each with its card")
    return parser


if __name__ == "__main__":
    main()

"""Options that gan-table, gan-compare and gan-plot share: tags, the averaged key, the budget."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import get_args

from gan_runner.runs.groups import SEED, Group, grouped, varied
from gan_runner.runs.printable import echo
from gan_runner.runs.rows import Budget, RunRecord, Unit

_SECONDS = "; the seconds of a sweep's table also count metrics and plots"


def add_tags(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--tags`, a list of patterns; `default` says what is shown without it."""
    parser.add_argument(
        "--tags", type=lambda text: text.split(","), default=[], metavar="TAG,TAG",
        help=f"tags, such as wasserstein/exact or 'images/*' (default: {default})",
    )  # fmt: skip


def add_over(parser: argparse.ArgumentParser) -> None:
    """Add `--over`, the setting that is averaged over."""
    parser.add_argument(
        "--over", metavar="KEY",
        help=f"average over the runs that differ in this key alone, such as {SEED}",
    )  # fmt: skip


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Add `--at`, the position on the curves."""
    parser.add_argument(
        "--at", type=budget, metavar="UNIT=N",
        help="values at or before step=N, critic_updates=N or seconds=N of training, without"
        " metrics and plots (default: the last value)",
    )  # fmt: skip


def budget(text: str) -> Budget:
    """Parse `critic_updates=5000`.

    Raises:
        argparse.ArgumentTypeError: the unit is unknown or the amount is not a positive number.
    """
    unit, _, amount = text.partition("=")
    known: tuple[Unit, ...] = get_args(Unit)
    for name in known:
        if unit == name:
            try:
                number = float(amount)
            except ValueError:
                break
            if 0 < number < float("inf"):
                return Budget(name, number)
            break
    raise argparse.ArgumentTypeError(f"{text}: should be {'=N, '.join(known)}=N with N above 0")


def check_budget(
    groups: Sequence[Group], tags: Sequence[str], at: Budget | None, *, command: str
) -> None:
    """Check that some run has a value at the budget; name on stderr what has none.

    Args:
        groups: the runs.
        tags: tags of which one is enough.
        at: the budget; None: the end of each run, where nothing is checked.
        command: name of the command, for warnings.

    Raises:
        ValueError: every run ends before the budget, or none has a value yet.
    """
    if at is None:
        return
    runs = [run for group in groups for run in group.runs]
    short = [run for run in runs if run.ends_before(at)]
    if len(short) == len(runs):
        longest = at.words(
            max((run.positions(at.unit)[-1] for run in runs if run.points), default=0)
        )
        note = _SECONDS if at.unit == "seconds" else ""
        raise ValueError(f"--at {at}: every run ends before; the longest reaches {longest}{note}")
    early = {tag: x for tag in tags if (x := _first_after(runs, tag, at)) is not None}
    if early and len(early) == len(tags):
        tag = min(early, key=lambda tag: early[tag])
        place = at.words(early[tag])
        raise ValueError(f"--at {at}: no value yet; the first, of {tag}, is at {place}")
    if short:
        names = ", ".join(run.name for run in short[:3]) + (" ..." if len(short) > 3 else "")
        counted = f"{len(short)} of {len(runs)} runs end before {at} and are left out"
        echo(f"{command}: warning: {counted}: {names}", error=True)
    for tag, first in early.items():
        advice = f"the first is at {at.words(first)}"
        echo(f"{command}: warning: {tag} has no value yet at {at}; {advice}", error=True)


def _first_after(runs: Sequence[RunRecord], tag: str, at: Budget) -> float | None:
    """Return the position of a tag's first value if no run has one by the budget; else None."""
    firsts = [x[0] for run in runs if (x := run.curve(tag, at.unit)[0])]
    first = min(firsts, default=0.0)
    return first if first > at.amount * (1 + 1e-9) else None


def without_repeats(groups: Sequence[Group]) -> str:
    """Return the keys that vary if no group has two runs, and another seed to average over.

    The text is empty for a single run, and where a group has several.
    """
    runs = [run for group in groups for run in group.runs]
    if len(groups) < 2 or len(runs) > len(groups):
        return ""
    keys = varied(runs)
    text = f"every group has one run: {', '.join(keys)} {'vary' if len(keys) > 1 else 'varies'}"
    for key in keys:
        is_other = key.endswith(f".{SEED}") and key != groups[0].over
        if is_other and len(grouped(runs, key)) < len(groups):
            return f"{text}; pass --over {key} to average over it"
    return text

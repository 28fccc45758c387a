"""Options that gan-table, gan-compare and gan-plot share: tags, the averaged key, the budget."""

from __future__ import annotations

import argparse
from typing import get_args

from gan_runner.runs.groups import SEED
from gan_runner.runs.rows import Budget, Unit


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

"""Terminal output of the commands: warnings, the result of a run, and its health."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_runner.config.targets import checked_prefix
from gan_runner.evaluation.verdict import names_of_tags, verdict
from gan_runner.runs.printable import echo, printable_cell, quoted


def plain_warnings(program: str) -> None:
    """Print each distinct warning from now on as one line on stderr, once."""
    shown: set[str] = set()

    def show(message: Warning | str, *_: Any) -> None:
        if str(message) not in shown:
            echo(f"{program}: warning: {printable_cell(message)}", error=True)
        shown.add(str(message))

    warnings.showwarning = show  # type: ignore[assignment]


def add_allow(parser: argparse.ArgumentParser) -> None:
    """Add the argument `--allow PREFIX`, which may be repeated."""
    parser.add_argument(
        "--allow", action="append", default=[], type=_prefix, metavar="PREFIX",
        help="a package that you trust and a dot, such as my_package., which the run may name",
    )  # fmt: skip


def _prefix(text: str) -> str:
    try:
        return checked_prefix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def print_result(summary: Mapping[str, Any], run_dir: Path) -> None:
    """Print the status, health and last samples of a run, and commands to continue with."""
    first = run_dir / next(iter(summary.get("replicas", {".": None})))
    images = sorted((first / "samples").glob("step_*.png"))
    seconds = summary["seconds"]["total"]
    if images and _supports_images():
        from gan_runner.plots.samples import image_to_ansi

        if preview := image_to_ansi(images[-1], width=80, share=0.3):
            sys.stdout.write(f"{preview}\n")  # colours are control characters of our own
    echo(f"{summary['status']} at step {summary['steps']:,} after {seconds:.0f} s")
    for place, text in enumerate(verdict(summary, run_dir)):
        echo(f"  {'result' if not place else '':<10}  {text}")
    tags = names_of_tags(summary)
    if tags:
        echo(f"  tags        {tags}")
    echo(f"  health      {_explained(health(summary, run_dir), has_result=bool(tags))}")
    if summary["accelerate"]["iterations_per_second"]:
        echo(f"  executed    {_mode(summary['accelerate'])}")
    if images:
        from gan_runner.runs.progress_picture import NAME

        moving = f", all of them {first / NAME}" if (first / NAME).is_file() else ""
        echo(f"  samples     {images[-1]}{moving}")
    if plots := _other_plots(first):
        echo(f"  plots       {', '.join(plots)}: {first}/NAME/step_*.png")
    echo(f"  TensorBoard tensorboard --logdir {quoted(run_dir)}")
    echo(f"  more        gan-sample {quoted(first)} --count 100 --out samples.png")


def _explained(state: str, *, has_result: bool) -> str:
    """Return the health; a good one with a note, as it may stand below a poor result."""
    if state != "ok":
        return state
    return f"ok: training did not break{'; the result above rates the samples' * has_result}"


def _other_plots(run_dir: Path) -> list[str]:
    """Return the names of the plots in a run directory, without the samples."""
    names = {path.parent.name for path in run_dir.glob("*/step_*.png")}
    return sorted(map(printable_cell, names - {"samples"}))


def _mode(mode: Mapping[str, Any]) -> str:
    """Return the execution mode and, after an autotuning, the speed of each mode."""
    speeds = [f"{name} {speed}" for name, speed in mode["iterations_per_second"].items()]
    reason = f", the fastest of {', '.join(speeds)} iterations per second" if speeds else ""
    return f"{mode['mode']}{reason}"


def _supports_images() -> bool:
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")


def health(summary: Mapping[str, Any], run_dir: Path) -> str:
    """Return the health of a run as one line, "ok" or the state, its first step and its reason.

    Replicas that are not ok are listed by name.

    Args:
        summary: summary of a run, or of several replicas.
        run_dir: directory of that run.
    """
    runs = summary.get("replicas", {"": summary})
    states = {name: run["health"] for name, run in runs.items() if run["health"]["state"] != "ok"}
    texts = [f"{name} {_problem(state, run_dir / name)}".lstrip() for name, state in states.items()]
    if texts and len(states) < len(runs):
        texts.append(f"{len(runs) - len(states)} of {len(runs)} ok")
    return "; ".join(texts) or "ok"


def _problem(state: Mapping[str, Any], run_dir: Path) -> str:
    text = f"{state['state']} since step {state['since']:,} ({state['because']})"
    if state["incident"] is None:
        return text
    return f"{text}; batch and weights of step {state['incident']:,}: {run_dir / 'diverged.pt'}"

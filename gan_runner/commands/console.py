"""What gan-run says of a run on the terminal: before it, after it, and how it fares."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain_warnings(program: str) -> None:
    """From now on a warning is one line, shown once, however many replicas it holds for."""
    shown: set[str] = set()

    def show(message: Warning | str, *_: Any) -> None:
        if str(message) not in shown:
            print(f"{program}: warning: {message}", file=sys.stderr)
        shown.add(str(message))

    warnings.showwarning = show  # type: ignore[assignment]


def print_result(summary: Mapping[str, Any], run_dir: Path) -> None:
    """Print how a run ended, and what to do with it."""
    first = run_dir / next(iter(summary.get("replicas", {".": None})))
    pictures = sorted((first / "samples").glob("step_*.png"))
    seconds = summary["seconds"]["total"]
    if pictures and _shows_pictures():
        from gan_runner.plots.samples import image_to_ansi

        print(image_to_ansi(pictures[-1], width=80, share=0.3))
    print(f"{summary['status']} at step {summary['steps']:,} after {seconds:.0f} s")
    print(f"  health      {health(summary, run_dir)}")
    if summary["accelerate"]["iterations_per_second"]:
        print(f"  executed    {_mode(summary['accelerate'])}")
    if pictures:
        print(f"  samples     {pictures[-1]}")
    print(f"  TensorBoard tensorboard --logdir {run_dir}")
    print(f"  more        gan-sample {first} --count 100 --out samples.png")


def _mode(mode: Mapping[str, Any]) -> str:
    """How the iterations were executed and, where auto measured, why."""
    speeds = [f"{name} {speed}" for name, speed in mode["iterations_per_second"].items()]
    measured = f", the fastest of {', '.join(speeds)} iterations a second" if speeds else ""
    return f"{mode['mode']}{measured}"


def _shows_pictures() -> bool:
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")


def health(summary: Mapping[str, Any], run_dir: Path) -> str:
    """How a run fares and since when, in a line; of several replicas, those that are not well.

    Args:
        summary: of the run, or of a pack.
        run_dir: that it describes.
    """
    runs = summary.get("replicas", {"": summary})
    ill = {name: its["health"] for name, its in runs.items() if its["health"]["state"] != "ok"}
    texts = [f"{name} {_illness(its, run_dir / name)}".lstrip() for name, its in ill.items()]
    if texts and len(ill) < len(runs):
        texts.append(f"{len(runs) - len(ill)} of {len(runs)} ok")
    return "; ".join(texts) or "ok"


def _illness(its: Mapping[str, Any], run_dir: Path) -> str:
    text = f"{its['state']} since step {its['since']:,} ({its['because']})"
    if its["incident"] is None:
        return text
    return f"{text}; batch and weights of step {its['incident']:,}: {run_dir / 'diverged.pt'}"

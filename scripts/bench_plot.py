"""One page of a report of scripts/bench.py: speed-ups, share of the peak, cost along each axis.

python scripts/bench_plot.py REPORT.json FILE.png
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draw the sections that a report has; the rest of the page stays empty.

    Args:
        report: the content of `--out`.
        path: of a PNG, PDF or SVG file.
    """
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    facts = report["machine"]
    figure.suptitle(f"{facts['processor']}, {facts['device']}, torch {facts['torch']}")
    grid = figure.add_gridspec(2, 4)
    workloads = report.get("workloads", {})
    timed = {name: row for name, row in workloads.items() if "ratio_auto" in row}
    if timed:
        _speed_ups(figure.add_subplot(grid[0, :2]), timed)
        _share_of_peak(figure.add_subplot(grid[0, 2:]), timed)
    for column, (name, rows) in enumerate(report.get("growth", {}).items()):
        _cost(figure.add_subplot(grid[1, column]), name, rows)
    figure.savefig(path)


def _speed_ups(axes: Axes, rows: Mapping[str, Any]) -> None:
    """Draw medians of the speed-up over the textbook loop, with lowest and highest round."""
    for offset, kind in ((-0.2, "fp32"), (0.2, "auto")):
        middle = [row[f"ratio_{kind}"] for row in rows.values()]
        spans = [row[f"ratio_{kind}_range"] for row in rows.values()]
        errors = [
            [m - low for m, (low, _) in zip(middle, spans, strict=True)],
            [high - m for m, (_, high) in zip(middle, spans, strict=True)],
        ]
        places = [k + offset for k in range(len(middle))]
        axes.bar(places, middle, 0.4, yerr=errors, capsize=3, label=kind)
    axes.axhline(1, color="0.3", linewidth=0.8)
    axes.set_title("times as fast as the textbook loop")
    axes.set_xticks(range(len(rows)), [*rows], rotation=30, ha="right")
    axes.legend()


def _share_of_peak(axes: Axes, rows: Mapping[str, Any]) -> None:
    """Draw the share of the peak of a large matrix product that `auto` reaches."""
    axes.bar(range(len(rows)), [100 * row["share_of_peak"] for row in rows.values()])
    axes.set_title("auto: % of the FLOP/s of a large matrix product")
    axes.set_xticks(range(len(rows)), [*rows], rotation=30, ha="right")


def _cost(axes: Axes, name: str, rows: list[dict[str, Any]]) -> None:
    """Draw milliseconds per iteration along one axis, which doubles from tick to tick."""
    values = [float(row["set"].rpartition("=")[2]) for row in rows]
    axes.plot(values, [row["ms"] for row in rows], marker="o")
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_ylim(bottom=0)
    axes.set_title("ms per iteration" if name == "batch" else "")
    axes.set_xlabel(f"{rows[0]['workload']}, {name}")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))

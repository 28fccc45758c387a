"""The runs of a sweep together: means over seeds, curves with bands, values against parameters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan_runner.plots.seed_curves import band_curve
from gan_runner.reports.curves import in_order, is_measure, thin
from gan_runner.runs.groups import SEED, Group, grouped, has_repeats, text_rows, varied
from gan_runner.runs.rows import RunRecord, read_record, run_dirs
from gan_runner.runs.tags import FLOOR, record_of
from gan_runner.studies.study_files import number

_TAGS = 6  # charts
_GROUPS = 8  # curves of a chart, as many as there are colours
_POINTS = 60  # of a curve
_KEYS = 4  # parameters


def readable_records(folder: Path) -> list[RunRecord]:
    """Return the runs inside a folder; those outside of it and malformed ones are left out."""
    records = []
    for path in run_dirs(folder):
        with suppress(ValueError, OSError):
            records.append(read_record(path, folder))
    return records


def together(folder: Path, tags: Sequence[str]) -> dict[str, Any]:
    """Return what a page shows of all runs together, as plain JSON values.

    Args:
        folder: of the sweep.
        tags: those that come first; without any that is logged, the first metrics are shown.
    """
    records = readable_records(folder)
    logged = {tag for record in records for point in record.points for tag in point}
    chosen = [tag for tag in tags if tag in logged]
    chosen = (chosen or [tag for tag in in_order(logged - {"step"}) if is_measure(tag)])[:_TAGS]
    groups = grouped(records) if records else []
    repeated = bool(chosen) and SEED in varied(records) and has_repeats(groups)
    means = text_rows(groups, chosen) if repeated else []
    shown = groups[:_GROUPS]
    return {
        "means": means,
        "groups": [_name(group) for group in shown] if len(records) > 1 else [],
        "charts": [chart for tag in chosen if (chart := _chart(shown, tag))["curves"]],
        "left_out": len(groups) - len(shown),
        "scatters": _scatters(records, chosen[0]) if chosen else [],
    }


def _name(group: Group) -> str:
    return f"{group.label} (n = {len(group.runs)})" if len(group.runs) > 1 else group.label


def _chart(groups: Sequence[Group], tag: str) -> dict[str, Any]:
    """Return the curves of a tag: for each group its place, steps, mean and band; and its floor."""
    curves = []
    for place, group in enumerate(groups):
        curve = band_curve(group, tag)
        if curve is not None:
            steps, mean = thin(curve.x.tolist(), curve.mean.tolist(), points=_POINTS)
            at = {step: k for k, step in enumerate(curve.x.tolist())}
            edges = (curve.low, curve.high)
            low, high = ([float(f"{edge[at[s]]:.4g}") for s in steps] for edge in edges)
            curves.append({"group": place, "steps": steps, "mean": mean, "low": low, "high": high})
    better = {"lower": "lower is better", "higher": "higher is better"}
    meaning = ", ".join(filter(None, (record_of(tag).meaning, better.get(record_of(tag).better))))
    return {"tag": tag, "meaning": meaning, "curves": curves, "floor": _floor(groups, tag)}


def _floor(groups: Sequence[Group], tag: str) -> float | None:
    """Return the mean over all runs of a tag's last value for real data; None without one."""
    last = [run.values().get(f"{tag}{FLOOR}") for group in groups for run in group.runs]
    floors = [value for value in last if value is not None]
    return float(f"{sum(floors) / len(floors):.4g}") if floors else None


def _scatters(records: Sequence[RunRecord], tag: str) -> list[dict[str, Any]]:
    """Return the last value of a tag against each parameter that takes three numbers or more."""
    charts = []
    for key in varied(records):
        pairs = [(number(r.settings.get(key)), r.values().get(tag), r.name) for r in records]
        points = [(x, y, name) for x, y, name in pairs if x is not None and y is not None]
        values = {x for x, _, _ in points}
        if key != SEED and len(values) > 2:
            is_log = min(values) > 0 and max(values) > 20 * min(values)
            charts.append({"key": key, "tag": tag, "log": is_log, "points": points})
    return charts[:_KEYS]

"""One run on a page: status, facts, last samples and curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_runner.reports.curves import read_curves
from gan_runner.reports.images import data_uri, latest
from gan_runner.runs.layout import POINTS, SUMMARY
from gan_runner.runs.read import try_json
from gan_runner.runs.within import Folder
from gan_runner.studies.study_files import number

_PICTURES = 10 << 20  # bytes of all images; base64 adds a third
_PICTURE = 120 << 10  # largest number of bytes of one image
_NUMBERS = 250_000  # numbers in all curves
_TAGS = 16  # curves of a run


@dataclass(frozen=True)
class PageLimits:
    """Limits of the share of a page that each run may take.

    Attributes:
        runs: number of runs on the page.
    """

    runs: int

    @property
    def picture(self) -> int:
        """Return the largest number of bytes of an image."""
        return min(_PICTURE, _PICTURES // max(1, self.runs))

    @property
    def points(self) -> int:
        """Return the largest number of points of a curve."""
        return min(100, max(24, _NUMBERS // (2 * _TAGS * max(1, self.runs))))


def show(
    folder: Path,
    cells: Mapping[str, str],
    *,
    label: str,
    limits: PageLimits,
    tags: Iterable[str] = (),
) -> dict[str, Any]:
    """Return one run as plain JSON values.

    Args:
        folder: directory of the study or sweep; files outside it are not read.
        cells: the run's line in the CSV file.
        label: name of the run among those of its row.
        limits: most bytes of an image and points of a curve.
        tags: curves that come first.
    """
    named = cells.get("run_dir", "")
    run_dir = Folder(folder).find(named) if named else None
    grid = latest(run_dir) if run_dir else None
    grid = grid if grid and Folder(folder).find(grid.relative_to(folder)) else None
    curves = {}
    state = health(run_dir) if run_dir else ""
    cells = {"health": state, **{key: text for key, text in cells.items() if text}}
    if run_dir:
        curves = read_curves(run_dir / POINTS, tags=_TAGS, points=limits.points, first=tags)
    return {
        "label": label,
        "status": cells.get("status", "") or "missing",
        "health": cells.get("health", ""),
        "facts": facts(cells),
        "picture": data_uri(grid, most=limits.picture) if grid else None,
        "step": int(grid.stem.removeprefix("step_")) if grid else None,
        "curves": curves,
    }


def health(run_dir: Path) -> str:
    """Return the health state in a run's summary.json; empty where there is none."""
    state = (try_json(run_dir / SUMMARY) or {}).get("health")
    return str(state.get("state", "")) if isinstance(state, dict) else ""


def facts(cells: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the main facts of a run as pairs of name and text."""
    entries = [
        ("status", cells.get("status", "") or "missing"),
        ("health", cells.get("health", "")),
    ]
    score, spread = number(cells.get("score")), number(cells.get("score_std"))
    if score is not None:
        entries.append(("score", f"{score:.3f}" + (f" \u00b1 {spread:.3f}" if spread else "")))
    for name in ("steps", "generator_parameters", "critic_parameters"):
        count = number(cells.get(name))
        entries.append((name.replace("_", " "), "" if count is None else f"{count:,.0f}"))
    seconds = number(cells.get("seconds"))
    entries.append(("duration", "" if seconds is None else duration(seconds)))
    entries += [("error", cells.get("error", "")), ("directory", cells.get("run_dir", ""))]
    return [(name, text) for name, text in entries if text]


def duration(seconds: float) -> str:
    """Format seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

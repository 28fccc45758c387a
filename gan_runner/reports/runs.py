"""What a page shows of one run: its state, its numbers, its last samples, its curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_runner.reports.curves import read_curves
from gan_runner.reports.images import data_uri, latest
from gan_runner.runs.read import POINTS, SUMMARY, try_json
from gan_runner.studies.study_files import number

_PICTURES = 10 << 20  # bytes of all pictures; as text in the page a third more
_PICTURE = 120 << 10  # bytes of one, at most
_NUMBERS = 250_000  # in all curves
_TAGS = 16  # curves of a run


@dataclass(frozen=True)
class Budget:
    """How much of a page each of many runs may take.

    Attributes:
        runs: on the page.
    """

    runs: int

    @property
    def picture(self) -> int:
        """Bytes."""
        return min(_PICTURE, _PICTURES // max(1, self.runs))

    @property
    def points(self) -> int:
        """Of a curve."""
        return min(100, max(24, _NUMBERS // (2 * _TAGS * max(1, self.runs))))


def inside(folder: Path, relative: str) -> Path | None:
    """A path in a file that others wrote, if it stays within the folder; else None."""
    try:
        path = (folder / relative).resolve()
        return path if relative and path.is_relative_to(folder.resolve()) else None
    except (OSError, ValueError, RuntimeError):
        return None


def show(
    folder: Path,
    cells: Mapping[str, str],
    *,
    label: str,
    budget: Budget,
    tags: Iterable[str] = (),
) -> dict[str, Any]:
    """One run as plain JSON values.

    Args:
        folder: of the study or sweep; nothing outside it is read.
        cells: the run's line in its CSV file.
        label: which of a row's runs it is.
        budget: of the page.
        tags: curves that come first.
    """
    run_dir = inside(folder, cells.get("run_dir", ""))
    grid = latest(run_dir) if run_dir else None
    grid = grid if grid and inside(folder, str(grid)) else None
    curves = {}
    state = health(run_dir) if run_dir else ""
    cells = {"health": state, **{key: text for key, text in cells.items() if text}}
    if run_dir and (log := inside(folder, str(run_dir / POINTS))):
        curves = read_curves(log, tags=_TAGS, points=budget.points, first=tags)
    return {
        "label": label,
        "status": cells.get("status", "") or "missing",
        "health": cells.get("health", ""),
        "facts": facts(cells),
        "picture": data_uri(grid, most=budget.picture) if grid else None,
        "step": int(grid.stem.removeprefix("step_")) if grid else None,
        "curves": curves,
    }


def health(run_dir: Path) -> str:
    """The state that a run's summary.json tells, where it tells one."""
    told = (try_json(run_dir / SUMMARY) or {}).get("health")
    return str(told.get("state", "")) if isinstance(told, dict) else ""


def facts(cells: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is worth reading about a run, as names and texts."""
    found = [("status", cells.get("status", "") or "missing"), ("health", cells.get("health", ""))]
    score, spread = number(cells.get("score")), number(cells.get("score_std"))
    if score is not None:
        found.append(("score", f"{score:.3f}" + (f" \u00b1 {spread:.3f}" if spread else "")))
    for name in ("steps", "generator_parameters", "critic_parameters"):
        count = number(cells.get(name))
        found.append((name.replace("_", " "), "" if count is None else f"{count:,.0f}"))
    seconds = number(cells.get("seconds"))
    found.append(("duration", "" if seconds is None else duration(seconds)))
    found += [("error", cells.get("error", "")), ("directory", cells.get("run_dir", ""))]
    return [(name, text) for name, text in found if text]


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""Readers of a study's directory: study.json (the question), results.csv (a line per run).

A study that is half done, or whose files lack a column, is read as far as it goes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any

from gan_runner.runs.layout import STUDY
from gan_runner.runs.parse import TooLarge, check_count
from gan_runner.runs.read import is_readable, read_json
from gan_runner.studies.paired_statistics import Pair

BASELINE = "baseline"
"""The value of the column `architecture` for the DCGAN baseline."""

SHOWN = {
    "gan": "GAN (saturating)",
    "ns_gan": "GAN",
    "ns_gan_layer": "GAN, layer norm",
    "wgan_gp": "WGAN-GP",
    "wgan": "WGAN",
}
_IN_FULL = {"GAN": "GAN (ns_gan, non-saturating)"}
_SAME = {"ns_gan": "gan", "gan": "ns_gan"}  # the paper's "GAN" is the non-saturating one
_LOST = "diverged"  # a failed run is missing: the same command tries it again
_FACTS = {"objectives": list, "card": (dict, type(None)), "baseline": (dict, type(None))}
_MOST_CELLS = 2_000_000  # of a CSV file; each line has a cell for every column
_ORDER = ("ns_gan", "gan")  # the table's first column is the GAN's, whatever the order of runs


@dataclass(frozen=True)
class StudyRun:
    """One line of results.csv.

    Attributes:
        architecture: its number as text, or "baseline".
        objective: as on the command line.
        arm: the objective, with the critic's norm where the command line sets it.
        seed: of the run, as text.
        status: completed, diverged, failed, missing, ...
        score: None unless there is a finite one.
        cells: the whole line, column by column.
    """

    architecture: str
    objective: str
    status: str
    score: float | None
    cells: Mapping[str, str]
    arm: str = ""
    seed: str = "0"

    @property
    def outcome(self) -> float | None:
        """The score that thresholds see: -inf for a diverged run, None for one without an end."""
        if self.status == _LOST:
            return -inf
        return self.score if self.status == "completed" else None


@dataclass(frozen=True)
class Study:
    """A study as far as it has come.

    Attributes:
        folder: of study.json.
        facts: the content of study.json.
        objectives: names of the two that are compared, first and second.
        runs: every line of results.csv.
    """

    folder: Path
    facts: Mapping[str, Any]
    objectives: tuple[str, str]
    runs: Sequence[StudyRun] = field(default_factory=list)

    @property
    def labels(self) -> tuple[str, str]:
        """The names of both objectives as people write them."""
        first, second = (SHOWN.get(name, name) for name in self.objectives)
        return first, second

    @property
    def full_labels(self) -> tuple[str, str]:
        """The names of both objectives with what they leave out, for a title."""
        first, second = (_IN_FULL.get(label, label) for label in self.labels)
        return first, second

    @property
    def is_demonstration(self) -> bool:
        """Return True if the recipe declares its runs too short for a conclusion."""
        return bool(self.facts.get("demonstration"))

    @property
    def arms(self) -> list[str]:
        """All arms, the two that are compared first."""
        return list(dict.fromkeys([*self.objectives, *(run.arm for run in self.runs)]))

    @property
    def by_architecture(self) -> dict[str, dict[str, StudyRun]]:
        """Runs of the study's seed by architecture and arm; numbers in order, then the rest.

        The study's seed is the smallest that an architecture has; others tell how much seeds vary.
        """
        by_label: dict[str, dict[str, StudyRun]] = {}
        runs = sorted(self.runs, key=lambda run: natural(run.seed))
        for run in sorted(runs, key=lambda run: natural(run.architecture)):
            by_label.setdefault(run.architecture, {}).setdefault(run.arm, run)
        return by_label

    @property
    def pairs(self) -> list[Pair]:
        """Return the scores of both objectives on each architecture that both have ended on."""
        pairs = []
        for name, runs in self.by_architecture.items():
            ended = [runs[o].outcome if o in runs else None for o in self.objectives]
            if name != BASELINE and ended[0] is not None and ended[1] is not None:
                pairs.append((ended[0], ended[1]))
        return pairs

    @property
    def architectures(self) -> int:
        """Return the number of architectures, ended or not."""
        return len([name for name in self.by_architecture if name != BASELINE])

    @property
    def iterations(self) -> dict[str, int]:
        """Generator updates of the completed runs by the name of their objective."""
        by_label: dict[str, int] = {}
        for objective, label in zip(self.objectives, self.labels, strict=True):
            runs = [run for run in self.runs if run.arm == objective]
            steps = [number(run.cells.get("steps")) for run in runs if run.status == "completed"]
            if numbers := [int(n) for n in steps if n is not None]:
                by_label[label] = max(numbers)
        return by_label

    @property
    def real(self) -> float | None:
        """The score of held-out real data."""
        return number(self.facts.get("real"))

    @property
    def baselines(self) -> dict[str, float]:
        """Scores of the DCGAN baseline by objective, where they are known."""
        numbers = self.facts.get("baseline")
        numbers = numbers if isinstance(numbers, dict) else {}
        scores = {o: number(numbers.get(o, numbers.get(_SAME.get(o, o)))) for o in self.objectives}
        return {o: score for o, score in scores.items() if score is not None}

    @property
    def baseline(self) -> float | None:
        """The mean of the DCGAN's scores under both objectives; None without any."""
        scores = self.baselines.values()
        return sum(scores) / len(scores) if scores else None


def read(folder: Path) -> Study:
    """Read a study's directory.

    Raises:
        ValueError: there is no study.json, or it cannot be read.
    """
    if not (folder / STUDY).is_file():
        raise ValueError(f"{folder} has no {STUDY}; choose the directory of a study")
    facts = read_json(folder / STUDY, _FACTS)
    runs = [_run(cells) for cells in read_rows(folder / "results.csv")]
    named = facts.get("objectives")
    names = [str(name) for name in named] if isinstance(named, list) else []
    names += [run.arm for run in runs]
    names = list(dict.fromkeys([*names, "ns_gan", "wgan_gp"]))[:2]
    first, second = sorted(names, key=lambda name: name not in _ORDER)
    return Study(folder, facts, (first, second), runs)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the lines of a CSV file by column; [] without a file.

    Raises:
        ValueError: the file is a link out of its folder, or is too large.
    """
    rows: list[dict[str, str]] = []
    if not is_readable(path):
        return rows
    text = ""
    with suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        check_count(text, _MOST_CELLS)
    except TooLarge as error:
        raise ValueError(f"{path}: {error}") from error
    with suppress(csv.Error):
        # line by line: what comes before something unreadable is kept
        for line in csv.DictReader(io.StringIO(text)):
            rows.append({key: (value or "").strip() for key, value in line.items() if key})
            if len(rows) * len(line) > _MOST_CELLS:
                raise ValueError(f"{path}: has more than {_MOST_CELLS:,} values")
    return rows


def number(value: Any) -> float | None:
    """Parse a finite number from text or JSON; None for everything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        parsed = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return parsed if isfinite(parsed) else None


def natural(text: str) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by value, before words."""
    value = number(text)
    return value is None, value or 0.0, text


def _run(cells: dict[str, str]) -> StudyRun:
    return StudyRun(
        architecture=cells.get("architecture", ""),
        objective=cells.get("objective", ""),
        status=cells.get("status", "") or "missing",
        score=number(cells.get("score")),
        cells=cells,
        arm=cells.get("arm") or cells.get("objective", ""),
        seed=cells.get("seed") or "0",
    )

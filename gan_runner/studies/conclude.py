"""The table or picture that a study adds to the end of a sweep.

A composed configuration names its study in `study.name`; the recipes in conf/experiment do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gan_runner.runs.layout import STUDY
from gan_runner.sweeps.jobs import Job


def conclude(folder: Path, jobs: Sequence[Job]) -> str:
    """Write what the study of a sweep's jobs makes of them; says where, or "" if there is none.

    A directory with a study.json but without jobs, such as a published one, is tabulated from it.
    """
    names = {job.config.get("study", {}).get("name") for job in jobs} - {None}
    if not names and (folder / STUDY).is_file():
        return _table(folder)
    makers: Mapping[str, Callable[[Path, Sequence[Job]], str]] = {
        "robustness": _robustness,
        "figure2": _figure2,
    }
    return "\n".join(makers[name](folder, jobs) for name in sorted(names) if name in makers)


def _robustness(folder: Path, jobs: Sequence[Job]) -> str:
    from gan_runner.studies.robustness import collect

    collect(folder, jobs)
    return _table(folder)


def _table(folder: Path) -> str:
    from gan_runner.studies.study_files import read
    from gan_runner.studies.table import text, write

    paths = write(folder)
    return f"\n{text(read(folder))}\n\n  study       {', '.join(map(str, paths))}"


def _figure2(folder: Path, jobs: Sequence[Job]) -> str:
    from gan_runner.studies.figure2 import draw

    return f"  figure      {draw(folder, jobs)}"

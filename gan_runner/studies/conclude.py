"""The table or figure that a study adds to the end of a sweep.

A composed configuration names its study in `study.name`; the recipes in conf/experiment do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gan_runner.runs.layout import STUDY
from gan_runner.studies.study_files import Study, read
from gan_runner.sweeps.jobs import Job


def conclude(folder: Path, jobs: Sequence[Job]) -> str:
    """Write the table or figure of the study that a sweep's jobs belong to; return it as text.

    The text names the files; it is empty without a study. A directory with a study.json but
    without jobs, such as a published one, is tabulated from that.
    """
    names = {job.config.get("study", {}).get("name") for job in jobs} - {None}
    if not names and (folder / STUDY).is_file():
        return _table(read(folder))
    makers: Mapping[str, Callable[[Path, Sequence[Job]], str]] = {
        "robustness": _robustness,
        "figure2": _figure2,
    }
    return "\n".join(makers[name](folder, jobs) for name in sorted(names) if name in makers)


def _robustness(folder: Path, jobs: Sequence[Job]) -> str:
    from gan_runner.studies.robustness import collect

    return _table(collect(folder, jobs))


def _table(study: Study) -> str:
    from gan_runner.studies.table import text, write

    return f"\n{text(study)}\n\n  study       {', '.join(map(str, write(study)))}"


def _figure2(folder: Path, jobs: Sequence[Job]) -> str:
    from gan_runner.studies.figure2 import draw

    return f"  figure      {draw(folder, jobs)}"

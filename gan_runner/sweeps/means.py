"""Means over the seeds of a sweep: on the terminal, in sweep.md and as seeds.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gan_runner.config.words import key_of
from gan_runner.runs.files import atomic_write
from gan_runner.runs.groups import (
    SEED,
    Group,
    csv_rows,
    grouped,
    has_repeats,
    matching_tags,
    text_rows,
    varied,
)
from gan_runner.runs.rows import RunRecord, read_record, run_dirs
from gan_runner.runs.text_tables import aligned, csv_text, markdown
from gan_runner.sweeps.jobs import Job
from gan_runner.sweeps.table import key_tags

CSV = "seeds.csv"
NOTE = "mean \u00b1 standard error over seeds, then the best and the worst seed"


def seed_groups(folder: Path, jobs: Sequence[Job]) -> list[Group]:
    """Return the groups of a sweep's runs that differ in the seed alone; [] without repeats.

    Raises:
        ValueError: a file of a run is malformed.
    """
    if not _may_repeat(jobs):  # without a look at the runs, which may be many
        return []
    records = [read_record(path, folder) for path in run_dirs(folder)]
    if SEED not in varied(records):
        return []
    groups = grouped(records)
    return groups if has_repeats(groups) else []


def _may_repeat(jobs: Sequence[Job]) -> bool:
    """Return whether each job that has begun has a second one of another seed, or replicas."""
    begun = [job for job in jobs if job.status != "waiting"]
    others = [tuple(o for o in job.overrides if key_of(o) != SEED) for job in begun]
    count = Counter(others)
    pairs = zip(begun, others, strict=True)
    return all("replicas" in job.summary or count[rest] > 1 for job, rest in pairs)


def default_tags(records: Sequence[RunRecord], jobs: Sequence[Job]) -> list[str]:
    """Return the tags that a table shows where the user names none, as far as they are logged."""
    logged = {tag for record in records for point in record.points for tag in point}
    return [tag for tag in key_tags(jobs) if tag in logged]


def table_tags(records: Sequence[RunRecord], jobs: Sequence[Job]) -> list[str]:
    """Return the tags of `default_tags`.

    Raises:
        ValueError: none of them is logged.
    """
    tags = default_tags(records, jobs)
    if not tags:
        logged = matching_tags(records, ["*"]) if any(run.points for run in records) else []
        advice = f"choose from: {', '.join(logged)}" if logged else "nothing is logged yet"
        raise ValueError(f"--tags: missing; these runs log none of the default tags; {advice}")
    return tags


def mean_table(folder: Path, jobs: Sequence[Job], groups: Sequence[Group]) -> str:
    """Return the aligned table of means over seeds, and write seeds.csv.

    The text is empty, and nothing is written, without groups and without tags.

    Raises:
        OSError: the file cannot be written.
    """
    tags = default_tags([run for group in groups for run in group.runs], jobs)
    if not tags:
        return ""
    atomic_write(folder / CSV, csv_text(csv_rows(groups, tags)).encode(), shared=True)
    return "\n".join([*aligned(text_rows(groups, tags)), NOTE])


def mean_lines(jobs: Sequence[Job], groups: Sequence[Group]) -> list[str]:
    """Return the Markdown lines of the means over seeds; [] without groups and without tags."""
    tags = default_tags([run for group in groups for run in group.runs], jobs)
    if not tags:
        return []
    return [f"{NOTE[0].upper()}{NOTE[1:]}:\n", *markdown(text_rows(groups, tags))]

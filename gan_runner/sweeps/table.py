"""The table of a sweep: on the terminal, as sweep.csv with all values, and as sweep.md.

It is computed from the files of the jobs alone, so also while a sweep runs elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from gan_runner.config.words import key_of, value_of
from gan_runner.runs.files import atomic_write
from gan_runner.runs.groups import brief
from gan_runner.runs.printable import printable_cell
from gan_runner.runs.tags import columns
from gan_runner.runs.text_tables import aligned, csv_text, markdown, markdown_text
from gan_runner.sweeps.jobs import Job

Row = dict[str, Any]

_STUDY_TAG = "images/classifier_score_raw"  # the number that robustness studies compare
_EXACT = "wasserstein/exact"
_ERRORS = 3  # errors that are printed in full below the table


def write_table(sweep_dir: Path, jobs: Sequence[Job], *, means: Sequence[str] = ()) -> None:
    """Write sweep.csv, one row per run with all values, and sweep.md, the summary for readers.

    Args:
        sweep_dir: directory of the sweep.
        jobs: its jobs.
        means: lines of Markdown with the means over seeds, for sweep.md.
    """
    rows = [row for job in jobs for row in rows_of(job)]
    atomic_write(sweep_dir / "sweep.csv", as_csv(rows).encode(), shared=True)
    lines = markdown(_shown(jobs))
    common = " ".join(common_overrides(jobs))
    shared = [f"All with `{printable_cell(common)}`.\n"] if common else []
    page = [f"# {printable_cell(sweep_dir.name)}\n", f"{counts(jobs)}.\n", *shared, *lines]
    page += ["", *means] if means else []
    page += [f"\n{_EXACT} is between pixels, which rewards blur."] if _is_in_pixels(jobs) else []
    text = markdown_text("\n".join(page) + "\n")
    atomic_write(sweep_dir / "sweep.md", text.encode(), shared=True)


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV, with every column that any row has."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return csv_text([keys, *([row.get(key, "") for key in keys] for row in rows)])


def rows_of(job: Job) -> list[Row]:
    """Return one row for each run of a job: a single row, or one per replica.

    The columns are job, status, the overrides by key, health, steps, seconds and error. Each tag
    adds its `final` value, its `best` value and the step of the best.
    """
    overrides = {key_of(override): value_of(override) for override in job.overrides}
    seconds = job.summary.get("seconds", {}).get("total")
    runs: Mapping[str, Any] = job.summary.get("replicas", {"": job.summary})
    rows = []
    for name, run in runs.items():
        own = {"seed": run.get("seed", "")} if name else {}
        row = {"job": f"{job.folder.name}/{name}".rstrip("/"), "status": job.status}
        row |= {**overrides, **own}
        if name and job.is_done:
            row["status"] = run["status"]
        row["health"] = run.get("health", {}).get("state", "")
        row |= {"steps": run.get("steps", ""), "seconds": seconds, "error": job.error}
        rows.append(row | _values(run))
    return rows


def _values(run: Mapping[str, Any]) -> Row:
    final = {f"final {tag}": value for tag, value in sorted(run.get("final", {}).items())}
    best: Row = {}
    for tag, point in sorted(run.get("best", {}).items()):
        best |= {f"best {tag}": point["value"], f"best step {tag}": point["step"]}
    return final | best


def terminal_table(jobs: Sequence[Job]) -> str:
    """Return the aligned table, the number of jobs by status, and the errors cut in the table."""
    lines = aligned(_shown(jobs))
    blur = [f"{_EXACT} is between pixels, which rewards blur"] if _is_in_pixels(jobs) else []
    return "\n".join([*lines, counts(jobs), *blur, *_cut_errors(jobs)])


def _is_in_pixels(jobs: Sequence[Job]) -> bool:
    """Return whether the first completed job logs a transport distance between images."""
    job = next((job for job in jobs if job.status == "completed"), None)
    return job is not None and str(job.provenance_of(_EXACT).get("units")).startswith("pixels")


def _cut_errors(jobs: Sequence[Job]) -> list[str]:
    """Return the most frequent errors that the table truncates, in full and with their counts."""
    long = Counter(job.error.splitlines()[0] for job in jobs if _brief(job.error) != job.error)
    shown = [f"  {count} x {error}" for error, count in long.most_common(_ERRORS)]
    if len(long) > _ERRORS:
        shown.append(f"  {len(long) - _ERRORS} more in output.txt of the jobs' folders")
    return shown


def counts(jobs: Sequence[Job]) -> str:
    """Return the number of jobs, in total and by status, as text."""
    by_status = Counter(job.status for job in jobs)
    each = ", ".join(f"{count} {status}" for status, count in by_status.most_common())
    return f"{len(jobs)} job{'s' * (len(jobs) != 1)}: {each}"


def line(job: Job, jobs: Sequence[Job], searched: Collection[str] = ()) -> str:
    """Return a finished job as one line: status, overrides, steps, key values, error.

    Args:
        job: the job.
        jobs: all jobs that have begun or are planned.
        searched: keys that a search draws; its first job is the only one so far.
    """
    varied = searched or _varied(jobs)
    overrides = [override for override in job.overrides if key_of(override) in varied]
    shown = [f"{key_of(o)}={brief(value_of(o))}" for o in overrides]
    words = [f"{job.status:<11}", " ".join(shown) or job.folder.name]
    rows = rows_of(job)
    if {"steps", "seconds"} <= set(job.summary):
        words.append(f"{job.summary['steps']:,} steps in {rows[0]['seconds']:.0f} s")
    words += [f"{_title(key)} {_mean(key, rows)}" for key in _key_columns([job])]
    return "  ".join(words + ([_brief(job.error)] if job.error else []))


def _mean(key: str, rows: Sequence[Row]) -> str:
    """Return the mean of a column over the runs of a job, as text."""
    values = [row[key] for row in rows if isinstance(row.get(key), int | float)]
    return _cell(sum(values) / len(values)) if values else "-"


def _shown(jobs: Sequence[Job]) -> list[list[str]]:
    """Return the cells of the short table, head first: varied overrides and key values."""
    varied, values = _varied(jobs), _key_columns(jobs)
    replicas = any("replicas" in job.summary for job in jobs)
    varied_keys = [*varied, *(["seed"] if replicas and "seed" not in varied else [])] or ["job"]
    rows = [row for job in jobs for row in rows_of(job)]
    health = ["health"] if {row["health"] for row in rows} - {"", "ok"} else []
    keys = [*varied_keys, "status", *health, "steps", "seconds", *values]
    keys += ["error"] if any(row["error"] for row in rows) else []
    body = [[row["job"] if key == "job" else _cell(row.get(key)) for key in keys] for row in rows]
    return [[_title(key) for key in keys], *body]


def _title(column: str) -> str:
    return column.removeprefix("final ")


def key_tags(jobs: Sequence[Job]) -> list[str]:
    """Return the tags that a sweep's tables show, those that were asked for first.

    These are the score of a study, a `trainer.checkpoint_metric` that the user named, and the tags
    that compare across methods. A critic's own estimate is none of them.
    """
    studies = {job.config.get("study", {}).get("name") for job in jobs}
    compared = [_STUDY_TAG] if "robustness" in studies else []
    named = [job.config.get("trainer", {}).get("checkpoint_metric") for job in jobs]
    asked = [tag for tag in named if tag and tag != "auto"]
    return list(dict.fromkeys([*compared, *asked, *columns(), *_deciding(jobs)]))


def _deciding(jobs: Sequence[Job]) -> list[str]:
    """Return the tags that select best.pt, with "auto" resolved."""
    tags = [job.summary.get("settings", {}).get("checkpoint_metric") for job in jobs]
    return [tag for tag in dict.fromkeys(tags) if tag]


def _key_columns(jobs: Sequence[Job]) -> list[str]:
    """Return the columns of `key_tags`, final, and the best value of a named checkpoint metric."""
    present = {column for job in jobs for row in rows_of(job) for column in row}
    tags = key_tags(jobs)
    by = _deciding(jobs)
    keys = [*(f"final {tag}" for tag in tags), *(f"best {tag}" for tag in by)]
    return [key for key in keys if key in present]


def _varied(jobs: Sequence[Job]) -> list[str]:
    """Return the keys whose overrides differ between jobs."""
    keys = dict.fromkeys(key_of(override) for job in jobs for override in job.overrides)
    common = {key_of(override) for override in common_overrides(jobs)}
    return [key for key in keys if key not in common]


def common_overrides(jobs: Sequence[Job]) -> list[str]:
    """Return the overrides that all jobs share."""
    shared = set.intersection(*(set(job.overrides) for job in jobs))
    return [override for override in jobs[0].overrides if override in shared]


def _cell(value: Any) -> str:
    """Return a number with four significant digits, or the start of a text."""
    if isinstance(value, float):
        return f"{value:#.4g}" if isfinite(value) else "-"
    return "-" if value in (None, "") else _brief(brief(str(value)))


def _brief(text: str) -> str:
    first = (text.splitlines() or [""])[0]
    return first if len(first) <= 60 else f"{first[:57]}..."

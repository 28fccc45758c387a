"""Names of the folders of new jobs: what varies in the sweep, then the job's hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan_runner.config.words import key_of, value_of
from gan_runner.sweeps.jobs import Plan, job_dir, job_name, read_plan
from gan_runner.sweeps.naming import readable, slug


def folder_name(sweep_dir: Path, overrides: Sequence[str]) -> str:
    """Return the name of a job's folder in a sweep: its present one, or a new one.

    A new name consists of the overrides that vary in the sweep's plan and of the hash that
    `job_name` ends in. Without a plan, or where nothing varies, it is `job_name`.
    """
    present = job_dir(sweep_dir, overrides)
    words = words_of(overrides, read_plan(sweep_dir))
    if present.is_dir() or not words:
        return present.name
    return f"{slug(words, ()).rpartition('_')[0]}_{job_name(overrides).rpartition('_')[2]}"


def words_of(overrides: Sequence[str], plan: Plan) -> str:
    """Return the overrides that vary in a plan, as `naming.readable` words; "" without any."""
    jobs = [{key_of(o): value_of(o) for o in job} for job in plan.jobs]
    varied = {k for job in jobs for k in job if len({other.get(k) for other in jobs}) > 1}
    return readable(overrides, varied | plan.searched)

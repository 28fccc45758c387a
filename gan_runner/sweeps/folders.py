"""Names of the folders of new jobs: what varies in the sweep, then the job's hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan_runner.config.paths import MACHINE_KEYS
from gan_runner.config.words import key_of, value_of
from gan_runner.runs.groups import SEED, brief, short_names
from gan_runner.sweeps.jobs import Plan, job_dir, job_name, read_plan, slug, whole_words


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
    """Return the values of options, and other keys with their values, as far as they vary.

    In a plan of a single job nothing varies, and all overrides count.
    """
    jobs = [{key_of(o): value_of(o) for o in job} for job in plan.jobs]
    varied = {k for job in jobs for k in job if len({other.get(k) for other in jobs}) > 1}
    varied |= plan.searched
    if len(jobs) == 1:
        varied = {*jobs[0]}
    own = {key_of(o): value_of(o) for o in overrides if key_of(o) in varied}
    order = sorted(own, key=lambda key: (key.startswith("trainer."), "." in key, key == SEED, key))
    names = short_names([*map(key_of, overrides), SEED])
    return whole_words(
        [_word(key, names[key], brief(own[key])) for key in order if key not in MACHINE_KEYS]
    )


def _word(key: str, name: str, value: str) -> str:
    is_option = "." not in key and key != SEED and value != "none"  # "none" alone says nothing
    return value if is_option else f"{name}-{value}"

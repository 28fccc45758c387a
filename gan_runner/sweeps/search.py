"""The value that a search minimizes, and the best trial with the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import inf

from gan_runner.config.words import key_of, value_of
from gan_runner.runs.groups import brief
from gan_runner.runs.tags import record_of
from gan_runner.sweeps.jobs import Job, Plan


def search_value(job: Job | None) -> float:
    """Return the value that a search minimizes: the best `trainer.checkpoint_metric` of a job.

    Replicas are averaged, and the sign is flipped where higher is better. A job without a value,
    such as a failed, diverged or interrupted one, gives `inf`.
    """
    if job is None or job.status != "completed":
        return inf
    tag = job.summary.get("settings", {}).get("checkpoint_metric")
    runs = job.summary.get("replicas", {"": job.summary})
    best = [run.get("best", {}).get(tag) for run in runs.values()]
    if None in best:
        return inf
    mean = sum(point["value"] for point in best) / len(best)
    return -mean if record_of(tag, job.provenance_of(tag)).better == "higher" else mean


def is_search(plan: Plan) -> bool:
    """Return whether a sweep draws its jobs as it goes."""
    return not plan.jobs and bool(plan.command)


def searched_tag(jobs: Sequence[Job]) -> str | None:
    """Return the tag whose best value a search minimizes or maximizes."""
    tags = [job.summary.get("settings", {}).get("checkpoint_metric") for job in jobs]
    return next((tag for tag in tags if tag), None)


def best_trial(jobs: Sequence[Job], plan: Plan) -> str:
    """Return two lines, the best trial of a search and its command; "" where there is none."""
    tag = searched_tag(jobs)
    if not is_search(plan) or tag is None:
        return ""
    values = {k: search_value(job) for k, job in enumerate(jobs)}
    if min(values.values(), default=inf) == inf:
        return ""
    best = jobs[min(values, key=lambda k: values[k])]
    is_negated = record_of(tag, best.provenance_of(tag)).better == "higher"
    value = search_value(best) * (-1 if is_negated else 1)
    drawn = [o for o in best.overrides if key_of(o) in plan.searched]
    words = " ".join(f"{key_of(o)}={brief(value_of(o))}" for o in drawn)
    return (
        f"  best        trial {best.number}: {tag} {value:.4g} with {words}\n"
        f"  again       gan-run {shlex.join(best.overrides)}"
    )

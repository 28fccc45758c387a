"""The robustness study of Gulrajani et al. 2017, section 5.1: from the jobs of a sweep to results.

Each architecture of table 1 is trained with both objectives from one seed; an architecture has
succeeded at a threshold if its classifier score is above it. `collect` writes what the jobs' files
say as results.csv and study.json; everything after it reads those two.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from gan_runner.config.paths import MOVABLE_KEYS
from gan_runner.config.words import key_of, value_of
from gan_runner.runs.files import atomic_write
from gan_runner.runs.layout import POINTS, STUDY
from gan_runner.runs.read import try_points
from gan_runner.studies import comparison_text
from gan_runner.studies.study_files import BASELINE, Study, read
from gan_runner.sweeps.jobs import Job, read_plan
from gan_runner.sweeps.table import as_csv, common_overrides

TAG = "images/classifier_score"
FRECHET, DIVERSITY = "images/frechet_raw", "coverage/diversity_raw"
SCORE = f"{TAG}_raw"  # the paper samples the generator as it stands
_VARIED = ("model.seed", "objective", "seed", "model.critic.norm")
ENDPOINT = 0.5  # of the way from 1 to the score of real data: what counts as success
_DRAWN = ("activation", "depth", "norm", "filters")


def collect(folder: Path, jobs: Sequence[Job]) -> Study:
    """Write results.csv, a line per job, and study.json, their common facts and the result.

    Args:
        folder: of the sweep.
        jobs: all of it, whatever became of them, the last command's first. Those that differ from
            the first in more than architecture and objective are of another study and left out.

    Returns:
        The study as its files are read.
    """
    jobs = _of_one_kind(jobs)
    rows = [_row(job) for job in jobs]
    atomic_write(folder / "results.csv", as_csv(rows).encode(), shared=True)
    facts = _facts(jobs, rows) | {"command": _command(folder, jobs)}
    _write(folder, facts)
    study = read(folder)
    _write(folder, facts | {"result": comparison_text.as_json(study)})
    return study


def _write(folder: Path, facts: Mapping[str, Any]) -> None:
    content = json.dumps(facts, indent=2) + "\n"
    atomic_write(folder / STUDY, content.encode(), shared=True)


def check(jobs: Sequence[Sequence[str]]) -> None:
    """See before it starts that a sweep, given the overrides of each job, is one study.

    Raises:
        ValueError: it varies other keys too, or compares more than two objectives.
    """
    kinds = [_kind(overrides) for overrides in jobs]
    varied = {key_of(override) for kind in kinds for override in kind ^ kinds[0]}
    if varied:
        raise ValueError(
            f"{min(varied)}: a robustness study varies {' and '.join(_VARIED)} alone; give it one"
            " value, and another study a directory of its own, hydra.sweep.dir=FOLDER"
        )
    compared = {o: None for overrides in jobs for o in overrides if key_of(o) == "objective"}
    if len(compared) > 2:
        names = ",".join(map(value_of, compared))
        raise ValueError(f"objective={names}: a robustness study compares two objectives; name two")


def _kind(overrides: Sequence[str]) -> frozenset[str]:
    """Return the settings that the runs of a study share."""
    return frozenset(o for o in overrides if key_of(o) not in _VARIED and not _is_a_place(o))


def _of_one_kind(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if _kind(job.overrides) == _kind(jobs[0].overrides)]


def _row(job: Job) -> dict[str, Any]:
    """Return one line of results.csv; unknown cells are omitted."""
    choices = {key_of(override): value_of(override) for override in job.overrides}
    summary, networks = job.summary, job.summary.get("networks", {})
    seed = choices.get("model.seed", "")
    final = summary.get("final", {})
    score = summary.get("final", {}).get(SCORE) if job.status == "completed" else None
    row = {
        "architecture": BASELINE if seed in ("null", "None") else seed,
        "arm": _arm(choices),
        "objective": choices.get("objective", ""),
        "seed": choices.get("seed", "0"),
        "status": job.status,
        "health": summary.get("health", {}).get("state", ""),
        "score": _cell(score),
        "score_averaged": _cell(final.get(TAG)),
        "score_best": _cell(summary.get("best", {}).get(SCORE, {}).get("value")),
        "frechet": _cell(final.get(FRECHET)),
        "diversity": _cell(final.get(DIVERSITY)),
        "n_critic": job.config.get("objective", {}).get("n_critic", ""),
        "steps": summary.get("steps", ""),
        "seconds": _cell(summary.get("seconds", {}).get("total")),
    }
    for player, letter in (("generator", "g"), ("critic", "d")):
        network = networks.get(player, {})
        drawn = network.get("architecture") or {}
        row |= {f"{letter}_{key}": drawn.get(key, "") for key in _DRAWN}
        row[f"{player}_parameters"] = network.get("parameters", "")
    return row | _scores_at(job.folder) | {"run_dir": job.folder.name}


def _arm(choices: Mapping[str, str]) -> str:
    """Return the name of a job's arm: its objective, and the critic's norm where that is set."""
    norm = choices.get("model.critic.norm")
    return "_".join([choices.get("objective", ""), *([norm] if norm else [])])


def _scores_at(folder: Path) -> dict[str, Any]:
    """Return the score at each step of a run that has one, as columns `score_at_STEP`."""
    scores = {}
    for point in try_points(folder / POINTS):
        step, score = point.get("step"), point.get(SCORE)
        if isinstance(step, int) and SCORE in point:
            scores[f"score_at_{step}"] = score
    return scores


def _facts(jobs: Sequence[Job], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of study.json."""
    done = [job for job in jobs if job.status == "completed"]
    provenance = done[0].provenance_of(SCORE) if done else {}
    summary = done[0].summary if done else {}
    baselines = [row for row in rows if row["architecture"] == BASELINE and row["score"] != ""]
    arms = dict.fromkeys(row["arm"] for row in baselines)
    baseline = {arm: mean(r["score"] for r in baselines if r["arm"] == arm) for arm in arms}
    studies = [job.config["study"] for job in jobs if "study" in job.config]
    study: Mapping[str, Any] = studies[0] if studies else {}
    return {
        "study": "robustness",
        "dataset": summary.get("data", "unknown"),
        "score": TAG,
        "score_of": "the generator as it stands, at the last step",
        "card": dict(provenance),
        "real": provenance.get("real"),
        "baseline": baseline,
        "baseline_runs": len(baselines),
        "endpoint": study.get("endpoint", ENDPOINT),
        "demonstration": study.get("demonstration", False),
        "objectives": list(dict.fromkeys(row["arm"] for row in rows)),
        "machine": summary.get("device", "unknown"),
        "versions": summary.get("versions", {}),
    }


def _command(folder: Path, jobs: Sequence[Job]) -> str:
    """Return the last command of the sweep without machine keys; else the overrides of all jobs."""
    typed = read_plan(folder).command
    if not typed and jobs:
        typed = common_overrides(jobs)
    return shlex.join(["gan-run", "-m", *(o for o in typed if not _is_a_place(o))])


def _is_a_place(override: str) -> bool:
    """Return True if an override names a place on this machine."""
    return key_of(override) in MOVABLE_KEYS


def _cell(value: float | None) -> float | str:
    """Return a number at full precision: a rounded score of 1 would lie on its threshold."""
    return "" if value is None else value

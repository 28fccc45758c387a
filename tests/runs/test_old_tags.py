"""Runs of older versions, which called every Frechet distance FID, are read under present names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gan_runner.config.compatibility import _with_best
from gan_runner.objectives.losses import wasserstein_critic, wasserstein_generator
from gan_runner.objectives.objective import Objective
from gan_runner.runs.comparison import read_runs
from gan_runner.runs.read import read_points, read_provenance, read_summary, try_points
from gan_runner.studies.robustness import _row
from gan_runner.sweeps.jobs import read_jobs
from gan_runner.training.settings import Settings

POINT = {"step": 4, "images/fid": 2.5, "images/fid_raw": 3.5, "images/kid": 0.5, "jsd/probe": 0.1}


def write_run(folder: Path, network: str) -> Path:
    folder.mkdir(parents=True)
    provenances = {tag: {"network": network} for tag in POINT if tag.startswith("images/")}
    values = {tag: value for tag, value in POINT.items() if tag != "step"}
    summary = {
        "status": "completed", "steps": 4, "final": values,
        "best": {tag: {"value": value, "step": 4} for tag, value in values.items()},
        "settings": {"checkpoint_metric": "images/fid_raw"},
    }  # fmt: skip
    job = {"status": "completed", "overrides": ["objective=gan"], "number": 0}
    (folder / "config.yaml").write_text("model: {}\ntrainer: {}\n")
    for name, content in (("provenance", provenances), ("summary", summary), ("job", job)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "metrics.jsonl").write_text(json.dumps(POINT) + "\n")
    return folder


@pytest.mark.parametrize("network", ["classifier", "random"])
def test_other_features_than_inceptions_are_renamed_on_reading(
    tmp_path: Path, network: str
) -> None:
    run = write_run(tmp_path / "job", network)
    present = {"images/frechet": 2.5, "images/frechet_raw": 3.5, "images/kernel": 0.5,
               "jsd/probe": 0.1}  # fmt: skip
    for points in (read_points(run / "metrics.jsonl"), try_points(run / "metrics.jsonl")):
        assert points == [{"step": 4, **present}]
    summary = read_summary(run)
    assert summary["final"] == present and set(summary["best"]) == set(present)
    assert summary["settings"]["checkpoint_metric"] == "images/frechet_raw"
    assert set(read_provenance(run)) == set(present) - {"jsd/probe"}
    (job,) = read_jobs(tmp_path)
    assert job.summary["final"] == present
    assert job.provenance_of("images/frechet_raw") == {"network": network}
    assert _row(job)["frechet"] == 3.5
    (compared,) = read_runs([run])
    assert compared.values.final == present


def test_inceptions_names_stay(tmp_path: Path) -> None:
    run = write_run(tmp_path / "job", "inception")
    assert read_points(run / "metrics.jsonl") == [POINT]
    assert read_summary(run)["final"]["images/fid"] == 2.5
    assert "images/kid" in read_provenance(run)


def test_a_resumed_run_still_saves_its_best_by_the_metric_of_the_old_name() -> None:
    settings = Settings(steps=1, batch_size=8, checkpoint_metric="images/fid_raw")
    objective = Objective(critic_loss=wasserstein_critic, generator_loss=wasserstein_generator)
    assert (
        _with_best(settings, {"images/frechet_raw"}, objective).checkpoint_metric
        == "images/frechet_raw"
    )
    assert _with_best(settings, {"images/fid_raw"}, objective).checkpoint_metric == "images/fid_raw"

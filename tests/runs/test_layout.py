"""The layout of a run directory: what an older version has written is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gan_runner.runs.layout import check_layout
from gan_runner.runs.read import saved_config
from gan_runner.sweeps.jobs import read_jobs

OF_TODAY = {"model": {}, "trainer": {"num_eval_samples": 8, "checkpoint_metric": None}, "plots": {}}


def write(run_dir: Path, config: dict[str, object]) -> Path:
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    return run_dir


def test_a_run_directory_of_today_is_read(tmp_path: Path) -> None:
    assert saved_config(write(tmp_path, OF_TODAY)) == OF_TODAY


@pytest.mark.parametrize(
    ("config", "old"),
    [
        ({**OF_TODAY, "trainer": {"n_eval": 8}}, r"trainer\.n_eval"),
        ({**OF_TODAY, "trainer": {"best_by": None}}, r"trainer\.best_by"),
        ({**OF_TODAY, "pictures": {}}, "pictures"),
    ],
)
def test_old_keys_are_refused(tmp_path: Path, config: dict[str, object], old: str) -> None:
    with pytest.raises(ValueError, match=rf"{tmp_path}: .*older version \({old}\); train it again"):
        saved_config(write(tmp_path, config))


def test_an_old_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cards.json").write_text("{}")
    with pytest.raises(ValueError, match=r"older version \(cards\.json\)"):
        check_layout(tmp_path, OF_TODAY)


def test_a_job_of_an_older_sweep_is_refused(tmp_path: Path) -> None:
    note = {"overrides": ["seed=0"], "status": "completed", "number": 0}
    (tmp_path / "seed-0").mkdir()
    path = tmp_path / "seed-0" / "job.json"
    path.write_text(json.dumps({**note, "config": OF_TODAY}))
    assert [job.status for job in read_jobs(tmp_path)] == ["completed"]
    path.write_text(json.dumps({**note, "config": {"trainer": {"n_eval": 8}}}))
    with pytest.raises(ValueError, match=r"seed-0: was written by an older version"):
        read_jobs(tmp_path)

"""A job of a sweep: its name, and its status from files alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from filelock import FileLock

from gan_runner.sweeps.jobs import Job, clear, job_name, read_job, sweep_name, write_note
from gan_runner.sweeps.multirun import sweep_arguments


def test_a_job_is_named_by_what_it_computes() -> None:
    name = job_name(["objective=gan", "seed=0", "trainer.steps=500"])
    assert name.startswith("gan_seed-0_steps-500_")
    assert name == job_name(["trainer.steps=500", "seed=0", "objective=gan", "device=cuda:1"])
    others = [["objective=gan", "seed=1", "trainer.steps=500"], ["objective=gan", "seed=0"]]
    assert len({name, *map(job_name, others)}) == 3
    # beyond the readable part, and where characters are replaced, the hash still tells
    long = [[f"model.activations=[{'relu,' * 40}{last}]"] for last in ("tanh", "elu")]
    assert job_name(long[0]) != job_name(long[1]) and len(job_name(long[0])) < 100
    assert job_name(["a=b/c"]) != job_name(["a=b c"])
    assert all(c.isalnum() or c in "._+-" for c in job_name(["+a.b={_target_: x.y, z: 'é'}"]))


def test_a_sweep_is_named_by_its_command() -> None:
    command = ["-m", "objective=gan,wgan", "seed=range(3)", "trainer.steps=5"]
    name = sweep_name(command)
    assert name.startswith("objective_seed_")
    again = ["--multirun", "trainer.steps=5", "seed=range(3)", "objective=gan,wgan"]
    where = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "device=cpu"]
    assert sweep_name([*again, *where]) == name
    assert sweep_name([*command, "--config-dir", "mine"]) != name


def test_the_readmes_sweep_is_found_again() -> None:
    """It shows a command, and then the directory that this command makes."""
    root = Path(__file__).resolve().parents[2]
    readme = (root / "gan_runner" / "sweeps" / "README.md").read_text()
    found = re.search(r"^gan-run (-m [^#]*trainer\.steps=500) .*\ngan-table (\S+)", readme, re.M)
    assert found is not None
    made = [o for o in sweep_arguments(found[1].split()) if o.startswith("hydra.sweep.dir=")]
    assert made == [f"hydra.sweep.dir={found[2]}"]


def noted(folder: Path, status: str, summarised: str | None = None) -> Job:
    folder.mkdir(exist_ok=True)
    write_note(folder, {"overrides": ["seed=0"], "number": 0, "status": status})
    if summarised:
        (folder / "summary.json").write_text(json.dumps({"status": summarised}))
    job = read_job(folder)
    assert job is not None
    return job


@pytest.mark.parametrize(
    ("note", "summary", "status"),
    [
        ("running", None, "killed"),
        ("running", "interrupted", "killed"),  # when it was resumed
        ("interrupted", "interrupted", "interrupted"),
        ("interrupted", "completed", "completed"),  # by gan-run resume=
        ("failed", None, "failed"),
        ("failed", "diverged", "diverged"),
        ("failed", "failed", "failed"),
        ("completed", "completed", "completed"),
    ],
)
def test_status(tmp_path: Path, note: str, summary: str | None, status: str) -> None:
    assert noted(tmp_path, note, summary).status == status


def test_a_job_runs_while_somebody_holds_it(tmp_path: Path) -> None:
    with FileLock(tmp_path / "job.lock"):
        assert noted(tmp_path, "running").status == "running"
    assert noted(tmp_path, "running").status == "killed"


def test_looking_at_what_has_ended_takes_no_lock(tmp_path: Path) -> None:
    """Two who look at the same instant would otherwise take each other for the job."""
    with FileLock(tmp_path / "job.lock"):
        assert noted(tmp_path, "completed").status == "completed"


def test_a_job_that_was_not_cleared_to_the_end_is_still_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its note is the last to go, so that the same command again can do the rest."""
    noted(tmp_path, "failed")
    for name in ("config.yaml", "metrics.jsonl", "output.txt", "job.lock", ".lock"):
        (tmp_path / name).touch()
    unlink = Path.unlink

    def full(path: Path, *args: bool) -> None:
        if path.name == "job.json":
            raise KeyboardInterrupt
        unlink(path, *args)

    monkeypatch.setattr(Path, "unlink", full)
    with pytest.raises(KeyboardInterrupt):
        clear(tmp_path)
    kept = {".lock", "job.lock", "output.txt"}
    assert {path.name for path in tmp_path.iterdir()} == kept | {"job.json"}
    monkeypatch.undo()
    clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept

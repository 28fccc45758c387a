"""A failed job goes on once; links and existing folders of a sweep are left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Zygote
from toy_runs import QUICK, end_state, statuses

from gan_runner.sweeps.jobs import job_dir

SWEEP = ("-m", *QUICK, "seed=0", "hydra.sweep.dir=s")


def attempt(zygote: Zygote, folder: Path, *, fail_at: int | None) -> str:
    """Run the sweep; return the status of its job."""
    (folder / "fail_at").unlink(missing_ok=True)
    if fail_at is not None:
        (folder / "fail_at").write_text(str(fail_at))
    code, out = zygote.run(folder, *SWEEP, module="faulty_run")
    (status,) = statuses(folder / "s").values()
    assert code == (status != "completed") and "\x1b" not in out and "Traceback" not in out, out
    assert (r"CUDA error: an illegal \x1b[2Jaddress" in out) == (fail_at is not None)
    return status


def test_a_failed_job_is_resumed_once(zygote: Zygote, tmp_path: Path) -> None:
    """It starts anew only if it fails again at the same step."""
    job = job_dir(tmp_path / "s", [*QUICK, "seed=0"])

    def resumes() -> int:
        return (job / "output.txt").read_text().count("from step")

    assert attempt(zygote, tmp_path, fail_at=10) == "failed" and resumes() == 0
    assert attempt(zygote, tmp_path, fail_at=15) == "failed" and resumes() == 1  # it got further
    assert attempt(zygote, tmp_path, fail_at=15) == "failed" and resumes() == 2
    assert attempt(zygote, tmp_path, fail_at=5) == "failed" and resumes() == 2  # anew
    assert attempt(zygote, tmp_path, fail_at=None) == "completed" and resumes() == 3
    zygote.run(tmp_path, *QUICK, "seed=0", "hydra.run.dir=whole")
    assert end_state(job) == end_state(tmp_path / "whole")


def test_a_link_in_a_failed_job_is_one_line(zygote: Zygote, tmp_path: Path) -> None:
    attempt(zygote, tmp_path, fail_at=10)
    job = job_dir(tmp_path / "s", [*QUICK, "seed=0"])
    note = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**note, "repeated": True}))  # it would start anew
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    (job / "linked").symlink_to(tmp_path / "mine")
    before = sorted(path.name for path in job.iterdir())
    code, out = zygote.run(tmp_path, *SWEEP)
    assert code == 1 and f"{job.name}/linked: leads out of" in out and "Traceback" not in out, out
    assert sorted(path.name for path in job.iterdir()) == before
    assert (tmp_path / "mine" / "file").read_text() == "precious"
    (job / "linked").unlink()
    assert zygote.run(tmp_path, *SWEEP)[0] == 0


@pytest.mark.parametrize("name", ["output.txt", "job.json.partial", "job.lock", ".lock"])
def test_a_job_writes_through_no_link(zygote: Zygote, tmp_path: Path, name: str) -> None:
    job = job_dir(tmp_path / "s", [*QUICK, "seed=0"])
    job.mkdir(parents=True)
    (tmp_path / "victim").write_text("precious")
    (job / name).symlink_to(tmp_path / "victim")
    code, out = zygote.run(tmp_path, *SWEEP)
    assert (tmp_path / "victim").read_text() == "precious" and "Traceback" not in out, out
    assert code == 0 if name == "job.json.partial" else code in (1, 2) and name in out, out


@pytest.mark.parametrize("name", ["multirun.yaml", "job"])
def test_a_sweep_writes_through_no_link(zygote: Zygote, tmp_path: Path, name: str) -> None:
    (tmp_path / "s").mkdir()
    job = job_dir(tmp_path / "s", [*QUICK, "seed=0"])
    (tmp_path / "victim").mkdir() if name == "job" else (tmp_path / "victim").write_text("precious")
    (job if name == "job" else tmp_path / "s" / name).symlink_to(tmp_path / "victim")
    code, out = zygote.run(tmp_path, *SWEEP)
    assert code == 2 and ("leads out of" in out or "is a link; remove it" in out), out
    assert "Traceback" not in out
    if name == "job":
        assert list((tmp_path / "victim").iterdir()) == []
    else:
        assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("existing", ["", "a", "a/b", "a/b/c"])
def test_a_refused_sweep_leaves_folders_as_they_were(
    zygote: Zygote, tmp_path: Path, existing: str
) -> None:
    (tmp_path / existing).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    out = zygote.run(tmp_path, "-m", "objective=nosuch,gan", "hydra.sweep.dir=a/b/c")
    assert out[0] == 2 and "objective=nosuch: no such option" in out[1]
    assert sorted(p for p in tmp_path.rglob("*") if p.name != "output.txt") == before

"""Where jobs run, and who draws them, does not change a number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zygote
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from toy_runs import QUICK, TOY, numbers, reached, statuses, until

from gan_runner.runs.checkpoint import checkpoints
from gan_runner.sweeps import run_job
from gan_runner.sweeps.jobs import Job, job_dir, read_jobs

FOUR = ("objective=gan,ns_gan", "seed=0,1")
# Processes of their own have the whole probe: tests/small_probe.py
ALONE = (
    *(word for word in QUICK if not word.startswith(("objective=", "seed="))),
    "~metrics.probe",
)


@pytest.fixture(scope="module")
def swept_plainly(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four jobs, one after the other in one process."""
    cwd = tmp_path_factory.mktemp("plain")
    code, out = zygote.run(cwd, "-m", *ALONE, *FOUR, "hydra.sweep.dir=s")
    assert code == 0, out
    return cwd / "s"


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """A real process: what a launcher has begun ends with it."""
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "gan_runner.train", "-m", *arguments], cwd=cwd, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_a_launcher_gives_the_numbers_of_one_process(
    launcher: str, swept_plainly: Path, tmp_path: Path
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher")
    more = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    sweep = (*ALONE, *FOUR, f"hydra/launcher={launcher}", *more, "hydra.sweep.dir=s")
    process = start(tmp_path, *sweep)
    out, _ = process.communicate()
    assert process.returncode == 0 and out.count("20 steps in") == 4, out
    ours = {job.folder.name: numbers(job.folder) for job in read_jobs(tmp_path / "s")}
    assert ours == {job.folder.name: numbers(job.folder) for job in read_jobs(swept_plainly)}
    pids = {json.loads(p.read_text())["pid"] for p in tmp_path.glob("s/*/job.json")}
    assert len(pids) >= 2


@pytest.mark.slow
def test_twelve_jobs_one_failing_one_killed_one_diverging(tmp_path: Path) -> None:
    """With a worker killed, joblib gives up; there is a table all the same, and it is completed."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    jobs = (*TOY, "trainer.steps=200")
    rates = [f"optimizer.lr={rate}" for rate in (0.01, 1e30, *(k / 10000 for k in range(1, 11)))]
    sweep = (
        *jobs, f"optimizer.lr={','.join(rate[13:] for rate in rates)}", "hydra.sweep.dir=s",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    blocked = job_dir(tmp_path / "s", [*jobs, rates[0]])
    blocked.mkdir(parents=True)
    (blocked / "checkpoints").write_text("in the way")  # this one cannot save
    process = start(tmp_path, *sweep)
    until(lambda: reached(job_dir(tmp_path / "s", [*jobs, rates[6]]), 10))
    victim = job_dir(tmp_path / "s", [*jobs, rates[6]])
    os.kill(json.loads((victim / "job.json").read_text())["pid"], signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 1 and "TerminatedWorkerError" in out and "Traceback" not in out
    found = statuses(tmp_path / "s")
    assert [found[rates[k]] for k in (0, 1, 2, 6, 11)] == [
        "failed", "diverged", "completed", "killed", "waiting",
    ]  # fmt: skip
    rows = (tmp_path / "s" / "sweep.csv").read_text().splitlines()[1:]
    assert len(rows) == len(found) == 12

    process = start(tmp_path, *sweep)
    out, _ = process.communicate()
    assert process.returncode == 1 and "12 jobs: 11 completed, 1 diverged" in out, out
    assert "from step" in (victim / "output.txt").read_text()


@pytest.mark.slow
def test_ctrl_c_lets_workers_save(tmp_path: Path) -> None:
    """The signal reaches the process that conducts the sweep alone, as from a scheduler."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    steps = "trainer.steps=100000"
    sweep = (
        *TOY, steps, "trainer.checkpoint_every=100000", "seed=range(4)", "hydra.sweep.dir=s",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    process = start(tmp_path, *sweep)
    until(lambda: len([p for p in tmp_path.glob("s/*/metrics.jsonl") if p.stat().st_size]) == 2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130 and "stopped by SIGINT; the same command again" in out
    found = statuses(tmp_path / "s")
    assert [found[f"seed={k}"] for k in (0, 1)] == ["interrupted"] * 2
    for folder in [job.folder for job in read_jobs(tmp_path / "s")][:2]:
        steps_taken = json.loads((folder / "summary.json").read_text())["steps"]
        assert checkpoints(folder)[-1].name == f"step_{steps_taken:08d}.pt"


@pytest.mark.slow
def test_a_search_returns_to_what_it_has_tried(zygote: Zygote, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = (
        "-m", *QUICK, "optimizer.lr=tag(log,interval(1e-4,1e-1))", "hydra/sweeper=optuna",
        "hydra.sweeper.sampler.seed=0", "hydra.sweep.dir=s", "hydra.sweeper.n_jobs=1",
    )  # fmt: skip
    code, out = zygote.run(tmp_path, *search, "hydra.sweeper.n_trials=2")
    assert code == 0, out
    code, out = zygote.run(tmp_path, *search, "hydra.sweeper.n_trials=3")
    assert code == 0 and out.count("20 steps in") == 1, out
    jobs = read_jobs(tmp_path / "s")
    best = OmegaConf.load(tmp_path / "s" / "optimization_results.yaml").best_value
    assert len(jobs) == 3 and best == min(map(run_job.search_value, jobs)) < inf


@pytest.mark.slow
def test_a_search_minimises(tmp_path: Path, zygote: Zygote) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ("-m", "optimizer.lr=interval(0,1)", "hydra/sweeper=optuna")
    code, out = zygote.run(tmp_path, *search, "hydra.sweeper.direction=maximize")
    assert code == 2 and "direction=maximize: a search minimises here" in out.replace(
        "Direction.", ""
    )
    assert [p.name for p in tmp_path.iterdir()] == ["output.txt"]


def test_what_a_search_makes_small(tmp_path: Path) -> None:
    def value(status: str = "completed", *, provenance: str = "{}", **summary: Any) -> float:
        (tmp_path / "provenance.json").write_text(provenance)
        made = {"settings": {"checkpoint_metric": "m"}, **summary}
        return run_job.search_value(Job(tmp_path, [], status, summary=made))

    best = {"best": {"m": {"value": 0.25, "step": 3}}}
    assert value(**best) == 0.25
    assert value(provenance='{"m": {"better": "higher"}}', **best) == -0.25
    assert value("diverged", **best) == value("failed") == value(best={}) == inf
    other = {"best": {"m": {"value": 0.75, "step": 3}}}
    assert value(replicas={"replica_0": best, "replica_1": other}) == 0.5


@pytest.mark.parametrize(
    ("launcher", "given", "at_a_time"),
    [
        ("JoblibLauncher", {"n_jobs": 3}, 3),
        ("JoblibLauncher", {"n_jobs": -1}, 8),
        ("JoblibLauncher", {"n_jobs": -2}, 7),
        ("LocalLauncher", {}, 12),
        ("SlurmLauncher", {}, 1),
        ("RayLauncher", {}, 1),
        ("BasicLauncher", {}, 1),
    ],
)
def test_how_many_jobs_share_the_machine(
    launcher: str, given: dict[str, int], at_a_time: int
) -> None:
    assert run_job.side_by_side({"_target_": f"a.b.{launcher}", **given}, 12, 8) == at_a_time


def test_threads_are_shared_out_and_gpus_dealt_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = {"_target_": "x.JoblibLauncher", "n_jobs": 4}
    threads: list[int] = []
    gpus: list[int] = []
    monkeypatch.setattr(run_job, "cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", gpus.append)
    for number in range(5):
        hydra = {"launcher": launcher, "job": {"num": number}, "sweep": {"dir": "nowhere"}}
        monkeypatch.setattr(HydraConfig, "get", lambda hydra=hydra: OmegaConf.create(hydra))
        run_job._share_machine("auto")
    assert threads == [2] * 5 and gpus == [0, 1, 2, 0, 1]
    monkeypatch.setattr(run_job.current_process(), "name", "LokyProcess-2")
    run_job._share_machine("cuda")  # a worker keeps its GPU, whichever jobs are left
    assert gpus.pop() == 1
    run_job._share_machine("cpu")
    assert len(gpus) == 5

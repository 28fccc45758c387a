"""The same command again goes on where a sweep stopped."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from conftest import Zygote
from filelock import FileLock
from toy_runs import QUICK, TOY, end_state, numbers, reached, statuses, until

from gan_runner.runs.checkpoint import checkpoints
from gan_runner.sweeps.jobs import job_dir


def test_a_killed_sweep(zygote: Zygote, tmp_path: Path) -> None:
    """SIGKILL in the middle of a job: nobody is left to say so; the next time it is resumed."""
    jobs = (*TOY, "trainer.steps=400")
    sweep = ("-m", *jobs, "seed=0,1,2", "hydra.sweep.dir=s")
    zygote.start(tmp_path, *sweep)
    until(lambda: reached(job_dir(tmp_path / "s", [*jobs, "seed=1"]), 10))
    first, second = (job_dir(tmp_path / "s", [*jobs, f"seed={k}"]) for k in range(2))
    assert first.name.startswith("seed-0_") and second.name.startswith("seed-1_")
    zygote.kill(signal.SIGKILL)
    assert zygote.wait() == -signal.SIGKILL
    assert statuses(tmp_path / "s") == {
        "seed=0": "completed", "seed=1": "killed", "seed=2": "waiting",
    }  # fmt: skip
    untouched = {p: p.stat().st_mtime_ns for p in first.rglob("*")}

    code, out = zygote.run(tmp_path, *sweep)
    assert code == 0 and "3 jobs: 3 completed" in out, out
    assert untouched == {p: p.stat().st_mtime_ns for p in first.rglob("*")}
    assert out.count("400 steps in") == 2  # a line for each that has ended
    assert "from step" in (second / "output.txt").read_text()

    code, out = zygote.run(tmp_path, *jobs, "seed=1", "hydra.run.dir=whole")
    assert code == 0, out
    assert numbers(second) == numbers(tmp_path / "whole")
    assert end_state(second) == end_state(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c(zygote: Zygote, tmp_path: Path) -> None:
    """The running job is saved, the table printed; the same command again goes on."""
    sweep = ("-m", *TOY, "trainer.steps=400", "seed=0,1", "hydra.sweep.dir=s")
    zygote.start(tmp_path, *sweep)
    until(lambda: reached(job_dir(tmp_path / "s", [*TOY, "trainer.steps=400", "seed=0"]), 5))
    first = job_dir(tmp_path / "s", [*TOY, "trainer.steps=400", "seed=0"])
    zygote.kill(signal.SIGINT)
    assert zygote.wait() == 130
    out = (tmp_path / "output.txt").read_text()
    assert "2 jobs: 1 interrupted, 1 waiting" in out
    assert "stopped by SIGINT; the same command again resumes what was cut" in out
    summary = json.loads((first / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert checkpoints(first)[-1].name == f"step_{summary['steps']:08d}.pt"
    code, out = zygote.run(tmp_path, *sweep)
    assert code == 0 and "2 jobs: 1 interrupted, 1 waiting" in out and "2 jobs: 2 completed" in out


@pytest.mark.slow
def test_a_job_that_another_process_is_at_is_left_alone(zygote: Zygote, tmp_path: Path) -> None:
    taken = job_dir(tmp_path / "s", [*QUICK, "seed=0"])
    taken.mkdir(parents=True)
    sweep = ("-m", *QUICK, "seed=0,1", "hydra.sweep.dir=s")
    with FileLock(taken / "job.lock"):
        code, out = zygote.run(tmp_path, *sweep)
        assert code == 1 and [p.name for p in taken.iterdir()] == ["job.lock"]
    assert statuses(tmp_path / "s") == {"seed=0": "waiting", "seed=1": "completed"}
    code, out = zygote.run(tmp_path, *sweep)
    assert code == 0 and out.count("20 steps in") == 1, out


@pytest.mark.slow
def test_a_changed_base_is_noticed(zygote: Zygote, tmp_path: Path) -> None:
    card = tmp_path / "mine" / "trainer" / "short.yaml"
    card.parent.mkdir(parents=True)
    lines = "defaults: [default]\nsteps: 3\nlog_every: 1\n"
    card.write_text(lines)
    sweep = (
        "-m",
        "--config-dir",
        "mine",
        *TOY[:6],
        "trainer=short",
        "trainer.num_eval_samples=64",
        "seed=0,-1",
    )
    code, out = zygote.run(tmp_path, *sweep)
    (folder,) = tmp_path.glob("outputs/sweeps/seed_*")
    assert code == 1 and statuses(folder) == {"seed=0": "completed", "seed=-1": "failed"}, out
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    card.write_text(lines.replace("steps: 3", "steps: 4"))
    code, out = zygote.run(tmp_path, *sweep)
    assert code == 2 and len(out.splitlines()) == 1
    assert "its jobs ran with another configuration: trainer.steps 3 -> 4; name another" in out
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    card.write_text(lines + "# as it was\n")
    code, out = zygote.run(tmp_path, *sweep)
    assert code == 1 and "2 jobs: 1 completed, 1 failed" in out, out


def test_a_sweep_that_cannot_be_composed_leaves_nothing(zygote: Zygote, tmp_path: Path) -> None:
    code, out = zygote.run(tmp_path, "-m", "objective=gan,wgangp")
    assert code == 2 and "objective=wgangp: no such option; did you mean objective=wgan_gp?" in out
    assert [p.name for p in tmp_path.iterdir()] == ["output.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dry-run", "objective=gan,wgn"), "objective=wgn: no such option; did you mean"),
        (("experiment=robustness_tiny", "objective=ns_gan,wgn"), "objective=wgn: no such option"),
        (("seed=0,1", "--cfg", "job"), "--cfg: shows a single job; omit -m"),
        (("seed=0,1", "hydra.sweep.dir=/proc/x"), "hydra.sweep.dir: "),
        (
            ("seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", *QUICK),
            "joblib: n_jobs == 0 in Parallel has no meaning; see the keys of hydra.launcher",
        ),
        (
            ("seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=two"),
            "hydra.launcher.n_jobs: Value 'two'",
        ),
        (
            ("hydra/sweeper=optuna", "optimizer.lr=interval(1e-2,1e-5)", *QUICK),
            "optuna: The `low` value must be smaller",
        ),
    ],
)
def test_a_sweep_that_is_refused(
    zygote: Zygote, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    for plugin in ("joblib", "optuna"):
        if any(plugin in argument for argument in arguments):
            pytest.importorskip(plugin)
    code, out = zygote.run(tmp_path, "-m", *arguments)
    assert code == 2 and words in out and "Traceback" not in out, out
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "output.txt"]


def test_a_run_that_no_sweep_has_made_is_left_alone(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "s" / "a").mkdir(parents=True)
    (tmp_path / "s" / "a" / "config.yaml").write_text("precious")
    for _ in range(2):
        code, out = zygote.run(
            tmp_path, "-m", *QUICK, "seed=0", "hydra.sweep.dir=s", "hydra.sweep.subdir=a"
        )
        assert code == 2 and "s/a contains a run that is not part of a sweep; choose another" in out
    assert (tmp_path / "s" / "a" / "config.yaml").read_text() == "precious"


@pytest.mark.slow
def test_what_cannot_be_resumed_today_is_not_lost(zygote: Zygote, tmp_path: Path) -> None:
    """A device that is not there and a disk that is not mounted are no reason to start anew."""
    jobs = (*TOY[:5], *TOY[6:], "trainer.steps=400")  # its device is the command's
    sweep = ("-m", *jobs, "seed=0", "hydra.sweep.dir=s")
    folder = job_dir(tmp_path / "s", [*jobs, "seed=0"])
    zygote.start(tmp_path, *sweep, "device=cpu")
    until(lambda: reached(folder, 10))
    zygote.kill(signal.SIGKILL)
    zygote.wait()
    kept = checkpoints(folder)
    for _ in range(2):
        code, out = zygote.run(tmp_path, *sweep, "device=cuda:99")
        assert code == 1 and "interrupted" in out and "device=cuda:99" in out, out
        assert checkpoints(folder) == kept
    code, out = zygote.run(tmp_path, *sweep, "device=cpu")
    assert code == 0 and "from step" in (folder / "output.txt").read_text(), out


@pytest.mark.slow
def test_a_job_that_is_resumed_by_hand_is_left_alone(zygote: Zygote, tmp_path: Path) -> None:
    folder = job_dir(tmp_path / "s", [*QUICK, "seed=0"])
    sweep = ("-m", *QUICK, "seed=0", "hydra.sweep.dir=s")
    zygote.run(tmp_path, *sweep)
    note = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**note, "status": "failed"}))
    (folder / "summary.json").unlink()
    before = sorted(folder.rglob("*"))
    with FileLock(folder / ".lock"):
        code, out = zygote.run(tmp_path, *sweep)
        assert code == 1 and sorted(folder.rglob("*")) == before, out
    assert zygote.run(tmp_path, *sweep)[0] == 0


@pytest.mark.slow
def test_a_dry_run_never_runs(zygote: Zygote, tmp_path: Path) -> None:
    """Whatever goes wrong before a sweep: Hydra would warn and start it."""
    code, out = zygote.run(tmp_path, "-m", "--dry-run", *QUICK, "trainer.replicas=2", "seed=0,2")
    assert code == 2 and "\ngan-run: trainer.replicas: " in out, out
    code, out = zygote.run(tmp_path, "-m", "--dry-run", *QUICK, "seed=0,1")
    first, *_, last = out.splitlines()
    assert first == "gan-run: estimating the cost of 2 jobs; nothing is written", out
    assert code == 0 and last.startswith("gan-run: 2 jobs, about "), out
    code, out = zygote.run(tmp_path, "--dry-run", *QUICK)
    assert code == 2 and out.strip().endswith("add -m"), out
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]


@pytest.mark.slow
def test_older_jobs_do_not_count_in_how_a_sweep_ends(zygote: Zygote, tmp_path: Path) -> None:
    assert zygote.run(tmp_path, "-m", *QUICK, "seed=-1,0", "hydra.sweep.dir=s")[0] == 1
    code, out = zygote.run(tmp_path, "-m", *QUICK, "seed=0", "hydra.sweep.dir=s")
    assert code == 0 and "2 jobs: 1 completed, 1 failed" in out, out

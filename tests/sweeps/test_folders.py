"""Folders of jobs, named by what varies, and the end of a search."""

from __future__ import annotations

from pathlib import Path

from gan_runner.sweeps.folders import folder_name
from gan_runner.sweeps.jobs import Job, Plan, job_dir, job_name, read_jobs, write_note, write_plan
from gan_runner.sweeps.search import best_trial
from gan_runner.sweeps.table import line

GRID = [
    ["dataset=mnist", "metrics=images", f"objective={o}", f"seed={s}", "model.filters=32"]
    for o in ("wgan_gp", "ns_gan") for s in (0, 1)
]  # fmt: skip


def hash_of(overrides: list[str]) -> str:
    return job_name(overrides).rpartition("_")[2]


def test_a_folder_is_named_by_what_varies(tmp_path: Path) -> None:
    write_plan(tmp_path, Plan(jobs=GRID))
    assert [folder_name(tmp_path, job) for job in GRID] == [
        f"{o}_seed-{s}_{hash_of(job)}"
        for job, (o, s) in zip(
            GRID, [("wgan_gp", 0), ("wgan_gp", 1), ("ns_gan", 0), ("ns_gan", 1)], strict=True
        )
    ]
    assert folder_name(tmp_path / "new", GRID[0]) == job_name(GRID[0])  # nothing is planned


def test_a_single_job_is_named_by_whole_words(tmp_path: Path) -> None:
    """Nothing varies; the learning rate is 0.0001 and not 0, and what does not fit is left out."""
    job = ["dataset=gaussians8", "model=mlp", "objective=wgan_gp", "optimizer.lr=0.0001", "seed=0",
           "trainer.steps=20", "device=cpu"]  # fmt: skip
    write_plan(tmp_path, Plan(jobs=[job], command=job))
    name = f"gaussians8_mlp_wgan_gp_seed-0_lr-0.0001_steps-20_{hash_of(job)}"
    assert folder_name(tmp_path, job) == name
    bare = ["dataset=gaussians8", "metrics=none"]
    write_plan(tmp_path, Plan(jobs=[bare], command=bare))
    assert folder_name(tmp_path, bare) == f"gaussians8_metrics-none_{hash_of(bare)}"
    long = [*job[:4], f"model.widths=[{','.join(['128'] * 20)}]", "trainer.evaluate_every=250"]
    write_plan(tmp_path, Plan(jobs=[long], command=long))
    name = f"gaussians8_mlp_wgan_gp_lr-0.0001_evaluate_every-250_{hash_of(long)}"
    assert folder_name(tmp_path, long) == name
    assert job_name(long) == name and job_dir(tmp_path, long).name == name


def test_another_seed_keeps_its_key(tmp_path: Path) -> None:
    jobs = [["objective=gan", f"model.seed={s}"] for s in ("null", 0)]
    write_plan(tmp_path, Plan(jobs=jobs))
    assert folder_name(tmp_path, jobs[0]) == f"model.seed-null_{hash_of(jobs[0])}"


def test_a_search_is_named_by_its_ranges(tmp_path: Path) -> None:
    write_plan(tmp_path, Plan(command=["seed=0", "optimizer.lr=tag(log,interval(1e-5,1e-2))"]))
    drawn = ["seed=0", "optimizer.lr=0.0077801555769014185"]
    assert folder_name(tmp_path, drawn) == f"lr-0.00778_{hash_of(drawn)}"


def test_an_earlier_folder_keeps_its_name(tmp_path: Path) -> None:
    """Whatever it is called, its hash tells the job."""
    write_plan(tmp_path, Plan(jobs=GRID))
    old = tmp_path / job_name(GRID[0])
    old.mkdir()
    write_note(old, {"overrides": GRID[0], "number": 0, "status": "completed"})
    assert folder_name(tmp_path, GRID[0]) == old.name and job_dir(tmp_path, GRID[0]) == old
    assert job_dir(tmp_path, [*reversed(GRID[0])]) == old
    assert [job.status for job in read_jobs(tmp_path)] == ["completed", *["waiting"] * 3]
    assert folder_name(tmp_path, GRID[1]).startswith("wgan_gp_seed-1_")


def trial(number: int, lr: str, value: float | None, status: str = "completed") -> Job:
    best = {} if value is None else {"wasserstein/exact": {"value": value, "step": 5}}
    summary = {"settings": {"checkpoint_metric": "wasserstein/exact"}, "best": best, "steps": 5,
               "seconds": {"total": 1.0}}  # fmt: skip
    return Job(Path(f"s/{number}"), [f"optimizer.lr={lr}", "+penalty=[r1,r2]", "seed=0"], status,
               number=number, summary=summary)  # fmt: skip


def test_a_search_ends_with_its_best_trial() -> None:
    plan = Plan(command=["optimizer.lr=tag(log,interval(1e-5,1e-2))", "+penalty=[r1,r2]"])
    jobs = [
        trial(0, "0.001", 0.5), trial(1, "0.0077801555769014185", 0.19812),
        trial(2, "0.01", 0.1, "diverged"), trial(3, "0.02", None),
    ]  # fmt: skip
    first, second = best_trial(jobs, plan).splitlines()
    assert first.startswith(
        "  best        trial 1: wasserstein/exact 0.1981 with optimizer.lr=0.00778"
    )
    assert second == (
        "  again       gan-run optimizer.lr=0.0077801555769014185 '+penalty=[r1,r2]' seed=0"
    )
    assert best_trial(jobs[2:], plan) == "" and best_trial(jobs, Plan(jobs=[["seed=0"]])) == ""
    assert "optimizer.lr=0.00778  5 steps" in line(jobs[1], jobs)


def test_the_first_job_of_a_search_is_named_by_its_overrides() -> None:
    """Nothing varies yet among the jobs that there are."""
    plan = Plan(command=["optimizer.lr=tag(log,interval(1e-5,1e-2))", "seed=0"])
    assert plan.searched == {"optimizer.lr"}
    first = trial(0, "0.0077801555769014185", 0.5)
    assert line(first, [first], plan.searched).startswith(
        "completed    optimizer.lr=0.00778  5 steps"
    )
    assert line(first, [first]).startswith("completed    0  5 steps")  # of a grid: its folder
    assert Plan(jobs=GRID, command=["seed=0,1"]).searched == set()

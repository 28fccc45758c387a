"""From the files of a sweep's jobs to the study's results; its architectures and what it costs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from covering import some
from omegaconf import DictConfig
from PIL import Image

from gan_runner.commands.report import main as report_main
from gan_runner.config.compose import config_dir
from gan_runner.config.validate import validate
from gan_runner.models.random_architecture import draw
from gan_runner.studies.cost import Cost, announce, estimate
from gan_runner.studies.figure2 import caption
from gan_runner.studies.figure2 import draw as draw_figure
from gan_runner.studies.robustness import SCORE, check, collect
from gan_runner.studies.study_files import read
from gan_runner.sweeps.jobs import Job, Plan, job_dir, read_jobs, write_note, write_plan

SPACE = {
    "activations": ["relu", "tanh"],
    "depths": [5, 3],
    "norms": [True, False],
    "filters": [4, 12, 8],
}


COMMON = ("experiment=x", "dataset.root=/data")


def job(
    sweep: Path,
    seed: str,
    objective: str,
    score: float | None,
    status: str = "completed",
    more: tuple[str, ...] = (),
) -> None:
    overrides = [*COMMON, f"model.seed={seed}", f"objective={objective}", *more]
    folder = job_dir(sweep, overrides)
    folder.mkdir(parents=True)
    study = {"study": {"name": "robustness"}}
    note = {"overrides": overrides, "status": status, "number": 0, "config": study}
    write_note(folder, note)
    drawn = {"activation": "tanh", "depth": 3, "norm": False, "filters": 8}
    summary = {
        "status": status, "steps": 400, "device": "cpu", "seconds": {"total": 12.34}, "data": "digits, 8x8 pixels",
        "final": {SCORE: score}, "best": {}, "health": {"state": "ok", "since": 0},
        "networks": {p: {"parameters": n, "architecture": drawn} for p, n in (("generator", 10), ("critic", 20))},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "provenance.json").write_text(
        json.dumps({SCORE: {"network": "classifier", "real": 9.5}})
    )


def test_what_the_jobs_left_becomes_the_study(tmp_path: Path) -> None:
    for objective, score in (("ns_gan", 6.0), ("wgan_gp", 7.0)):
        job(tmp_path, "null", objective, score)
    job(tmp_path, "0", "ns_gan", None, status="diverged")
    job(tmp_path, "0", "wgan_gp", 5.123456)
    job(tmp_path, "1", "ns_gan", 4.0)
    overrides = ["experiment=x", "dataset.root=/data", "model.seed=1", "objective=wgan_gp"]
    write_plan(tmp_path, Plan(jobs=[overrides]))
    collect(tmp_path, read_jobs(tmp_path))
    study = read(tmp_path)
    assert study.baselines == {"ns_gan": 6.0, "wgan_gp": 7.0} and study.real == 9.5
    assert study.pairs == [(float("-inf"), 5.123456)]  # 1 has one run only
    assert study.iterations == {"GAN": 400, "WGAN-GP": 400}
    assert study.architectures == 2
    assert study.facts["command"] == "gan-run -m experiment=x"  # and not where the data lies
    typed = ["experiment=x", "model.seed=null,0,1", "dataset.root=/data"]
    write_plan(tmp_path, Plan(jobs=[overrides], command=typed))
    collect(tmp_path, read_jobs(tmp_path))
    assert read(tmp_path).facts["command"] == "gan-run -m experiment=x model.seed=null,0,1"
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    (waiting,) = [row for row in rows if row["status"] == "waiting"]
    assert waiting["architecture"] == "1" and waiting["objective"] == "wgan_gp"
    row = next(row for row in rows if row["score"] == "5.123456")
    assert (
        row["g_activation"] == "tanh" and row["d_depth"] == "3" and row["critic_parameters"] == "20"
    )
    assert (tmp_path / row["run_dir"] / "summary.json").is_file() and row["seconds"] == "12.34"


def test_the_baseline_is_a_dcgan() -> None:
    generator, critic = draw(None, **SPACE)
    assert (generator.activation, generator.depth, generator.norm, generator.filters) == (
        "relu",
        3,
        True,
        8,
    )
    assert (critic.activation, critic.depth, critic.norm, critic.filters) == (
        "leaky_relu",
        3,
        True,
        8,
    )


RECIPES = sorted(path.stem for path in (config_dir() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("recipe", some(RECIPES, one_in=2))
def test_every_job_of_a_recipe_is_a_valid_run(
    config: Callable[..., DictConfig], recipe: str, tmp_path: Path
) -> None:
    for objective in ("ns_gan", "wgan_gp"):
        cfg = config(f"experiment={recipe}", f"objective={objective}")
        if cfg.dataset._target_.endswith("image_folder"):
            cfg.dataset.path = str(tmp_path)
        validate(cfg)
        assert not recipe.startswith("robustness") or _decay(cfg).normalised_only


def _decay(cfg: DictConfig) -> DictConfig:
    return cfg.objective.critic_terms.weight_decay


STEPS = {"robustness_tiny": 40, "robustness_small": 2000, "robustness_gpu": 10_000}


@pytest.mark.parametrize("recipe", STEPS)
def test_steps_follow_the_objective(config: Callable[..., DictConfig], recipe: str) -> None:
    """Both objectives have equally many generator iterations, and rates in the published ratio."""
    cfg = {o: config(f"experiment={recipe}", f"objective={o}") for o in ("ns_gan", "wgan_gp")}
    assert cfg["wgan_gp"].trainer.steps == STEPS[recipe]
    assert cfg["ns_gan"].trainer.steps == STEPS[recipe]
    assert cfg["ns_gan"].optimizer.lr == pytest.approx(2 * cfg["wgan_gp"].optimizer.lr)


@pytest.mark.slow
def test_the_estimate_is_that_of_all_jobs(config: Callable[..., DictConfig]) -> None:
    common = ["experiment=robustness_tiny", "metrics=none", "device=cpu"]
    jobs = [[*common, f"model.seed={s}", "objective=ns_gan"] for s in range(20)]
    cost = estimate(lambda overrides: config(*overrides), jobs)
    assert (cost.jobs, cost.known) == (20, 10)
    assert cost.longest * 20 >= cost.seconds > 0
    said = str(Cost(96, 16, 7300, 100, "cpu", "measured"))
    assert said.startswith("96 jobs, about 2.0 h in all")


def test_the_rest_is_estimated_from_what_is_done(
    config: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in "0123":
        job(tmp_path, seed, "ns_gan", 4.0)
    jobs = [
        ["experiment=x", "dataset.root=/elsewhere", f"model.seed={seed}", "objective=ns_gan"]
        for seed in range(7)
    ]
    cfg = config("experiment=robustness_tiny")
    announce(cfg, Plan(jobs), read_jobs(tmp_path), lambda _: pytest.fail("composed"), dry=False)
    said = capsys.readouterr().out
    assert said.startswith("gan-run: 3 jobs, about 37 s in all")  # 3 times 12.34
    assert "from 4 of them, which are done" in said


def test_a_study_is_one_question() -> None:
    def jobs(*names: str, seeds: str = "0") -> list[list[str]]:
        return [[f"objective={o}", "model.seed=1", f"batch={s}"] for o in names for s in seeds]

    check(jobs("ns_gan", "wgan_gp"))
    with pytest.raises(ValueError, match=r"^batch: a robustness study varies model\.seed"):
        check(jobs("ns_gan", "wgan_gp", seeds="01"))
    with pytest.raises(ValueError, match=r"^objective=gan,wgan,wgan_gp: .* name two"):
        check(jobs("gan", "wgan", "wgan_gp"))


def test_runs_of_another_study_in_the_directory_are_left_out(tmp_path: Path) -> None:
    """Such as those of the same architectures with other steps."""
    for objective, score in (("ns_gan", 6.0), ("wgan_gp", 7.0)):
        job(tmp_path, "0", objective, score)
        job(tmp_path, "0", objective, score + 1, more=("trainer.steps=9",))
    later = [
        [*COMMON, "model.seed=0", f"objective={objective}", "trainer.steps=9"]
        for objective in ("ns_gan", "wgan_gp")
    ]
    write_plan(tmp_path, Plan(jobs=later))
    collect(tmp_path, read_jobs(tmp_path))
    assert read(tmp_path).pairs == [(7.0, 8.0)]


def test_a_study_that_would_end_without_its_scores_is_refused(
    config: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images without classes have no classifier, so every run would end without a score."""
    for k in range(40):
        Image.fromarray(np.full((32, 32, 3), 6 * k, np.uint8)).save(tmp_path / f"{k}.png")
    job = [
        "experiment=robustness_paper", f"dataset.path={tmp_path}", "dataset.cache=null",
        "model.seed=0", "model.depths=[4]", "model.filters=[4]", "objective=ns_gan", "device=cpu",
        "trainer.batch_size=8", "trainer.num_eval_samples=10",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        announce(config(*job), Plan([job]), [], lambda overrides: config(*overrides), dry=False)
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and said.splitlines() == [said]
    assert "images/classifier_score_raw" in said and "metrics.images.network=inception" in said


def test_a_report_tells_how_far_a_study_has_come(tmp_path: Path) -> None:
    """Also while it runs, when nobody has made its table yet."""
    job(tmp_path, "0", "ns_gan", 6.0)
    report_main([str(tmp_path)])
    assert "0 of 1 architectures" in (tmp_path / "report.html").read_text()
    job(tmp_path, "0", "wgan_gp", 7.0)
    report_main([str(tmp_path)])
    assert "1 of 1 architectures" in (tmp_path / "report.html").read_text()


def test_figure_2_has_a_cell_for_every_job(tmp_path: Path) -> None:
    job(tmp_path, "0", "ns_gan", 4.0)
    job(tmp_path, "0", "wgan_gp", 7.0, status="diverged")
    jobs = read_jobs(tmp_path)
    assert sorted(caption(j) for j in jobs) == ["diverged", "score 4.00, ok"]
    assert caption(None) == "not run" and caption(Job(tmp_path, [])) == "waiting"
    assert draw_figure(tmp_path, jobs).stat().st_size > 1000

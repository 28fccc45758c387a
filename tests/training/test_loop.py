"""The loop: what it writes, when it stops, and that it does the same thing twice."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY
from PIL import Image

import gan_runner
from gan_runner.runs.checkpoint import load_latest
from gan_runner.training.loop import fit
from gan_runner.training.timer import PhaseTimer

RHYTHM = (
    "trainer.log_every=2", "trainer.evaluate_every=4", "trainer.sample_every=4",
    "trainer.checkpoint_every=3", "model.filters=4",
)  # fmt: skip

ALWAYS = {
    "wasserstein/critic", "loss/critic", "loss/generator", "grad_norm/critic",
    "grad_norm/generator", "speed/steps_per_second", "health/state",
}  # fmt: skip
EVALUATED = {
    "wasserstein/critic_heldout", "critic/input_gradient_norm", "lipschitz/lower",
    "lipschitz/upper", "lipschitz/slope_q99", "wasserstein/per_slope", "wasserstein/per_slope_q99", "wasserstein/bound", "coverage/diversity",
    "coverage/diversity_raw",
    *(f"wasserstein/{d}{of}" for d in ("exact", "sliced", "sliced_w2") for of in ("", "_raw", "_floor", "_floor_std")),
}  # fmt: skip
COSTLY = {f"jsd/probe{of}" for of in ("", "_raw", "_se", "_se_raw", "_floor", "_floor_std")}


def lines(run_dir: Path) -> list[dict[str, Any]]:
    """The log without its timings."""
    log = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in log]


def test_a_run_directory_explains_itself(engine, tmp_path: Path) -> None:
    summary = fit(engine(*RHYTHM, "trainer.steps=9"), tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 4, 6, 8, 9]
    for line in log:
        tags = ALWAYS | {"loss/gradient_penalty"}
        tags |= EVALUATED if line["step"] in (4, 8, 9) else set()
        tags |= COSTLY if line["step"] == 9 else set()
        assert set(line) == tags | {"step"}
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == [
        f"step_{step:06d}.png" for step in (0, 4, 8, 9)
    ]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "best.pt", "step_00000006.pt", "step_00000009.pt",
    ]  # fmt: skip
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert summary["status"] == "completed" and summary["steps"] == 9
    assert summary["final"]["loss/critic"] == log[-1]["loss/critic"]
    evaluated = [line["wasserstein/exact"] for line in log if "wasserstein/exact" in line]
    assert summary["best"]["wasserstein/exact"]["value"] == min(evaluated)
    assert not any(tag.endswith("_floor") or tag.startswith("loss/") for tag in summary["best"])
    # digits with F = 4: 128 * 8 * 4 + 16, then 8 * 4 * 16 + 8, then 4 * 16 + 1; the critic has
    # 16 * 4 + 4, then 4 * 8 * 16 + 8 (no norm, so a bias), then 8 * 4 + 1
    networks = summary["networks"]
    assert {n: facts["parameters"] for n, facts in networks.items()} == {
        "generator": 4697,
        "critic": 621,
    }
    architecture = (tmp_path / "architecture.txt").read_text()
    assert "4,697 parameters" in architecture and "features.4        LeakyReLU" in architecture
    assert summary["versions"]["torch"] == torch.__version__


def test_zero_steps_build_and_stop(engine, tmp_path: Path) -> None:
    summary = fit(engine("trainer.steps=0"), tmp_path)
    assert (summary["status"], summary["steps"], summary["final"]) == ("completed", 0, {})
    assert (tmp_path / "config.yaml").is_file() and (tmp_path / "checkpoints").is_dir()


@pytest.mark.parametrize("objective", ["wgan_gp", "ns_gan"])
def test_the_same_seed_gives_the_same_run(engine, tmp_path: Path, objective: str) -> None:
    command = (*RHYTHM, "trainer.steps=6", f"objective={objective}")
    for name in ("first", "again"):
        fit(engine(*command), tmp_path / name)
    fit(engine(*command, "seed=1"), tmp_path / "other")
    assert lines(tmp_path / "first") == lines(tmp_path / "again")
    assert lines(tmp_path / "first") != lines(tmp_path / "other")


def test_looking_does_not_change_a_run(engine, tmp_path: Path) -> None:
    """Batch norm on both sides: evaluation and pictures must leave its averages alone."""
    command = (*RHYTHM, "trainer.steps=6", "objective=ns_gan")
    fit(engine(*command), tmp_path / "often")
    rarely = ("trainer.evaluate_every=100", "trainer.sample_every=100")
    fit(engine(*command, *rarely), tmp_path / "rarely")
    often, seldom = lines(tmp_path / "often"), lines(tmp_path / "rarely")
    for line in seldom:
        del line["health/state"]  # which is judged by what is measured, too
    assert [
        {k: line[k] for k in other} for line, other in zip(often, seldom, strict=True)
    ] == seldom


def test_an_interrupted_run_is_complete_to_its_step(engine, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    built = engine(*RHYTHM, "trainer.steps=1000")
    iteration, calls = built.iteration, []

    def interrupted_in_its_fifth(*args: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return iteration(*args)

    built.iteration = interrupted_in_its_fifth
    summary = fit(built, tmp_path)
    assert (summary["status"], summary["steps"]) == ("interrupted", 5)
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 5]
    assert (tmp_path / "checkpoints" / "step_00000005.pt").is_file()
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_loss_that_is_not_finite_stops_the_run(engine, tmp_path: Path) -> None:
    built = engine(*RHYTHM, "trainer.steps=20")
    with torch.no_grad():
        next(built.nets.critic.parameters()).fill_(float("nan"))
    summary = fit(built, tmp_path)
    assert (summary["status"], summary["steps"]) == ("diverged", 2)
    assert json.loads((tmp_path / "summary.json").read_text())["final"]["loss/critic"] is None


def test_a_diverged_run_keeps_its_good_checkpoints(engine, tmp_path: Path) -> None:
    """The losses turn at step 3; points come every 5 steps, checkpoints every 2."""
    built = engine(
        "model.filters=4", "trainer.steps=20", "trainer.log_every=5", "trainer.checkpoint_every=2"
    )
    iteration = built.iteration

    def poisoned(*args: Any) -> dict[str, torch.Tensor]:
        if built.step == 2:
            with torch.no_grad():
                next(built.nets.critic.parameters()).fill_(float("nan"))
        return iteration(*args)

    built.iteration = poisoned
    assert fit(built, tmp_path)["status"] == "diverged"
    (state,) = load_latest([tmp_path])
    assert state["step"] == 2
    assert all(torch.isfinite(value).all() for value in state["average"].values())
    assert lines(tmp_path)[-1]["step"] == 4 and lines(tmp_path)[-1]["loss/critic"] is None


def test_a_second_signal_stops_at_once(engine, tmp_path: Path) -> None:
    built = engine(*RHYTHM, "trainer.steps=1000")
    iteration = built.iteration

    def impatient(*args: Any) -> dict[str, torch.Tensor]:
        if built.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return iteration(*args)

    built.iteration = impatient
    summary = fit(built, tmp_path)
    assert (summary["status"], summary["steps"]) == ("interrupted", 4)
    assert lines(tmp_path)[-1]["step"] == 4


def test_a_failing_run_says_so(engine, tmp_path: Path) -> None:
    built = engine(*RHYTHM, "trainer.steps=20")
    built.iteration = lambda *args: 1 / 0  # type: ignore[assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        fit(built, tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("data", [(), ("dataset=gaussians8", "model=mlp", "model.width=8")])
def test_pictures_show_samples(engine, tmp_path: Path, data: tuple[str, ...]) -> None:
    command = (*RHYTHM[:-1], *data, "trainer.steps=4", "trainer.num_eval_samples=128")
    fit(engine(*command), tmp_path)
    before, after = (
        np.asarray(Image.open(tmp_path / "samples" / f"step_{step:06d}.png")) for step in (0, 4)
    )
    assert before.shape == after.shape and (before != after).any()
    if data:  # orange data and blue samples in one plot
        assert ((after[..., 0] > 200) & (after[..., 2] < 100)).sum() > 50
        assert ((after[..., 2] > 150) & (after[..., 0] < 100)).sum() > 50


def test_clock_tells_overhead_from_work() -> None:
    clock = PhaseTimer()
    clock.start, clock.spent = clock.start - 10.0, {"update": 7.0, "metrics": 2.0, "data": 0.5}
    report = clock.report()
    assert report["total"] == pytest.approx(10.0, abs=0.1)
    assert report["share_outside_update"] == pytest.approx(1 - 7 / 8, abs=0.01)


def test_a_second_run_into_a_folder_is_refused(engine, tmp_path: Path) -> None:
    command = (*RHYTHM, "trainer.steps=2")
    fit(engine(*command), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != ".lock"}
    with pytest.raises(ValueError, match="already contains a run"):
        fit(engine(*command), tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.name != ".lock"} == before


def test_a_file_or_folder_of_the_users_own_stays(engine, tmp_path: Path) -> None:
    """Each entry of a run directory alone is named, and nothing is written beside it."""
    fit(engine(*RHYTHM, "trainer.steps=2"), tmp_path / "run")
    written = {path.name for path in (tmp_path / "run").iterdir() if path.name != ".lock"}
    names = {name for name in written if not name.startswith("events.out")}
    assert {"config.yaml", "metrics.jsonl", "samples", "checkpoints", "summary.json"} < names
    built = engine(*RHYTHM, "trainer.steps=2")
    for name in {*names, "command.json", "progress.gif"}:
        own = tmp_path / f"own_{name}"
        own.mkdir()
        (own / name).write_text("mine")
        with pytest.raises(ValueError) as stop:
            fit(built, own)
        problem = f"run_dir={own}: contains {name}, which a run would write; choose another folder"
        assert str(stop.value) == problem
        assert (own / name).read_text() == "mine"
        assert {path.name for path in own.iterdir()} <= {name, ".lock"}


def test_a_run_from_python_is_repeated_as_one_of_the_shell(zygote, tmp_path: Path) -> None:
    """It has its choices and overrides; an interpolation in them stays as it is typed."""
    words = [*TINY, "trainer.steps=2", "trainer.log_every=1", "metrics=none", "model=random"]
    words += ["model.seed=${seed}", "model.depths=[3]", "model.filters=[2]", "plots=none"]
    fit(gan_runner.build(gan_runner.compose(*words, "+penalty=r1")), tmp_path / "run")
    command = json.loads((tmp_path / "run" / "command.json").read_text())
    assert command == {"overrides": [*words, "+penalty=r1"]}
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert "overrides" not in saved and saved["choices"]["penalty"] == "r1"
    code, out = zygote.run(tmp_path, "repeat=run", "hydra.run.dir=again")
    assert code == 0, out
    assert yaml.safe_load((tmp_path / "again" / "config.yaml").read_text()) == saved
    assert lines(tmp_path / "again") == lines(tmp_path / "run")


def test_an_engine_steps_before_there_is_a_folder_and_goes_on_in_one(
    engine, tmp_path: Path
) -> None:
    """The same losses as a run that was recorded from its first step."""
    command = (*RHYTHM, "trainer.steps=8")
    built = engine(*command)
    logs = [built.train_step()[0]["loss/critic"].item() for _ in range(4)]
    assert not any(tmp_path.iterdir())
    fit(built, tmp_path / "late")
    fit(engine(*command), tmp_path / "whole")
    late, whole = lines(tmp_path / "late"), lines(tmp_path / "whole")
    assert [point["step"] for point in late] == [6, 8]
    assert late[-1]["loss/critic"] == whole[-1]["loss/critic"]
    assert np.mean(logs[2:]) == pytest.approx(whole[1]["loss/critic"], rel=1e-6)

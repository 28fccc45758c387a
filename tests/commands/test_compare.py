"""Numbers of several runs side by side: read from files, refused where they are unlike."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweep_files import write_sweep

from gan_runner.commands.compare import main
from gan_runner.runs.comparison import difference, differing, read_runs
from gan_runner.runs.mistaken import not_a_sweep
from gan_runner.training.loop import fit

CARD = {"reference": "held-out", "rows": 64, "seed": 1797}
SCORE = {**CARD, "better": "higher"}
POINTS = (
    {"step": 10, "loss/critic": 5.0, "distance": 0.5, "score": 1.0},
    {"step": 1000, "loss/critic": 4.0, "distance": 0.125, "score": 3.0},
    {"step": 2000, "loss/critic": None, "distance": 0.25, "score": 2.0},
)

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a run directory by hand."""

    def written(
        name: str,
        *,
        points: tuple[dict[str, Any], ...] = POINTS,
        seed: int = 0,
        objective: str = "gan_runner.objectives.losses.hinge",
        rows: int = 64,
        content: str = "one",
        status: str | None = "completed",
        cut: str = "",
    ) -> Path:
        run = tmp_path / name
        run.mkdir(parents=True)
        config = {
            "seed": seed, "model": {"width": 8}, "trainer": {"steps": 2000}, "dataset": {"seed": seed},
            "objective": {"critic_loss": {"_target_": objective, "_partial_": True}},
        }  # fmt: skip
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        cards = {
            "distance": {**CARD, "rows": rows, "content": content},
            "score": SCORE,
            "loss/critic": {"batch": 64},
        }
        (run / "provenance.json").write_text(json.dumps(cards))
        lines = "".join(json.dumps(point) + "\n" for point in points)
        (run / "metrics.jsonl").write_text(lines + cut)
        if status is not None:
            (run / "summary.json").write_text(json.dumps({"status": status}))
        return run

    return written


def compare(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    return shown.err


def test_the_table(make: Make, capsys: pytest.CaptureFixture) -> None:
    """Final and best of each run, one of which was killed while it wrote a line."""
    first = make("first")
    killed = make("killed", seed=1, points=POINTS[:2], status=None, cut='{"step": 2000, "dist')
    without = ({"step": 5, "score": float(2**20)},)
    other = make("other", points=without, status="interrupted")
    lines = compare(capsys, first, killed, other).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "first killed other",
        "completed, 2,000 steps no summary yet, 1,000 steps interrupted, 5 steps",
        "seed 0 1 0",  # dataset.seed says the same
        "",
        " ".join(["final best @ step"] * 3),
        "distance 0.25 0.125 @ 1,000 0.125 0.125 @ 1,000 - -",
        "score 2 3 @ 1,000 3 3 @ 1,000 1.049e+06 1.049e+06 @ 5",
    ]
    columns = [lines[0].index(name) for name in ("first", "killed", "other")]
    assert [lines[2][at] for at in columns] == ["0", "1", "0"]  # each under its name
    assert [line.index("0.125 @") + 5 for line in lines[5:6]] == [lines[6].index("3 @") + 1]


def test_final_and_best_are_those_of_the_summary(engine, tmp_path: Path) -> None:
    rhythm = ("trainer.log_every=2", "trainer.evaluate_every=4", "trainer.steps=9")
    summary = fit(engine(*rhythm, "model.filters=4"), tmp_path / "run")
    (run,) = read_runs([tmp_path / "run"])
    assert run.values.final == summary["final"] and run.values.best == summary["best"]
    assert set(run.provenance) == set(summary["final"])  # every number has a provenance
    assert run.provenance_of("loss/critic")["batch"] == 16
    assert not {"health/state", "speed/steps_per_second"} & run.values.best.keys()
    assert run.values.best["coverage/diversity"]["value"] == max(
        point["coverage/diversity"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        if "coverage/diversity" in (point := json.loads(line))
    )


def test_unlike_numbers_are_refused(make: Make, capsys: pytest.CaptureFixture) -> None:
    first, fewer = make("first"), make("fewer", rows=32)
    message = refused(capsys, first, fewer)
    assert "distance: rows is 64 in first, 32 in fewer;" in message and "--unlike" in message
    assert "score" in compare(capsys, first, fewer, "--tags", "score")  # alike
    lines = compare(capsys, first, fewer, "--unlike").splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(("distance", "score"))] == [
        ["distance", "*"], ["score", "2"],
    ]  # fmt: skip
    assert lines[-1] == "* distance: rows is 64 in first, 32 in fewer"


def test_losses_of_two_objectives_are_unlike(make: Make, capsys: pytest.CaptureFixture) -> None:
    first, other = make("first"), make("other", objective="gan_runner.objectives.losses.lsgan")
    shown = compare(capsys, first, other)
    assert "loss/critic" not in shown
    assert ["objective.critic_loss", "losses.hinge", "losses.lsgan"] in [
        line.split() for line in shown.splitlines()
    ]
    message = refused(capsys, first, other, "--tags", "loss/*")
    assert "loss/critic: objective.critic_loss._target_ is losses.hinge in first" in message
    again = make("again", seed=3)
    final = compare(capsys, first, again, "--tags", "loss/*", "--final").splitlines()[-1]
    assert final.split() == ["loss/critic", *["not", "finite"] * 2]


def test_a_run_without_cards_is_unlike(make: Make, capsys: pytest.CaptureFixture) -> None:
    first, bare = make("first"), make("bare")
    (bare / "provenance.json").unlink()
    message = refused(capsys, first, bare)
    assert "distance: reference is held-out in first, nothing in bare" in message


def test_replicas_stand_for_themselves(make: Make, capsys: pytest.CaptureFixture) -> None:
    pack = make("pack")
    for k in (10, 9, 0):
        make(f"pack/replica_{k}", seed=k)
    first, *_ = compare(capsys, pack).splitlines()
    assert first.split() == ["replica_0", "replica_9", "replica_10"]
    both = compare(capsys, pack, make("alone")).splitlines()[0].split()
    assert both == ["pack/replica_0", "pack/replica_9", "pack/replica_10", "alone"]


def test_every_number_goes_with_its_card(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run, out = make("run"), tmp_path / "out.json"
    table = tmp_path / "out.csv"
    compare(capsys, run, "--tags", "score", "--json", out, "--csv", table)
    assert json.loads(out.read_text()) == [
        {
            "run": str(run),
            "tag": "score",
            "value": value,
            "provenance": {**SCORE, "which": which, "step": step},
        }
        for which, step, value in (("final", 2000, 2.0), ("best", 1000, 3.0))
    ]
    with table.open() as file:
        assert list(csv.reader(file)) == [
            ["run", "tag", "which", "step", "value"],
            [str(run), "score", "final", "2000", "2.0"],
            [str(run), "score", "best", "1000", "3.0"],
        ]
    compare(capsys, run, "--tags", "score", "--json", out, "--best")
    assert [row["provenance"]["which"] for row in json.loads(out.read_text())] == ["best"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "config.yaml").unlink(), "is not a run directory"),
        (lambda run: (run / "config.yaml").write_text("- 1"), "is not the configuration of a run"),
        (lambda run: (run / "provenance.json").write_text("{"), "provenance.json is not JSON"),
        (
            lambda run: (run / "provenance.json").write_text('{"a": 1}'),
            "provenance.json: a is missing or not of type dict",
        ),
        (
            lambda run: (run / "metrics.jsonl").write_text('{"a": 1}\n'),
            "invalid line (expected a JSON object with an integer",
        ),
    ],
)
def test_what_is_no_run_is_refused(
    make: Make, capsys: pytest.CaptureFixture, spoil: Callable[[Path], Any], message: str
) -> None:
    run = make("run")
    spoil(run)
    assert message in refused(capsys, run)


def test_an_exported_generator_is_named(make: Make, capsys: pytest.CaptureFixture) -> None:
    export = make("generator")
    (export / "metrics.jsonl").unlink()
    (export / "generator.safetensors").touch()
    (export / "provenance.json").write_text('{"evaluations": [], "generator": {}}')
    what = "a generator that gan-export wrote, without the run's metrics"
    message = refused(capsys, make("first"), export)
    assert f"{export} is not a run directory: it is {what}" in message
    assert f"it belongs to {what}" in refused(capsys, export / "generator.safetensors")
    assert not_a_sweep(export).endswith(
        f"it is {what}; gan-sample and gan-evaluate read it; name the run"
    )
    assert [run.name for run in read_runs([export.parent])] == ["first"]
    (export / "provenance.json").write_text("{}")
    (export / "checkpoints").mkdir()  # of a run, into which its generator was exported
    assert [run.name for run in read_runs([export.parent])] == ["first", "generator"]


def test_the_files_of_a_sweep_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_sweep(tmp_path / "s")
    (folder / "multirun.yaml").touch()
    (folder / "sweep.csv").touch()
    main([str(folder), "--final"])
    whole = capsys.readouterr().out
    main([*map(str, sorted(folder.iterdir(), reverse=True)), "--final"])
    both = capsys.readouterr()
    assert sorted(both.out.split()) == sorted(whole.split())
    left_out = "sweep.json, sweep.csv, multirun.yaml: not a run; left out"
    assert both.err == f"gan-compare: warning: {left_out} ({folder} is a sweep)\n"
    run = next(folder.glob("*/config.yaml")).parent
    assert "nowhere is not a run directory" in refused(capsys, run, folder / "nowhere")
    assert "it is a file" in refused(capsys, folder / "multirun.yaml")
    (tmp_path / "empty").mkdir()
    assert "it has no config.yaml" in refused(capsys, run, tmp_path / "empty")


def test_a_tag_that_no_run_has(make: Make, capsys: pytest.CaptureFixture) -> None:
    assert "did you mean distance?" in refused(capsys, make("run"), "--tags", "distanc")


def test_differing_keys() -> None:
    configs = [
        {"seed": 0, "dataset.seed": 0, "a.lr": 1, "b.lr": 2, "c._target_": "x.y.Z", "c._partial_": True},
        {"seed": 1, "dataset.seed": 1, "a.lr": 2, "b.lr": 1},
    ]  # fmt: skip
    assert differing(configs) == {
        "seed": ["0", "1"], "a.lr": ["1", "2"], "b.lr": ["2", "1"], "c": ["y.Z", "-"],
    }  # fmt: skip


def test_it_reads_files_only() -> None:
    """torch takes seconds to import."""
    code = "import sys, gan_runner.commands.compare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_other_data_is_named_before_its_rows(make: Make) -> None:
    runs = read_runs([make("a"), make("b", rows=32, content="two")])
    assert difference(runs, "distance") == "the held-out data of a and b differs"

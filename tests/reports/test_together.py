"""The part of a sweep's page that shows its runs together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean, stdev

import pytest
from sweep_files import VALUES, write_run, write_sweep

from gan_runner.commands.report import main as report
from gan_runner.commands.table import main as table
from gan_runner.config.paths import MOVABLE_KEYS
from gan_runner.reports.groups import together
from gan_runner.reports.sweep import content
from gan_runner.runs.seed_statistics import plus_minus

EXACT = "wasserstein/exact"


def test_curves_means_and_bands(tmp_path: Path) -> None:
    page = together(write_sweep(tmp_path), [EXACT, "absent"])
    assert page["groups"] == ["wgan_gp (n = 3)", "ns_gan (n = 3)"] and page["left_out"] == 0
    (chart,) = page["charts"]
    assert chart["tag"] == EXACT and "lower is better" in chart["meaning"]
    for curve, values in zip(chart["curves"], VALUES.values(), strict=True):
        center, error = mean(values.values()), stdev(values.values()) / 3**0.5
        assert curve["steps"] == [10, 20, 30]
        assert curve["mean"] == pytest.approx([center + 2, center + 1, center], rel=1e-3)
        assert curve["high"][-1] == pytest.approx(center + error, rel=1e-3)
        assert curve["low"][-1] == pytest.approx(center - error, rel=1e-3)
    assert chart["floor"] == 1.0  # wasserstein/exact_floor of all runs
    assert together(tmp_path, ["jsd/probe"])["charts"][0]["floor"] is None
    assert page["means"][0][:3] == ["objective", "n", EXACT]
    values = list(VALUES["wgan_gp"].values())
    assert page["means"][1][2] == plus_minus(mean(values), stdev(values) / 3**0.5)
    assert page["scatters"] == []


def test_without_a_metric_there_is_no_table(tmp_path: Path) -> None:
    for path in write_sweep(tmp_path).glob("*/metrics.jsonl"):
        path.write_text('{"step": 10, "loss/critic": 1.0}\n')
    page = together(tmp_path, [EXACT])
    assert page["means"] == [] and page["charts"] == []


def test_values_against_a_parameter(tmp_path: Path) -> None:
    rates = ("1e-4", "0.0077801555769014185", "0.01")
    for number, rate in enumerate(rates):
        run = write_run(tmp_path / f"{number}_a", "gan", 0, float(number), number=number)
        note = json.loads((run / "job.json").read_text())
        (run / "job.json").write_text(json.dumps({**note, "overrides": [f"optimizer.lr={rate}"]}))
    (scatter,) = together(tmp_path, [EXACT])["scatters"]
    assert (scatter["key"], scatter["tag"], scatter["log"]) == ("optimizer.lr", EXACT, True)
    assert [(x, y) for x, y, _ in scatter["points"]] == [
        (float(rate), float(k)) for k, rate in enumerate(rates)
    ]


def search(folder: Path) -> Path:
    """Write three trials of two parameters."""
    for number, (rate, weight) in enumerate([("1e-4", "5"), ("1e-3", "0.1"), ("0.01", "1")]):
        run = write_run(folder / f"{number}_a", "gan", 0, float(number != 1), number=number,
                        settings={"checkpoint_metric": EXACT},
                        versions={"gan_runner": "9", "torch": "8", "git_commit": "0123456789abc"})  # fmt: skip
        note = json.loads((run / "job.json").read_text())
        words = [f"optimizer.lr={rate}", f"objective.weight={weight}"]
        (run / "job.json").write_text(json.dumps({**note, "overrides": words}))
    command = ["optimizer.lr=interval(1e-5,1)", "objective.weight=interval(0.1,9)"]
    (folder / "sweep.json").write_text(json.dumps({"jobs": [], "command": command}))
    return folder


def test_each_parameter_of_a_search_is_shown(tmp_path: Path) -> None:
    """Though one of them alone tells the trials apart."""
    page = together(search(tmp_path), [EXACT])
    keys = {chart["key"]: [x for x, _, _ in chart["points"]] for chart in page["scatters"]}
    assert keys == {"optimizer.lr": [1e-4, 1e-3, 0.01], "objective.weight": [5, 0.1, 1]}
    assert page["groups"][0] == "lr=1e-4 weight=5"


def test_settings_of_all_runs_name_no_place_of_the_machine(tmp_path: Path) -> None:
    places = " ".join(f"{key}=here" for key in MOVABLE_KEYS)
    lines = [f"{job},dataset=mnist {places},completed" for job in "ab"]
    (tmp_path / "sweep.csv").write_text("\n".join(["job,overrides,status", *lines, ""]))
    assert content(tmp_path)["facts"] == [("all with", "dataset=mnist")]


def test_a_search_is_sorted_by_its_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(tmp_path)
    table([str(tmp_path)])  # writes what the page reads
    capsys.readouterr()
    page = content(tmp_path)
    assert page["facts"][-1] == ("software", "gan_runner 9 (0123456789ab), torch 8")
    assert page["order"] == [f"final {EXACT}", False]
    columns = {column["key"]: column for column in page["columns"]}
    assert f"final {EXACT}" in columns and not any("_floor" in key for key in columns)
    assert columns["optimizer.lr"]["filter"] is False  # each value is that of one trial
    assert "rewards blur" in columns[f"final {EXACT}"]["meaning"]
    assert content(write_sweep(tmp_path / "grid"))["order"] == ["place", False]


def test_runs_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep")
    broken, *_ = sorted(folder.glob("ns_gan*"))
    (broken / "config.yaml").write_text("- 1")
    outside = write_run(tmp_path / "outside", "secret_gan", 0, 1.0)
    (folder / "link_00000009").symlink_to(outside)
    page = together(folder, [EXACT])
    assert page["groups"] == ["wgan_gp (n = 3)", "ns_gan (n = 2)"]


def test_the_page_holds_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path)
    report([str(folder)])
    text = (folder / "report.html").read_text()
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text)
    assert found
    data = json.loads(found[1])
    assert [chart["tag"] for chart in data["charts"]] == [EXACT, "jsd/probe"]
    assert "Means over seeds" in text and "Curves together" in text and "means" not in data

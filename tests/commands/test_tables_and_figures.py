"""gan-table, gan-compare and gan-plot over seeds, from files alone."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_rel
from sweep_files import VALUES, write_run, write_sweep

from gan_runner.commands.compare import main as compare
from gan_runner.commands.plot import main as plot
from gan_runner.commands.table import main as table
from gan_runner.plots.seed_curves import band_curve, draw
from gan_runner.runs.groups import grouped
from gan_runner.runs.rows import read_records
from gan_runner.runs.seed_statistics import plus_minus

EXACT = "wasserstein/exact"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep")


def words(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def shown(objective: str, shift: float = 0.0) -> list[str]:
    """The cells of a group: mean and standard error, best, worst, computed anew."""
    values = [value + shift for value in VALUES[objective].values()]
    center = plus_minus(mean(values), stdev(values) / len(values) ** 0.5)
    return [center, f"{min(values):.4g}", f"{max(values):.4g}"]


def test_a_table_has_means_below_it(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without options, where each group has several seeds."""
    table([str(sweep)])
    lines = words(capsys.readouterr().out)
    assert (
        lines[0][:4] == ["objective", "seed", "status", "steps"]
        and "6 jobs: 6 completed" in lines[7]
    )
    assert lines[8] == [f"{EXACT} is between pixels, which rewards blur"]
    head = lines.index(["objective", "n", EXACT, "best", "worst", "jsd/probe", "best", "worst"])
    assert [line[:5] for line in lines[head + 1 : head + 3]] == [
        [objective, "3", *shown(objective)] for objective in VALUES
    ]
    assert lines[head + 1][5] == "0.25 (n = 2)"  # one seed has no finite value
    with (sweep / "seeds.csv").open() as file:
        rows = {row["objective"]: row for row in csv.DictReader(file)}
    for objective, values in VALUES.items():
        assert float(rows[objective][f"{EXACT} mean"]) == pytest.approx(mean(values.values()))
        error = stdev(values.values()) / 3**0.5
        assert float(rows[objective][f"{EXACT} standard error"]) == pytest.approx(error)
        assert rows[objective][f"{EXACT} n"] == "3"
        assert float(rows[objective][f"{EXACT} worst"]) == max(values.values())
    assert f"| wgan_gp | 3 | {shown('wgan_gp')[0]} |" in (sweep / "sweep.md").read_text()


def test_the_data_set_is_shown_even_where_the_objective_implies_it(tmp_path: Path) -> None:
    for objective, dataset in (("wgan_gp", "digits"), ("ns_gan", "mnist")):
        config = write_run(tmp_path / objective, objective, 0, 1.0) / "config.yaml"
        config.write_text(config.read_text().replace("digits", dataset))
        note = config.with_name("job.json")
        note.write_text(note.read_text().replace("dataset=digits", f"dataset={dataset}"))
    groups = grouped(read_records(tmp_path))
    assert {group.settings["dataset"] for group in groups} == {"digits", "mnist"}


def test_chosen_tags_at_a_budget(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table([str(sweep), "--tags", EXACT, "--over", "seed", "--at", "step=20"])
    out = words(capsys.readouterr().out)
    assert out[0] == ["objective", "n", EXACT, "best", "worst"]
    assert out[1:3] == [[name, "3", *shown(name, shift=1.0)] for name in VALUES]
    table([str(sweep), "--tags", EXACT, "--at", "critic_updates=100"])
    both = capsys.readouterr()
    assert words(both.out)[1:3] == [
        ["wgan_gp", "3", *shown("wgan_gp", shift=1.0)], ["ns_gan", "0 of 3", "-", "-", "-"],
    ]  # fmt: skip
    assert "3 of 6 runs end before critic_updates=100 and are left out: ns_gan" in both.err


def test_a_tag_that_begins_later_is_named(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One metric has a value at the budget, the other one only at the end of the runs."""
    for path in sweep.glob("*/metrics.jsonl"):
        *points, last = [json.loads(line) for line in path.read_text().splitlines()]
        lines = [{k: v for k, v in point.items() if k != "jsd/probe"} for point in points]
        path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, last]))
    for command, name in ((table, "gan-table"), (compare, "gan-compare")):
        both = [str(sweep), "--tags", f"{EXACT},jsd/probe", "--over", "seed", "--at", "step=20"]
        command(both)
        assert capsys.readouterr().err == (
            f"{name}: warning: jsd/probe has no value yet at step=20; the first is at step 30\n"
        )
        with pytest.raises(SystemExit, match="2"):
            command([*both[:2], "jsd/probe", *both[3:]])
        message = "--at step=20: no value yet; the first, of jsd/probe, is at step 30"
        assert capsys.readouterr().err == f"{name}: {message}\n"


def test_latex_is_balanced_and_escaped(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table([str(sweep), "--tags", "jsd/probe,wasserstein/exact*", "--over", "seed", "--latex"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [
        r"\begin{tabular}{lrrrr}", r"\toprule",
        r"objective & $n$ & jsd/probe $\downarrow$ & wasserstein/exact $\downarrow$"
        r" & wasserstein/exact\_floor \\",
    ]  # fmt: skip
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    body = lines[5:-2]
    assert [line.split(" & ")[0] for line in body] == [r"wgan\_gp", r"ns\_gan"]
    best = rf"$\mathbf{{{shown('ns_gan')[0]}}}$".replace("\u00b1", r"\pm")
    assert body[1].split(" & ")[3] == best and r"\mathbf" not in body[0]
    for line in lines[3:-2]:
        bare = line.replace(r"\_", "")
        assert "_" not in bare and bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
        assert line.startswith("\\") or line.count(" & ") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tags", "nothing"], "--tags nothing: not logged by any of these runs; choose from:"),
        (["--over", "seeds"], "--over seeds: not a setting of these runs"),
        (["--at", "step=31"], "--at step=31: every run ends before; the longest reaches step 30\n"),
        (["--at", "step=9"], f"--at step=9: no value yet; the first, of {EXACT}, is at step 10\n"),
        (
            ["--at", "critic_updates=151"],
            "critic_updates=151: every run ends before; the longest reaches 150 critic updates\n",
        ),
        (
            ["--at", "seconds=60"],
            "--at seconds=60: every run ends before; the longest reaches 7.5 s of training; the"
            " seconds of a sweep's table also count metrics and plots\n",
        ),
        (
            ["--at", "seconds=2"],
            f"--at seconds=2: no value yet; the first, of {EXACT}, is at 2.5 s of training\n",
        ),
        (
            ["--at", "steps=31"],
            "steps=31: should be step=N, critic_updates=N, seconds=N with N above 0",
        ),
        (["--at", "step=-1"], "step=-1: should be step=N"),
        (["--at", "step=x"], "step=x: should be step=N"),
    ],
)
def test_wrong_options(
    sweep: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        table([str(sweep), *arguments])
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_groups_are_compared_seed_by_seed(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    compare([str(sweep), "--tags", EXACT, "--over", "seed", "--json", str(out)])
    lines = words(capsys.readouterr().out)
    first, second = (list(values.values()) for values in VALUES.values())
    p = ttest_rel(second, first).pvalue
    gap = mean(second) - mean(first)
    assert lines[0] == ["wgan_gp (n = 3)", "ns_gan (n = 3)", "ns_gan - wgan_gp", "p"]
    assert lines[1] == [
        f"{EXACT} \u2193", shown("wgan_gp")[0], shown("ns_gan")[0], f"{gap:+.3g}", f"{p:.2g}",
    ]  # fmt: skip
    assert lines[-1] == ["p: Student's paired t-test, two-sided, on 3 common values of seed"]
    rows = json.loads(out.read_text())
    assert rows[1]["p_value"] == pytest.approx(p) and rows[1]["pairs"] == 3
    assert rows[0]["mean"] == pytest.approx(mean(first)) and rows[0]["p_value"] is None


def write_architectures(folder: Path) -> Path:
    """Write a sweep over the seed of the model, of two objectives; the seed is 0 in all runs."""
    runs = [(o, drawn) for drawn in (0, 1) for o in VALUES]
    for number, (objective, drawn) in enumerate(runs):
        value = VALUES[objective][drawn]
        run = write_run(folder / f"{number}_a", objective, 0, value, number=number)
        note = json.loads((run / "job.json").read_text())
        note["overrides"] = [f"objective={objective}", f"model.seed={drawn}"]
        (run / "job.json").write_text(json.dumps(note))
    return folder


def test_another_seed_than_the_runs_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_architectures(tmp_path / "sweep")
    compare([str(folder), "--tags", EXACT, "--over", "seed"])
    head, line, _, note = words(capsys.readouterr().out)
    assert head == [f"{o} model.seed={k} (n = 1)" for k in (0, 1) for o in VALUES]
    assert line == [f"{EXACT} \u2193", *(f"{VALUES[o][k]:.4g}" for k in (0, 1) for o in VALUES)]
    advice = (
        "every group has one run: objective, model.seed vary;"
        " pass --over model.seed to average over it"
    )
    assert note == [advice]
    table([str(folder), "--tags", EXACT, "--over", "seed"])
    assert capsys.readouterr().out.splitlines()[-1] == advice
    plot([str(folder), "--tags", EXACT, "--out", str(tmp_path / "a.svg")])
    assert capsys.readouterr().out.splitlines()[-1] == advice
    assert "wgan_gp model.seed=1" in (tmp_path / "a.svg").read_text()
    compare([str(folder), "--tags", EXACT, "--over", "model.seed"])
    gap = mean(VALUES["ns_gan"][k] - VALUES["wgan_gp"][k] for k in (0, 1))
    lines = words(capsys.readouterr().out)
    assert lines[0] == ["wgan_gp (n = 2)", "ns_gan (n = 2)", "ns_gan - wgan_gp", "p"]
    assert lines[1][3] == f"{gap:+.3g}"


def test_groups_are_not_compared_by_health_and_shares(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sweep.glob("*/metrics.jsonl"):
        points = [json.loads(line) for line in path.read_text().splitlines()]
        more = {"health/state": 2.0, "images/class_share_3": 0.0, "jsd/probe_se": 0.125}
        path.write_text("".join(json.dumps(point | more) + "\n" for point in points))
    compare([str(sweep), "--over", "seed"])
    lines = words(capsys.readouterr().out)
    tags = [line[0] for line in lines[1:] if len(line) == 5]
    assert tags == ["jsd/probe \u2193", f"{EXACT} \u2193", "wasserstein/exact_floor"]
    equal = dict.fromkeys(("jsd/probe \u2193", "wasserstein/exact_floor"))
    rows = {line[0]: line[1:] for line in lines if line[0] in equal}
    assert rows["jsd/probe \u2193"] == ["0.25", "0.25", "0", "-"]
    assert rows["wasserstein/exact_floor"] == ["1", "1", "0", "-"]
    compare([str(sweep), "--over", "seed", "--tags", "health/*"])
    assert words(capsys.readouterr().out)[1] == ["health/state \u2193", "2", "2", "0", "-"]


def test_without_a_metric_there_are_no_means(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sweep.glob("*/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({"step": s, "loss/critic": 1.0}) + "\n" for s in steps))
    table([str(sweep)])
    assert "\u00b1" not in capsys.readouterr().out and not (sweep / "seeds.csv").exists()
    assert "standard error" not in (sweep / "sweep.md").read_text()
    for command in (table, plot):
        with pytest.raises(SystemExit, match="2"):
            command(
                [
                    str(sweep),
                    "--over",
                    "seed",
                    *(["--out", str(tmp_path / "a.pdf")] * (command is plot)),
                ]
            )
        message = (
            "--tags: missing; these runs log none of the default tags; choose from: loss/critic"
        )
        assert capsys.readouterr().err.endswith(f": {message}\n")


def test_columns_are_labelled_by_what_differs(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare([str(sweep), "--tags", EXACT, "--final"])
    lines = capsys.readouterr().out.splitlines()
    assert words(lines[0])[0][:3] == ["wgan_gp seed=0", "wgan_gp seed=1", "wgan_gp seed=2"]
    assert lines[-1].startswith("ns_gan seed=2: ns_gan_seed-2_")
    assert max(map(len, lines)) < 180


@pytest.mark.parametrize("ending", ["pdf", "png", "svg"])
def test_a_figure_of_curves_with_bands(
    sweep: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"figure.{ending}"
    plot([str(sweep), "--tags", "wasserstein/exact,jsd/probe", "--over", "seed", "--out", str(out)])
    assert capsys.readouterr().out == f"figure in {out}\n"
    content = out.read_bytes()
    assert content.startswith({"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}[ending])
    if ending == "svg":
        assert all(text in content.decode() for text in ("wgan_gp (n = 3)", "real data", EXACT))
    if ending == "png":
        pixels = np.asarray(Image.open(out).convert("RGB")).reshape(-1, 3)
        for colour in ((0, 114, 178), (213, 94, 0)):  # one line for each group
            assert (np.abs(pixels - colour).max(axis=1) < 3).sum() > 200


def test_a_curve_of_one_point_is_visible(sweep: Path, tmp_path: Path) -> None:
    for path in sweep.glob("*/metrics.jsonl"):
        path.write_text(path.read_text().splitlines()[-1] + "\n")
    out = tmp_path / "figure.png"
    plot([str(sweep), "--tags", EXACT, "--over", "seed", "--out", str(out)])
    pixels = np.asarray(Image.open(out).convert("RGB"))
    inside = pixels[: pixels.shape[0] * 2 // 3].reshape(-1, 3)  # without the legend
    for colour in ((0, 114, 178), (213, 94, 0)):
        assert (np.abs(inside - colour).max(axis=1) < 3).sum() > 100


def test_panels_share_their_steps(sweep: Path) -> None:
    """One tag has a single value at step 30, equal in both groups; the others begin at 10."""
    records = read_records(sweep)
    for run in records:
        for point in run.points[:-1]:
            point.pop("jsd/probe")
    first, second = draw(grouped(records), [EXACT, "jsd/probe"]).axes
    assert first.get_xlim() == second.get_xlim() == pytest.approx((9.2, 30.8))
    for axes in (first, second):
        assert all(tick == int(tick) for tick in axes.get_xticks())
    lines = second.get_lines()[:2]
    places = [line.get_transform().transform(line.get_xydata())[0] for line in lines]
    assert places[0][1] == places[1][1]  # 0.25 in both
    assert places[1][0] - places[0][0] == pytest.approx(8 / 72 * 100, rel=1e-3)  # 8 points
    assert {line.get_marker() for line in lines} == {"o", "s"}
    alone = draw(grouped(records), ["jsd/probe"]).axes[0]
    assert alone.get_xlim() == (0, 60)


def test_curves_of_equal_values_are_both_seen(sweep: Path) -> None:
    records = read_records(sweep)
    for run in records:
        run.points[:] = [{"step": k, "modes/found": 0.0} for k in range(1, 30)]
    (axes,) = draw(grouped(records), ["modes/found"]).axes
    solid, dashed = axes.get_lines()
    assert solid.get_linestyle() == "-" and dashed.get_linestyle() == "--"
    assert axes.get_ylim() == (0, 1)


def test_values_of_zero_on_a_logarithmic_axis(sweep: Path) -> None:
    records = read_records(sweep)
    for run in records:
        for point in run.points:
            point["modes/found"] = 0.0
    first, second = draw(grouped(records), ["modes/found", EXACT], log_scale=True).axes
    assert (first.get_yscale(), second.get_yscale()) == ("linear", "log")
    assert first.get_ylim() == (0, 1)


def test_single_points_at_other_seconds_are_one_point(sweep: Path) -> None:
    """Runs of one group differ in speed: 2.5, 5 and 7.5 s at the same step."""
    group = grouped(read_records(sweep))[0]
    for k, run in enumerate(group.runs):
        run.points[:] = [{"step": 10, EXACT: float(k), "speed/steps_per_second": 4 / (k + 1)}]
    curve = band_curve(group, EXACT, unit="seconds", band="range")
    assert curve is not None and curve.x.tolist() == pytest.approx([5.0])
    assert (curve.low[0], curve.mean[0], curve.high[0]) == (0, 1, 2)


def test_a_single_run_has_its_name_in_the_legend(sweep: Path) -> None:
    run = next(sweep.glob("wgan_gp_seed-0*"))
    (group,) = grouped(read_records(run))
    assert group.label == run.name
    (legend,) = draw([group], [EXACT]).legends
    assert [text.get_text() for text in legend.get_texts()] == [run.name, "real data"]


def test_a_band_is_one_standard_error(sweep: Path) -> None:
    group = grouped(read_records(sweep))[0]
    values = np.array(list(VALUES["wgan_gp"].values()))
    error = values.std(ddof=1) / 3**0.5
    curve = band_curve(group, EXACT)
    assert curve is not None and curve.x.tolist() == [10, 20, 30]
    np.testing.assert_allclose(curve.mean, values.mean() + np.array([2, 1, 0]))
    np.testing.assert_allclose(curve.high - curve.mean, error)
    wide = band_curve(group, EXACT, unit="critic_updates", band="range")
    assert wide is not None and wide.x.tolist() == [50, 100, 150]
    assert (wide.low[-1], wide.high[-1]) == (values.min(), values.max())
    assert band_curve(group, "absent") is None


def test_curves_of_other_steps_are_interpolated(sweep: Path) -> None:
    group = grouped(read_records(sweep))[0]
    run = group.runs[0]
    object.__setattr__(run, "points", [{"step": s, EXACT: float(s)} for s in (0, 16, 24)])
    object.__setattr__(group, "runs", [run, group.runs[1]])
    curve = band_curve(group, EXACT)
    assert curve is not None and curve.x.tolist() == [10, 16, 20, 24]
    other = np.interp(curve.x, [10, 20, 30], [4.25, 3.25, 2.25])
    np.testing.assert_allclose(curve.mean, (curve.x + other) / 2)


def test_a_figure_that_cannot_be_written(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, out in ((sweep, "a.txt"), (tmp_path / "empty", "a.pdf")):
        with pytest.raises(SystemExit, match="2"):
            plot([str(folder), "--out", str(tmp_path / out)])
        assert capsys.readouterr().err.count("\n") == 1
        assert not (tmp_path / out).exists()


@pytest.mark.parametrize("module", ["table", "compare", "plot"])
def test_help_imports_nothing_slow(module: str) -> None:
    slow = ("torch", "matplotlib", "scipy", "numpy", "hydra")
    code = (
        f"import sys; from gan_runner.commands.{module} import _parser; _parser().format_help();"
        f" print([m for m in {slow} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Runs as rows, and groups of runs: means, standard errors, paired tests, budgets."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import pytest
from scipy.stats import ttest_rel
from sweep_files import SPEED, VALUES, write_run, write_sweep

import gan_runner
from gan_runner.runs.groups import grouped, label_of, labels, varied
from gan_runner.runs.rows import Budget, read_record, read_records
from gan_runner.runs.seed_statistics import PairedTest, paired_test, plus_minus, spread
from gan_runner.runs.short_names import short_names

EXACT = "wasserstein/exact"


def test_read_gives_a_row_per_run(tmp_path: Path) -> None:
    rows = gan_runner.read(write_sweep(tmp_path))
    assert [(row["objective"], row["seed"]) for row in rows] == [
        (objective, seed) for objective in VALUES for seed in (0, 1, 2)
    ]
    assert {(row["objective"], row["seed"]): row[EXACT] for row in rows} == {
        (objective, seed): value
        for objective, by_seed in VALUES.items()
        for seed, value in by_seed.items()
    }
    first = rows[0]
    assert (first["status"], first["step"], first["seconds"], first["trainer.steps"]) == (
        "completed", 30, 9.0, 30,
    )  # fmt: skip
    assert rows[2]["jsd/probe"] is None  # it was not finite


def test_read_gives_a_row_per_point(tmp_path: Path) -> None:
    rows = gan_runner.read(write_sweep(tmp_path), every_point=True)
    assert len(rows) == 6 * 3
    assert [(row["step"], row["seconds"]) for row in rows[:3]] == [
        (10, 10 / SPEED), (20, 20 / SPEED), (30, 30 / SPEED),
    ]  # fmt: skip
    (only,) = {row["run"] for row in gan_runner.read(tmp_path / rows[0]["run"])}
    assert only == rows[0]["run"]


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"is not a run or a folder of runs \(it has no config.yaml\)$"
    ):
        gan_runner.read(tmp_path)


def test_a_budget_takes_the_value_at_or_before(tmp_path: Path) -> None:
    run = read_record(write_run(tmp_path / "a", "wgan_gp", 0, 1.0), tmp_path)
    at = {
        Budget("step", 20): 2.0, Budget("step", 29): 2.0, Budget("step", 30): 1.0,
        Budget("critic_updates", 50): 3.0, Budget("critic_updates", 149): 2.0,  # 5 a step
        Budget("seconds", 2.5): 3.0, Budget("seconds", 7.4): 2.0, Budget("seconds", 7.5): 1.0,
    }  # fmt: skip
    assert {budget: run.values(budget)[EXACT] for budget in at} == at
    assert run.values(Budget("step", 31)) == run.values(Budget("seconds", 8)) == {}


def test_groups_are_what_differs_but_for_the_seed(tmp_path: Path) -> None:
    records = read_records(write_sweep(tmp_path))
    assert varied(records) == ["objective", "seed"]
    groups = grouped(records)
    assert [(group.label, len(group.runs)) for group in groups] == [("wgan_gp", 3), ("ns_gan", 3)]
    for group in groups:
        values = list(VALUES[group.label].values())
        s = group.spread(EXACT)
        assert s is not None
        assert s.mean == pytest.approx(mean(values))
        assert s.standard_error == pytest.approx(stdev(values) / 3**0.5)
        assert (s.n, s.best, s.worst) == (3, min(values), max(values))
    assert groups[0].spread("jsd/probe").n == 2  # the third seed has no finite value
    assert [group.label for group in grouped(records, "objective")] == [
        "seed=0",
        "seed=1",
        "seed=2",
    ]
    with pytest.raises(
        ValueError, match="--over sed: not a setting of these runs; choose one of: "
    ):
        grouped(records, "sed")


def test_an_option_that_follows_from_another_is_no_group(tmp_path: Path) -> None:
    """An objective's card brings its optimizer."""
    for number, (objective, optimizer) in enumerate((("wgan", "rmsprop"), ("gan", "adam"))):
        run = write_run(tmp_path / objective, objective, 0, 1.0, number=number)
        config = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(
            config.replace("choices:\n", f"choices:\n  optimizer: {optimizer}\n")
        )
    assert varied(read_records(tmp_path)) == ["objective"]


def test_a_lost_run_does_not_enter_the_mean(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "gan", 0, 1.0)
    write_run(tmp_path / "b", "gan", 1, 99.0, number=1, status="diverged")
    (group,) = grouped(read_records(tmp_path))
    assert group.by_key(EXACT) == {"0": 1.0}


def test_best_and_worst_follow_the_direction() -> None:
    assert (spread([1.0, 3.0], "higher").best, spread([1.0, 3.0], "lower").best) == (3.0, 1.0)
    assert (spread([1.0, 3.0], "neither").best, spread([2.0], "lower").standard_error) == (
        None,
        None,
    )
    assert spread([], "lower") is None


def test_the_paired_test_is_scipys() -> None:
    first, second = VALUES["wgan_gp"], VALUES["ns_gan"]
    own = paired_test(
        {str(k): v for k, v in first.items()}, {str(k): v for k, v in reversed(second.items())}
    )
    expected = ttest_rel([second[k] for k in first], list(first.values()))
    assert own is not None and own.n == 3
    assert own.p_value == pytest.approx(expected.pvalue)
    assert own.difference == pytest.approx(mean(second[k] - first[k] for k in first))
    assert paired_test({"0": 1.0, "1": 2.0}, {"1": 2.0, "2": 0.0}) is None  # one pair


def test_equal_differences_have_no_p_value() -> None:
    """The t statistic is 0/0 or infinite, also where the differences vary by rounding alone."""
    first = {"0": 0.1, "1": 0.2, "2": 0.4}
    assert paired_test(first, dict(first)) == PairedTest(3, 0.0, None)
    shifted = paired_test(first, {key: value + 0.7 for key, value in first.items()})
    assert len({(value + 0.7) - value for value in first.values()}) > 1  # by rounding
    assert shifted is not None and shifted.p_value is None
    assert shifted.difference == pytest.approx(0.7)
    rounded = paired_test({"0": 0.3, "1": 0.4}, {"0": 0.1 + 0.2, "1": 0.4})
    assert rounded == PairedTest(2, 0.0, None)


def test_equal_values_have_no_spurious_error() -> None:
    values = [0.1 + 0.2, 0.3, 0.3]  # the first is 0.30000000000000004
    assert spread(values, "lower").standard_error == 0.0 and str(spread(values, "lower")) == "0.3"
    assert str(spread([2.0, 2.0], "lower")) == "2" and str(spread([0.0, 0.0], "lower")) == "0"
    assert str(spread([0.0, 1e-9], "lower")) == "5e-10 \u00b1 5e-10"  # small, but not rounding
    assert plus_minus(0.6911, 4.6e-18) == "0.6911"


def test_numbers_as_shown() -> None:
    assert plus_minus(30.912, 2.345) == "30.9 \u00b1 2.3"
    assert plus_minus(1234.5, 98.7) == "1234 \u00b1 99"
    assert plus_minus(0.69299981, 1.7e-6) == "0.6929998 \u00b1 0.0000017"
    assert plus_minus(0.53, 0.0146) == "0.530 \u00b1 0.015"
    assert plus_minus(2.5, None) == "2.5" and plus_minus(2.5, 0.0) == "2.5"
    assert label_of({"model.seed": "null", "objective": "gan"}) == "model.seed=null gan"
    rates = ["optimizer.critic.lr", "optimizer.generator.lr"]  # one of them varies
    assert label_of({rates[0]: "0.1"}, rates) == "critic.lr=0.1"
    assert label_of({rates[0]: "0.1"}) == "lr=0.1"
    assert label_of({"objective": "gan", "seed": 1, "optimizer.lr": "0.0077801555769014185"}) == (
        "gan seed=1 lr=0.00778"
    )


def test_keys_are_shown_by_their_ends() -> None:
    keys = ["optimizer.critic.lr", "optimizer.generator.lr", "trainer.steps", "objective", "steps"]
    assert list(short_names(keys).values()) == [
        "critic.lr", "generator.lr", "trainer.steps", "objective", "steps",
    ]  # fmt: skip


def test_labels_are_settings_or_names(tmp_path: Path) -> None:
    records = read_records(write_sweep(tmp_path))
    assert labels(records)[:2] == ["wgan_gp seed=0", "wgan_gp seed=1"]
    assert labels([records[0], records[0]]) == [records[0].name] * 2  # nothing tells them apart


def test_reading_does_not_import_torch() -> None:
    code = "import sys, gan_runner; gan_runner.read; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_short_names_by_their_definition() -> None:
    choose = random.Random(0)
    for _ in range(200):
        keys = {".".join(choose.choices("ab", k=choose.randint(1, 4))) for _ in range(6)}
        ends = [k.split(".")[-n:] for k in keys for n in range(1, len(k.split(".")) + 1)]
        for key, name in short_names(sorted(keys)).items():
            words, short = key.split("."), name.split(".")
            assert words[-len(short) :] == short
            assert name == key or ends.count(short) == 1
            assert len(short) == 1 or ends.count(short[1:]) > 1


def test_long_keys_and_many_overrides_of_a_stored_run_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", "wgan_gp", 0, 1.0)
    (folder / "job.json").unlink()
    for typed, problem in (
        ([f"{'a.' * 30_000}a=1"], "has a key of more than 200 characters"),
        ([f"a{k}=1" for k in range(2_000)], "has more than 1,000 overrides"),
    ):
        (folder / "command.json").write_text(json.dumps({"overrides": typed}))
        with pytest.raises(ValueError, match=problem) as error:
            read_records(folder)
        assert len(str(error.value)) < 300


def test_values_whose_squares_or_sums_are_no_floats_have_no_error() -> None:
    assert spread([1e308, -1e308], "lower").mean == 0
    assert spread([1e308, 1e308, 1e308], "lower").mean == pytest.approx(1e308)
    assert spread([1e308, -1e308], "lower").standard_error is None
    assert paired_test({"0": 1e308, "1": 1e308}, {"0": -1e308, "1": -1e308}) is None

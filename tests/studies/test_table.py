"""The table of the robustness study, against the paper's own outcome and published intervals."""

from __future__ import annotations

import csv
import json
from math import inf
from pathlib import Path

import pytest

from gan_runner.commands.table import main as table_main
from gan_runner.studies import table
from gan_runner.studies.paired_statistics import PUBLISHED, Outcome, mcnemar, newcombe, outcome
from gan_runner.studies.study_files import read

Counts = tuple[int, int, int, int]
FIXTURE = Path(__file__).with_name("published.csv")


def published() -> dict[float, Counts]:
    with FIXTURE.open() as file:
        rows = [[float(cell) for cell in line] for line in list(csv.reader(file))[1:]]
    return {row[0]: (int(row[1]), int(row[2]), int(row[3]), int(row[4])) for row in rows}


def scores_of_the_paper() -> list[tuple[float, float]]:
    """200 pairs of scores with the paper's outcome at all of its thresholds.

    Each pair starts as both, only WGAN-GP, ... and from a threshold to the next some drop out, so
    few as the table allows. A score that no longer succeeds at t is t itself: success is strict.
    """
    rows = list(published().items())
    top = rows[-1][0] + 0.5
    _, (only_gan, only_wgan, both, neither) = rows[0]
    alive = {"g": [[top, 1.0] for _ in range(only_gan)], "b": [[top, top] for _ in range(both)]}
    alive["w"] = [[1.0, top] for _ in range(only_wgan)]
    pairs = [*alive["g"], *alive["w"], *alive["b"]]
    pairs += [[1.0, 1.0] for _ in range(neither)]
    for t, (only_gan, only_wgan, both, _) in rows[1:]:
        leaving = [alive["b"].pop() for _ in range(len(alive["b"]) - both)]
        for kind, loser, wanted in (("g", 1, only_gan), ("w", 0, only_wgan)):
            while len(alive[kind]) > wanted:
                pair = alive[kind].pop()
                pair[1 - loser] = t
            while len(alive[kind]) < wanted:
                alive[kind].append(leaving.pop())
                alive[kind][-1][loser] = t
        for pair in leaving:
            pair[:] = [t, t]
    return [(first, second) for first, second in pairs]


def write_study(
    folder: Path, scores: list[tuple[float | str, float | str]], **facts: object
) -> Path:
    facts = {"dataset": "d", "score": "s", "score_of": "raw, final", **facts}
    (folder / "study.json").write_text(json.dumps(facts))
    lines = ["architecture,objective,status,score"]
    for number, pair in enumerate(scores):
        for objective, score in zip(("ns_gan", "wgan_gp"), pair, strict=True):
            status, value = (score, "") if isinstance(score, str) else ("completed", score)
            lines.append(f"{number},{objective},{status},{value}")
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_the_table_command_reproduces_the_published_table_and_its_totals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path, scores_of_the_paper())
    monkeypatch.setattr("sys.argv", ["gan-table", str(study)])
    table_main()
    printed = capsys.readouterr().out
    assert "\n8.5  " in printed and "\n9.0  " not in printed  # nobody succeeds there
    written = (study / "table.md").read_text().partition("## Absolute")[2].splitlines()
    lines = [cells(line) for line in written if line.startswith("| ")][2:]  # below head and rule
    assert len(lines) == 17
    for line, (threshold, counts) in zip(lines, published().items(), strict=True):
        totals = (counts[0] + counts[2], counts[1] + counts[2])
        assert line[0] == f"{threshold:.1f}"
        assert line[1:7] == [str(n) for n in (*counts, *totals)]
        assert line[9] == line[0]
        assert line[10:16] == line[1:7]  # the paper's own row, beside it
    by_hand = {1.0: (192, 200), 5.0: (42, 189), 7.0: (6, 109), 9.0: (0, 0)}
    rows = {row.threshold: row.counts for row in table.sections(read(study))[0].rows}
    assert {t: (rows[t].first, rows[t].second) for t in by_hand} == by_hand
    assert {row.pairs for row in rows.values()} == {200}


def test_the_published_rows_in_the_package_are_the_fixture() -> None:
    assert {t: Outcome(*counts) for t, counts in published().items()} == PUBLISHED


def test_success_is_strictly_above() -> None:
    assert outcome([(5.0, 5.1)], 5.0) == Outcome(0, 1, 0, 0)
    assert outcome([(-inf, 1.0), (6.0, -inf)], -1e9) == Outcome(1, 1, 0, 0)
    assert outcome([(1 + 7e-14, 1 - 3e-16), (1.01, 1.0)], 1.0) == Outcome(1, 0, 0, 1)


def test_mcnemar_by_hand() -> None:
    # mid-p counts half of the observed split: of 105 discordant pairs 1 is the GAN's
    assert mcnemar(1, 104) == pytest.approx((2 + 105) / 2**105, rel=1e-9)
    assert mcnemar(12, 2) == pytest.approx((2 + 2 * 14 + 91) / 2**14)
    assert mcnemar(0, 5) == pytest.approx(1 / 32) == pytest.approx(0.031, abs=5e-4)
    assert mcnemar(0, 7) == pytest.approx(0.0078, abs=5e-5)
    assert mcnemar(2, 10) == pytest.approx(0.022, abs=5e-4)
    assert mcnemar(3, 3) == pytest.approx(1 - 20 / 64 / 2) and mcnemar(0, 0) == 1.0
    # Fagerland, Lydersen and Laake 2013 (BMC Medical Research Methodology 13:91), table 6
    assert mcnemar(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar(6, 16) == pytest.approx(0.0347, abs=5e-5)


# Newcombe 1998, table III, method 10, of p1 - p2: both, only the first, only the second, neither.
NEWCOMBE = [
    ((36, 12, 2, 0), (0.0569, 0.3404)),
    ((20, 12, 2, 16), (0.0562, 0.3292)),
    ((35, 14, 0, 1), (0.1461, 0.4175)),
    ((1, 97, 1, 1), (0.8736, 0.9850)),
    ((0, 30, 0, 0), (0.8395, 1.0)),
    ((54, 0, 0, 0), (-0.0664, 0.0664)),
    ((53, 0, 0, 1), (-0.0729, 0.0729)),
    ((27, 0, 0, 27), (-0.0351, 0.0351)),
]


@pytest.mark.parametrize(("four", "interval"), NEWCOMBE)
def test_the_interval_is_newcombes(four: Counts, interval: tuple[float, float]) -> None:
    both, only_p1, only_p2, neither = four
    found = newcombe(Outcome(only_p2, only_p1, both, neither))  # our p1 is the second objective's
    assert found == pytest.approx(interval, abs=1e-4)  # one unit of the last published digit


def test_the_interval_of_negatively_correlated_pairs() -> None:
    # Fagerland, Lydersen and Laake 2014 (Statistics in Medicine 33), airway hyper-responsiveness
    assert newcombe(Outcome(7, 1, 1, 12)) == pytest.approx((-0.507, -0.026), abs=6e-4)


def test_relative_thresholds(tmp_path: Path) -> None:
    scores = [(4.0, 6.0), (5.0, 5.0), (5.01, 9.0), (9.0, 9.0)]
    baseline = {"gan": 10.0, "wgan_gp": 8.0}  # of mean 9
    study = read(write_study(tmp_path, scores, real=10.0, baseline=baseline))
    absolute, to_baseline, to_real = table.sections(study)
    half = to_baseline.rows[0]
    assert half.threshold == 1 + 0.5 * (9 - 1)
    assert half.counts == Outcome(0, 1, 2, 1)
    # half of the paper's baseline is 1 + 0.5 * 6.24 = 4.12, nearest to 4.0, at 3 / 6.24 of it
    assert half.paper == PUBLISHED[4.0]
    assert half.paper_share == pytest.approx(0.4808, abs=5e-5)
    assert [row.paper_threshold for row in to_baseline.rows] == [4.0, 4.5, 5.5, 6.0, 6.5, 7.0]
    assert [row.threshold for row in to_real.rows] == pytest.approx([5.5, 6.4, 7.3, 8.2, 9.1, 10.0])
    assert all(row.paper is None for row in to_real.rows)
    assert len(absolute.rows) == 17
    assert "| 50% (5.00) | 0 | 1 | 2 | 1 |" in table.markdown(study)


def test_lost_runs_do_not_succeed_and_missing_ones_do_not_count(tmp_path: Path) -> None:
    scores = [("diverged", 6.0), (6.0, "failed"), ("running", 7.0), (3.0, "missing"), (8.0, 8.0)]
    study = read(write_study(tmp_path, scores))
    assert study.pairs == [(-inf, 6.0), (8.0, 8.0)]
    text = table.markdown(study)
    assert "2 of 5 architectures have both runs; 3 not yet" in text
    assert (
        "1 diverged run(s) count as not successful; 1 failed run(s) are missing until retried"
        in text
    )
    assert "DCGAN baseline" not in text
    assert study.baselines == {}


def test_a_study_without_results_still_has_a_table(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"objectives": ["wgan_gp", "ns_gan"]}')
    assert read(tmp_path).objectives == ("ns_gan", "wgan_gp")
    assert "0 of 0 architectures" in table.markdown(read(tmp_path))
    with pytest.raises(ValueError, match=r"no study\.json"):
        read(tmp_path / "elsewhere")


def test_a_terminal_gets_columns_and_the_file_markdown(tmp_path: Path) -> None:
    study = read(write_study(tmp_path, scores_of_the_paper(), real=11.0))
    shown, page = table.text(study), table.markdown(study)
    assert "|" not in shown and "#" not in shown and "`" not in shown and "&lt;" not in shown
    assert max(map(len, shown.splitlines())) <= 110
    rows = [line.split() for line in shown.splitlines()]
    own = [row for row in rows if row[:6] == ["7.0", "1", "104", "5", "90", "6"]]
    assert len(own) == 2  # the study's row, with its p, and the paper's below
    p = 2 * (1 + 105 / 2) / 2**105  # mid-p of 1 and 104 discordant pairs
    assert [row[-1] for row in own] == [f"{p:.2g}", "+58)"]
    assert "The paper's rows:" in shown and "The paper's rows:" not in page
    row = next(line for line in page.splitlines() if line.startswith("| 7.0 |"))
    assert row.count(" 104 ") == 2  # beside each other


def test_the_files_hold_the_table(tmp_path: Path) -> None:
    study = read(write_study(tmp_path, scores_of_the_paper(), real=11.0))
    as_markdown, as_csv = table.write(study)
    assert as_markdown.read_text() == table.markdown(study)
    rows = list(csv.DictReader(as_csv.open()))
    assert [row["kind"] for row in rows] == ["absolute"] * 17 + ["real"] * 6
    seven = next(row for row in rows if row["threshold"] == "7")
    assert (seven["only_first"], seven["only_second"], seven["second"]) == ("1", "104", "109")
    assert float(seven["difference"]) == (104 - 1) / 200
    assert float(seven["p_value"]) == pytest.approx(mcnemar(1, 104), rel=1e-5)
    assert seven["paper_only_second"] == "104"
    assert rows[-1]["paper_only_second"] == ""

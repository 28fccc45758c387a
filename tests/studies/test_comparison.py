"""The published result, recomputed from its results.csv by other means, and its sentences."""

from __future__ import annotations

import csv
import json
from math import isclose
from pathlib import Path
from statistics import mean, median

import pytest

from gan_runner.reports.page import render
from gan_runner.studies import comparison_text, table
from gan_runner.studies.comparison import comparisons, endpoint, progress, seed_correlations
from gan_runner.studies.study_files import Study, read

PUBLISHED = Path(__file__).parents[2] / "outputs" / "reference" / "robustness"
HEAD = "architecture,arm,objective,seed,status,score,frechet,diversity,n_critic,steps,seconds"


def scores_of(path: Path) -> dict[str, tuple[float, float]]:
    """Return both scores of each architecture with seed 0, a diverged run's being 1."""
    found: dict[str, dict[str, float]] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            arm = row.get("arm") or row["objective"]
            is_other = row["architecture"] == "baseline" or (row.get("seed") or "0") != "0"
            if is_other or row["status"] not in ("completed", "diverged"):
                continue
            value = 1.0 if row["status"] == "diverged" else float(row["score"])
            found.setdefault(row["architecture"], {})[arm] = value
    pairs = {name: (s.get("ns_gan"), s.get("wgan_gp")) for name, s in found.items()}
    return {name: (a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}


def test_every_count_of_the_published_table_is_in_its_results() -> None:
    pairs = list(scores_of(PUBLISHED / "results.csv").values())
    lines = list(csv.DictReader(table.csv_text(read(PUBLISHED)).splitlines()))
    assert len(lines) == 17 + 2 * len(table.SHARES)
    for line in lines:
        at = float(line["threshold"])
        gaps = [abs(score - at) for pair in pairs for score in pair]
        if min(gaps) < 1e-5:  # the threshold is written with six digits
            continue
        only_first = sum(a > at >= b for a, b in pairs)
        only_second = sum(b > at >= a for a, b in pairs)
        assert (int(line["only_first"]), int(line["only_second"])) == (only_first, only_second)
        assert int(line["both"]) == sum(min(pair) > at for pair in pairs)
        assert int(line["neither"]) == sum(max(pair) <= at for pair in pairs)
        share = (only_second - only_first) / len(pairs)
        assert float(line["difference"]) == pytest.approx(share, abs=1e-6)


def test_the_published_differences_are_in_its_results() -> None:
    pairs = scores_of(PUBLISHED / "results.csv").values()
    gaps = [second - first for first, second in pairs]
    found = comparisons(read(PUBLISHED))[0]
    assert (found.quantity, found.result.pairs) == ("score", len(gaps))
    assert found.result.positive == sum(gap > 0 for gap in gaps)
    assert isclose(found.result.mean, mean(gaps)) and isclose(found.result.median, median(gaps))
    low, high = found.result.mean_interval
    assert low < found.result.mean < high


def study(folder: Path) -> Path:
    """Write a study of three architectures: one rescued, one diverged under GAN, one lost."""
    facts = {"real": 9.0, "endpoint": 0.5, "objectives": ["ns_gan", "wgan_gp", "ns_gan_layer"]}
    (folder / "study.json").write_text(json.dumps(facts))
    rows = [
        "0,ns_gan,ns_gan,0,completed,4,9,.5,1,100,10,3,4",
        "0,ns_gan,ns_gan,1,completed,5,9,.5,1,100,10,3,4",
        "0,ns_gan_layer,ns_gan,0,completed,6,9,.5,1,100,10,3,6",
        "0,wgan_gp,wgan_gp,0,completed,7,5,.6,5,100,50,6,7",
        "1,ns_gan,ns_gan,0,diverged,,,,1,20,2,,",
        "1,wgan_gp,wgan_gp,0,completed,8,4,.6,5,100,50,5,8",
        "2,ns_gan,ns_gan,0,completed,8,3,.6,1,100,10,7,8",
        "2,ns_gan,ns_gan,1,completed,7,3,.6,1,100,10,7,8",
        "2,wgan_gp,wgan_gp,0,completed,5,6,.4,5,100,50,4,5",
        "3,ns_gan,ns_gan,0,failed,,,,1,20,2,,",
        "3,wgan_gp,wgan_gp,0,completed,9,6,.4,5,100,50,4,5",
    ]
    head = f"{HEAD},score_at_20,score_at_100"
    (folder / "results.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def test_the_endpoint_and_the_pairs_by_hand(tmp_path: Path) -> None:
    found = read(study(tmp_path))
    fixed = endpoint(found)
    assert fixed is not None and fixed.threshold == 5.0  # 1 + .5 (9 - 1); 5 itself is no success
    assert (fixed.rescued, fixed.lost) == (("0", "1"), ("2",))
    by_quantity = {(c.first, c.second, c.quantity): c.result for c in comparisons(found)}
    score = by_quantity["ns_gan", "wgan_gp", "score"]
    assert (score.pairs, score.positive) == (3, 2)
    assert score.mean == pytest.approx((3 + 7 - 3) / 3) and score.median == 3
    # a diverged run has no samples to measure: two pairs, -4 and +3
    assert by_quantity["ns_gan", "wgan_gp", "Frechet distance"].mean == pytest.approx(-0.5)
    assert by_quantity["ns_gan", "ns_gan_layer", "score"].mean == 2
    # WGAN-GP after 20 iterations has had 100 critic updates: 6 - 4, 5 - 1, 4 - 8
    assert by_quantity["ns_gan", "wgan_gp", "score at equal critic updates"].mean == pytest.approx(
        2 / 3
    )
    assert seed_correlations(found).keys() == {"ns_gan"}
    # between 2 * 2.25 + 2 * 2.25 = 9, within .5: (9 - .5) / (9 + .5)
    assert seed_correlations(found)["ns_gan"] == (2, 2, pytest.approx(8.5 / 9.5))
    early = next(row for row in progress(found) if (row.arm, row.step) == ("wgan_gp", 20))
    assert (early.runs, early.score, early.seconds) == (3, 5.0, 10.0)


def test_the_result_opens_the_table(tmp_path: Path) -> None:
    found = read(study(tmp_path))
    text = table.markdown(found)
    assert text.index("## Endpoint") < text.index("## Paired") < text.index("## Relative")
    assert "GAN (ns_gan, non-saturating)" in text.splitlines()[0]
    assert text.count("GAN (ns_gan, non-saturating)") == 1
    assert "1 failed run(s) are missing until retried" in text
    assert comparison_text.as_json(found)["endpoint"]["rescued"] == ("0", "1")
    demonstration = read_with(tmp_path, demonstration=True)
    assert table.markdown(demonstration).startswith("A demonstration without a conclusion")


def read_with(folder: Path, **facts: object) -> Study:
    path = folder / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return read(folder)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("score_at_x", "3"), ("score_at_" + "9" * 400, "3"), ("score_at_٣", "3"), ("score_at_", "3"),
        ("score_at_-1", "3"), ("score", "1e308"), ("score", "-1e308"), ("steps", "1e308"),
        ("n_critic", "0"), ("n_critic", "1e-320"), ("seconds", "1e308"), ("frechet", "-1e308"),
    ],
)  # fmt: skip
def test_odd_cells_of_results_end_neither_the_table_nor_the_page(
    column: str, value: str, tmp_path: Path
) -> None:
    folder = study(tmp_path)
    rows = [{**row, column: value} for row in csv.DictReader((folder / "results.csv").open())]
    rows[0][column] = value.removeprefix("-") if value.startswith("-1e") else value
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = read(folder)
    comparisons(found), progress(found), endpoint(found)
    assert "NaN" not in render(folder)
    assert "Infinity" not in render(folder)

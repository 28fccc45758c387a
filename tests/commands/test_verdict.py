"""The verdict at the end of a run: numbers beside their floors, sentences where they are due."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import pytest

from gan_runner.commands.console import print_result
from gan_runner.evaluation.verdict import _NUMBERS, lines, names_of_tags, sentences, verdict

PIXELS = {"wasserstein/exact": {"units": "pixels in [-1, 1]"}}
GOOD = {
    "wasserstein/exact": 3.512, "wasserstein/exact_floor": 2.883, "wasserstein/exact_raw": 3.55,
    "jsd/probe": 0.302, "jsd/probe_raw": 0.31, "coverage/diversity": 0.984,
}  # fmt: skip
SETTINGS = {"ema_decay": 0.999, "steps": 2500}


def found(cards: dict[str, Any] | None = None, **values: float) -> list[str]:
    named = {tag.replace("__", "/"): value for tag, value in values.items()}
    return sentences(named, cards or {}, settings=SETTINGS)


def test_numbers_stand_beside_those_of_real_data() -> None:
    assert lines(GOOD, {}, settings=SETTINGS) == [
        "W1 3.51 (real 2.88)  jsd 0.30 (0.00)  diversity 0.98"
    ]
    spread = {**GOOD, "wasserstein/exact_floor_std": 0.031}
    assert "W1 3.51 (real 2.88 \u00b1 0.03)" in lines(spread, {}, settings=SETTINGS)[0]
    own = {**GOOD, "jsd/probe_floor": 0.02}  # a run that measures the floor of the probe
    assert "jsd 0.30 (0.02)" in lines(own, {}, settings=SETTINGS)[0]
    image = {**GOOD, "images/fid": 30.9}
    assert lines(image, {"images/fid": {"real": 3.25}}, settings=SETTINGS)[0].startswith(
        "Frechet 30.90 (real 3.25)  W1 3.51 (2.88)"
    )
    toy = {**GOOD, "modes/found": 7.0}
    assert lines(toy, {"modes/found": {"of": 8}}, settings=SETTINGS)[0].startswith(
        "modes 7 (real 8)"
    )
    assert lines({"loss/critic": 1.0}, {}, settings=SETTINGS) == []


def test_a_name_has_the_tag_that_was_measured() -> None:
    final = {**GOOD, "images/fid": 3.0, "modes/found": 7.0, "wasserstein/exact": None}
    assert names_of_tags({"final": final}) == (
        "Frechet = images/fid, modes = modes/found, jsd = jsd/probe, diversity = coverage/diversity"
    )
    own = {"final": {**final, "images/frechet": 3.0}}
    assert names_of_tags(own).startswith("Frechet = images/frechet, modes")
    assert names_of_tags({"final": {"loss/critic": 1.0}}) == ""


def test_every_tag_of_the_verdict_is_in_the_table_of_names() -> None:
    page = (Path(__file__).parents[2] / "gan_runner" / "metrics" / "README.md").read_text()
    for number in _NUMBERS:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{number.name}` | "))
        assert all(f"`{tag}`" in row for tag in number.tags)


def test_no_zero_is_negative() -> None:
    values = {"jsd/probe": -0.004, "jsd/probe_floor": -0.001, "jsd/probe_raw": -0.004}
    assert lines(values, {}, settings=SETTINGS) == ["jsd 0.00 (real 0.00)"]


@pytest.mark.parametrize("state", ["ok", "stalled"])
def test_health_without_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    health = {"state": state, "since": 3, "because": "why", "incident": None}
    print_result(
        {"status": "completed", "steps": 5, "seconds": {"total": 1.0}, "final": {}, "health": health,
         "accelerate": {"iterations_per_second": {}}}, tmp_path,
    )  # fmt: skip
    words = {"ok": "ok: training did not break", "stalled": "stalled since step 3 (why)"}
    assert f"  health      {words[state]}\n" in capsys.readouterr().out


def test_the_raw_generator_is_shown_where_it_differs() -> None:
    values = {**GOOD, "wasserstein/exact_raw": 3.0}
    assert lines(values, {}, settings=SETTINGS)[1] == "without averaged weights: W1 3.00"
    short = {"ema_decay": 0.999, "steps": 500}
    _, _, lag = lines(values, {}, settings=short)
    assert lag == (
        "the averaged weights lag: 500 steps are few for trainer.ema_decay=0.999; quote"
        " wasserstein/exact_raw, or train longer"
    )
    assert lines(values, {}, settings={"ema_decay": 0.0}) == lines(GOOD, {}, settings=SETTINGS)


def test_a_run_that_has_not_learned() -> None:
    always = {"jsd__probe": 0.96 * log(2)}
    (text,) = found(**always)
    assert text.startswith("not learned yet: a small classifier always tells the samples from data")
    assert found(jsd__probe=0.9 * log(2)) == []
    near = {"wasserstein__exact": 1.4, "wasserstein__exact_floor": 1.0}
    assert found(**always, **near) == []  # a probe that sees more than transport does
    assert len(found(**always, **{**near, "wasserstein__exact": 1.6})) == 1


def test_one_class() -> None:
    share = {"images__class_share_3": 0.95, "images__class_share_1": 0.05}
    assert found(**share) == ["one class makes 95% of samples: 3"]
    cards = {"images/class_share_3": {"real": 0.1}}
    assert found(cards, **share) == ["one class makes 95% of samples: 3 (of data 10%)"]
    assert found({"images/class_share_3": {"real": 0.9}}, **share) == []  # so does the data
    assert found(images__class_share_3=0.4, images__class_share_3_raw=0.9) == []
    named = {"images/class_share_3": {"real": 0.1, "accuracy": 0.97, "class": "cat\x1b[2J"}}
    (text,) = found(named, **share)
    assert text.startswith("one class makes 95% of samples: cat") and "\x1b" not in text
    poor = {"images/class_share_3": {"real": 0.0, "accuracy": 0.75}}
    assert found(poor, **share) == [
        "numbers of classes mean little: the classifier knows 75% of held-out images"
    ]


def test_what_the_samples_miss() -> None:
    assert found(coverage__diversity=0.1) == [
        "samples are alike: their distances are 10% of the data's"
    ]
    assert found({"modes/found": {"of": 25}}, modes__found=2.0) == [
        "23 of 25 modes have less than a fifth of their share"
    ]
    assert found({"modes/found": {"of": 25}}, modes__found=25.0) == []
    assert found(images__precision=0.88, images__recall=0.001) == [
        "samples cover 0.1% of the data (recall), at precision 0.88"
    ]
    assert found(images__precision=0.88, images__recall=0.3) == []


def test_pixels_reward_blur() -> None:
    assert found(PIXELS, wasserstein__exact=3.0) == [
        "W1 between pixels rewards blur; to compare methods, prefer the numbers of metrics=images"
    ]
    assert found(PIXELS, wasserstein__exact=3.0, images__fid=9.0)[0].endswith(
        "prefer images/fid and recall"
    )
    assert found({"wasserstein/exact": {"units": "the data's"}}, wasserstein__exact=3.0) == []


@pytest.mark.parametrize("replicas", [False, True])
def test_the_end_of_a_run(
    tmp_path: Path, replicas: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    health = {"state": "ok"}
    one = {"final": GOOD, "health": health}
    summary: dict[str, Any] = {
        "status": "completed", "steps": 2500, "seconds": {"total": 9.0}, "settings": SETTINGS,
        "accelerate": {"iterations_per_second": {}}, **one,
    }  # fmt: skip
    if replicas:
        other = {**GOOD, "wasserstein/exact": 4.512}
        summary["replicas"] = {"replica_0": one, "replica_1": {"final": other, "health": health}}
    (tmp_path / ("replica_0" if replicas else ".")).mkdir(exist_ok=True)
    (tmp_path / ("replica_0" if replicas else ".") / "provenance.json").write_text(
        json.dumps(PIXELS)
    )
    print_result(summary, tmp_path)
    out = capsys.readouterr().out.splitlines()
    exact = "4.01" if replicas else "3.51"
    assert (f"{'':14}means of 2 replicas, whose W1 is 3.51 to 4.51" in out) == replicas
    assert out[1] == f"  result      W1 {exact} (real 2.88)  jsd 0.30 (0.00)  diversity 0.98"
    assert any(line.startswith(f"{'':14}W1 between pixels") for line in out)
    place = out.index(
        "  tags        W1 = wasserstein/exact, jsd = jsd/probe, diversity = coverage/diversity"
    )
    words = "training did not break; the result above rates the samples"
    assert out[place + 1] == f"  health      ok: {words}"
    assert verdict({"final": {}}, tmp_path) == []

"""What the pages of results count: answers placed by hand."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
import pytest
from bench_plot import draw
from labels import agreement, purity
from modes import ENOUGH, cards, found
from workloads import peer

from gan_runner.data.toy import gaussians25


def test_the_data_covers_all_modes() -> None:
    """Of a Gaussian in the plane, 1 - exp(-9/2) lies within 3 standard deviations."""
    x = gaussians25(n_samples=2500, seed=1).train.x.numpy()
    modes, touched, quality = found(x)
    assert (modes, touched, ENOUGH) == (25, 25, 20)
    assert quality == pytest.approx(1 - np.exp(-4.5), abs=0.01)


def test_a_blur_touches_modes_but_does_not_cover_them() -> None:
    blur = np.random.default_rng(0).uniform(-1.5, 1.5, size=(2500, 2))
    modes, touched, quality = found(blur)
    assert modes == 0 and touched > 15
    assert quality == pytest.approx(25 * np.pi * (3 * 0.05 / 2.828) ** 2 / 9, abs=0.01)


def test_cards_are_those_of_the_folder() -> None:
    assert {"gan", "wgan_gp"} <= set(cards())


def test_agreement_and_purity_by_hand() -> None:
    predicted = np.array([3, 3, 5, 5, 5, 1, 1, 1])
    codes = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    assert agreement(predicted, codes) == 0.0
    assert purity(predicted, codes) == pytest.approx(7 / 8)
    assert purity(predicted, np.zeros(8, dtype=int)) == pytest.approx(3 / 8)
    assert purity(np.full(8, 2), codes) == 1.0  # one class for all: see `classes` beside it


def test_a_peer_of_the_benchmark_is_a_file_with_a_step(tmp_path: Path) -> None:
    file = tmp_path / "theirs.py"
    file.write_text("count = [0]\ndef step():\n    count[0] += 1\n    return count[0]\n")
    name, step = peer(f"theirs={file}")
    assert (name, step(), step()) == ("theirs", 1, 2)
    file.write_text("stp = None\n")
    for text, problem in {
        f"theirs={file}": r"no function step\(\)",
        "theirs=nowhere.py": "no file 'nowhere.py'; write NAME=FILE.py",
        str(file): "write NAME=FILE.py",
    }.items():
        with pytest.raises(ArgumentTypeError, match=problem):
            peer(text)


@pytest.mark.parametrize("sections", [(), ("workloads",), ("growth",), ("workloads", "growth")])
def test_a_page_of_the_sections_that_a_report_has(
    sections: tuple[str, ...], tmp_path: Path
) -> None:
    row = {"ratio_fp32": 1.2, "ratio_fp32_range": [1.1, 1.3], "ratio_auto": 2.0,
           "ratio_auto_range": [1.9, 2.2], "share_of_peak": 0.5}  # fmt: skip
    cost = [{"workload": "digits", "set": f"model.filters={n}", "ms": n / 2.0} for n in (16, 32)]
    whole = {"workloads": {"digits": row, "by mode": {}}, "growth": {"filters": cost}}
    machine = {"processor": "P", "device": "cpu, 1 threads", "torch": "2"}
    draw({"machine": machine, **{name: whole[name] for name in sections}}, tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 5000

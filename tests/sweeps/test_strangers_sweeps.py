"""Sweeps of a stranger's configuration that list too much, or stand beside odd files."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import pytest
from omegaconf import OmegaConf

from gan_runner import train
from gan_runner.config.errors import UsageError
from gan_runner.private_hydra import MOST_JOBS, combinations, parse_overrides
from gan_runner.sweeps.base import fingerprint
from gan_runner.sweeps.grid import grid_or_design

TOO_MANY = [
    {"seed": "range(0,1e12)"},
    {"seed": "shuffle(range(1000000))"},
    {"seed": "range(0,1,1e-9)"},
    {"seed": "range(0,inf)"},
    {"seed": ",".join(map(str, range(200_000)))},
    dict.fromkeys(("seed", "trainer.batch_size", "model.width"), "range(1,1000)"),
    {"seed": ",".join(map(str, range(150))), "model.width": ",".join(map(str, range(150)))},
]


@pytest.mark.parametrize("where", ["params", "typed", "design", "beside a design"])
@pytest.mark.parametrize("lists", TOO_MANY, ids=lambda lists: str(lists)[:40])
def test_too_many_jobs_are_refused_unlisted(lists: dict[str, str], where: str) -> None:
    words = [f"{key}={value}" for key, value in lists.items()]
    study = {"design": [lists] if where == "design" else [{"model.depth": "1,2"}]}
    config = OmegaConf.create(
        {
            "study": study if "design" in where else None,
            "hydra": {
                "sweeper": {
                    "_target_": "x.BasicSweeper",
                    "params": lists if where == "params" else None,
                },
                "overrides": {"task": words if where in ("typed", "beside a design") else []},
            },
        }
    )
    start = perf_counter()
    with pytest.raises(
        UsageError, match=r"makes [\d,inf]+ jobs; a sweep has at most 10,000"
    ) as end:
        grid_or_design(config, ExitStack())
    assert perf_counter() - start < 5
    assert len(str(end.value)) < 200


def test_as_many_jobs_as_allowed_are_listed() -> None:
    assert len(combinations(parse_overrides(["seed=range(0,100)", "a=range(0,100)"]))) == MOST_JOBS


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda p: p.symlink_to("/dev/zero"), lambda p: p.symlink_to("nowhere")],
)
def test_odd_neighbours_of_a_configuration_are_passed_over(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    config = OmegaConf.create({"hydra": {"job": {"config_name": "config"}, "runtime": {}}})
    config.hydra.runtime.config_sources = [{"schema": "file", "path": str(tmp_path)}]
    (tmp_path / "x.yaml").write_text("seed: 1")
    before = fingerprint(config)
    make(tmp_path / "zz.yaml")
    (tmp_path / "large.yaml").touch()
    os.truncate(tmp_path / "large.yaml", 20 << 30)
    assert fingerprint(config) == before
    (tmp_path / "x.yaml").write_text("seed: 2")
    assert fingerprint(config) != before


def test_a_recipe_of_too_many_jobs_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "experiment").mkdir()
    card = "# @package _global_\nhydra: {sweeper: {params: {seed: 'range(0,1e12)'}}}\n"
    (tmp_path / "experiment" / "x.yaml").write_text(card)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gan-run", "--config-dir", ".", "experiment=x", "-m"])
    with pytest.raises(SystemExit) as end:
        train.main()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 2
    assert line.startswith("gan-run: seed=range(0,1e12): makes 1,000,000,000,000 jobs;")

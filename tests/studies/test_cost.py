"""What is said while the cost of a sweep is estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from omegaconf import DictConfig

from gan_runner.commands.sweep import _announce
from gan_runner.studies import cost
from gan_runner.sweeps.jobs import Plan

JOB = ["dataset=gaussians8", "model=mlp", "model.width=8", "trainer.steps=1", "metrics=none",
       "dataset.n_samples=100", "plots=none", "device=cpu", "trainer.accelerate=eager"]  # fmt: skip


@pytest.mark.parametrize(
    ("jobs", "dry", "line"),
    [
        (3, True, "gan-run: estimating the cost of 3 jobs; nothing is written\n"),
        (1, False, "gan-run: estimating the cost of 1 job before the first begins\n"),
        (0, True, ""),  # a search draws its jobs as it goes
    ],
)
def test_a_line_comes_before_the_estimate(
    config: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], jobs: int, dry: bool, line: str,
) -> None:  # fmt: skip
    told: list[str] = []

    def announce(*_: Any, dry: bool) -> None:
        told.append(capsys.readouterr().err)

    monkeypatch.setattr(cost, "announce", announce)
    cfg = config("experiment=robustness_tiny")
    _announce(cfg, Plan([[f"seed={k}"] for k in range(jobs)]), [], compose, dry=dry)
    assert told == [line]


def compose(words: Sequence[str]) -> DictConfig:
    raise AssertionError(words)


def test_progress_is_told_between_jobs(
    config: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(cost, "_PAUSE", 0.0)
    monkeypatch.setattr(cost, "_SECONDS", 0.0)
    jobs = [[*JOB, f"seed={k}"] for k in range(3)]
    assert cost.estimate(lambda words: config(*words), jobs).known == 3
    told = capsys.readouterr().err.splitlines()
    assert told == [f"gan-run: measured {k} of 3 jobs" for k in range(3)]

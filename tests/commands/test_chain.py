"""Samples of a Bayesian run: a mixture of the generators of all checkpoints of its chain."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_runner.commands.chain import load_mixture
from gan_runner.commands.sample import draw
from gan_runner.commands.sample import main as sample_main
from gan_runner.restore import load
from gan_runner.runs.layout import checkpoint_steps
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit

TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "metrics=none", "plots=none")
BAYES = (*TOY, "objective=bayesian", "objective.generators=2", "trainer.checkpoint_every=2")


def test_the_chain_after_the_warm_up_is_mixed(
    engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """Steps 0, 2, 4, 6, 8 are kept; those after 3 of Adam are the chain's: 8, 6, 4."""
    fit(engine(*BAYES, "trainer.steps=8", "optimizer.warm_up=3"), tmp_path)
    assert checkpoint_steps(tmp_path) == [0, 2, 4, 6, 8]
    samples = torch.from_numpy(draw(tmp_path, 60, device="cpu"))
    noise = load(tmp_path, device="cpu").noise(60).z
    members = [
        member
        for step in ("8", "6", "4")
        for member in load(tmp_path, device="cpu", checkpoint=step).generator.members
    ]
    with torch.no_grad():
        for k, member in enumerate(members):
            torch.testing.assert_close(samples[k::6], member(noise[k::6]), rtol=1e-4, atol=1e-5)
    last = torch.from_numpy(draw(tmp_path, 60, device="cpu", checkpoint="last"))
    torch.testing.assert_close(last[0::2], members[0](noise[0::2]).detach(), rtol=1e-4, atol=1e-5)
    assert load_mixture(tmp_path, device="cpu").facts["checkpoint"] == "3 of the chain"


def test_one_checkpoint_is_told_in_one_line(
    engine: Callable[..., Engine], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(engine(*BAYES, "trainer.steps=4", "trainer.keep_checkpoints=1"), tmp_path / "run")
    with warnings.catch_warnings():  # the command replaces how warnings are shown
        sample_main([str(tmp_path / "run"), "--out", str(tmp_path / "x.npy"), "--device", "cpu"])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "one checkpoint of the chain is kept" in line and "trainer.keep_checkpoints" in line
    assert np.load(tmp_path / "x.npy").shape == (100, 2)


def test_other_runs_are_not_mixed(engine: Callable[..., Engine], tmp_path: Path) -> None:
    command = (*TOY, "objective=gan", "trainer.steps=4", "trainer.checkpoint_every=2")
    fit(engine(*command), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (draw(tmp_path, 9) == draw(tmp_path, 9, checkpoint="last")).all()
        assert load_mixture(tmp_path).facts["checkpoint"] == "last"

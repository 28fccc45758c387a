"""Measures and pictures have random numbers of their own: training goes on as without them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from gan_runner.training.loop import fit

RHYTHM = (
    "dataset=gaussians8", "dataset.n_samples=500", "model=mlp", "model.width=8", "trainer.steps=6",
    "trainer.num_eval_samples=128", "trainer.evaluate_every=3", "trainer.sample_every=6",
    "trainer.log_every=1", "trainer.checkpoint_every=6",
)  # fmt: skip


def test_measuring_everything_leaves_training_bit_identical(engine, tmp_path: Path) -> None:
    logs, weights = [], []
    for preset in ("full", "none"):
        built = engine(*RHYTHM, f"metrics={preset}", f"plots={preset}")
        fit(built, tmp_path / preset)
        lines = (tmp_path / preset / "metrics.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
        players = built.nets.generator, built.nets.critic, built.nets.generator_ema
        weights.append([value for player in players for value in player.state_dict().values()])
    full, none = logs
    assert {"wasserstein/exact", "wasserstein/sliced", "jsd/grid", "modes/found"} < set(full[-1])
    judged = ("speed/", "health/")  # the second is drawn from what is measured
    trained = [tag for tag in none[-1] if not tag.startswith(judged)]
    assert "loss/critic" in trained and not any(tag.startswith("jsd/") for tag in trained)
    for one, other in zip(full, none, strict=True):
        assert {tag: one[tag] for tag in trained} == {tag: other[tag] for tag in trained}
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))

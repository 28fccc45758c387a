"""Sweeps that would not do what their command says are refused, before their first job."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Zygote
from PIL import Image

BARE = (
    "trainer.steps=2", "trainer.batch_size=4", "trainer.log_every=1", "trainer.num_eval_samples=64", "metrics=none",
    "plots=none", "trainer.precision=fp32", "trainer.accelerate=eager",
)  # fmt: skip
TOY = ("dataset=gaussians8", "dataset.n_samples=2000", "model=mlp", *BARE)
TERM = "+objective.critic_terms={%s: {_target_: gan_runner.objectives.penalties.%s, _partial_: true, weight: 1}}"

REFUSED = {
    "a key twice": (
        ("seed=0,1", "seed=2,3", *TOY),
        "seed=0,1 seed=2,3: sets one key twice; list all values once, seed=0,1,2,3",
    ),
    "a dictionary in two halves": (
        (TERM % ("a", "r1"), TERM % ("b", "r2"), "objective=ns_gan", *TOY),
        "sets one key twice; give each entry its own key, +objective.critic_terms.NAME={...}",
    ),
    "a key of one option alone": (
        ("objective=infogan,ns_gan", "objective.prior.categorical=5", "model.filters=4", *BARE),
        "objective.prior.categorical=5: the job with objective=ns_gan has no such key; sweep over",
    ),
    "a key of no option": (
        ("model=mlp,mlp_generator", "model.wdith=8", *BARE),
        "model.wdith=8: no such key; did you mean model.width?",
    ),
    "a key of a group that is not added": (
        ("objective=wgan,gan", "penalty.weight=3", *TOY),
        "penalty.weight=3: no such key; add an option of penalty with a plus: +penalty=OPTION, one of:",
    ),
    "a list of cards": (
        ("objective=[gan,wgan]", *TOY),
        "objective=[gan,wgan]: a run has one objective; choose one option, or sweep over them with"
        " -m objective=gan,wgan",
    ),
    "a variable that is not set": (
        ("seed=0,1", "optimizer.lr=${oc.env:NO_SUCH}", *TOY),
        "optimizer.lr: the environment variable NO_SUCH is not set; set it, or write"
        " ${oc.env:NO_SUCH,VALUE}",
    ),
    "a folder of a variable that is not set": (
        ("seed=0,1", "hydra.sweep.dir=${oc.env:NO_SUCH}", *TOY),
        "hydra.sweep.dir: the environment variable NO_SUCH is not set",
    ),
    "a key that does not exist": (
        ("seed=0,1", "model.width=${sed}", *TOY), "model.width: Interpolation key 'sed' not found",
    ),
    "one folder for all jobs": (
        ("seed=0,1", "hydra.sweep.subdir=same", *TOY), "hydra.sweep.subdir=same: all jobs would share",
    ),
    "a search without a measure": (
        ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "optimizer.lr=interval(1e-4,1e-3)", *TOY),
        "metrics=none: a search needs a measure to minimise",
    ),
    "a search without a metric": (
        (
            "hydra/sweeper=optuna", "optimizer.lr=interval(1e-4,1e-3)", "trainer.checkpoint_metric=null",
            "dataset=gaussians8", "model=mlp",
        ),
        "trainer.checkpoint_metric=null: a search needs a measure",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_sweep_is_refused_before_it_starts(zygote: Zygote, tmp_path: Path, name: str) -> None:
    arguments, words = REFUSED[name]
    if "optuna" in str(arguments):
        pytest.importorskip("optuna")
    code, out = zygote.run(tmp_path, "-m", *arguments)
    lines = [line for line in out.splitlines() if "warning" not in line]
    assert code == 2 and words in out and len(lines) == 1, out
    assert ("did you mean" in out) == ("did you mean" in words)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "output.txt"]


def test_a_key_without_a_default_is_swept(zygote: Zygote, tmp_path: Path) -> None:
    """Each folder has 300 characters, more than a file name may have."""
    folders = ["/".join([letter * 60] * 5) for letter in "ab"]
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        for k in range(8):
            pixels = np.random.default_rng(k).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{k}.png")
    words = ("dataset=image_folder", f"dataset.path={','.join(folders)}", "model.filters=4")
    code, out = zygote.run(tmp_path, "-m", *words, "objective=ns_gan", *BARE, "hydra.sweep.dir=s")
    assert code == 0 and "2 jobs: 2 completed" in out, out
    assert all(len(path.name) < 100 for path in (tmp_path / "s").iterdir())


def test_a_sweep_into_a_run_is_refused(zygote: Zygote, tmp_path: Path) -> None:
    code, out = zygote.run(tmp_path, *TOY, "hydra.run.dir=r")
    assert code == 0, out
    before = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    code, out = zygote.run(tmp_path, "-m", "seed=0,1", *TOY, "hydra.sweep.dir=r")
    assert code == 2 and "hydra.sweep.dir=r: contains a run; name another directory" in out, out
    assert before == {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}


def test_values_that_an_interpolation_couples(zygote: Zygote, tmp_path: Path) -> None:
    random = ("model=random", "model.depths=[3]", "model.filters=[2]", "model.latent_dim=8", *BARE)
    words = ("-m", "seed=0,1", "model.seed=${seed}", *random, "hydra.sweep.dir=s")
    code, out = zygote.run(tmp_path, *words)
    assert code == 0 and "2 jobs: 2 completed" in out, out
    trees = [yaml.safe_load(p.read_text()) for p in sorted((tmp_path / "s").glob("*/config.yaml"))]
    seeds = [
        (t["seed"], t["model"]["generator"]["seed"], t["model"]["critic"]["seed"]) for t in trees
    ]
    assert seeds == [(0, 0, 0), (1, 1, 1)]
    logs = {p: p.read_bytes() for p in (tmp_path / "s").glob("*/metrics.jsonl")}
    code, out = zygote.run(tmp_path, *words)
    assert code == 0 and "2 jobs: 2 completed" in out, out
    assert logs == {p: p.read_bytes() for p in (tmp_path / "s").glob("*/metrics.jsonl")}
    assert len(json.loads((tmp_path / "s" / "sweep.json").read_text())["jobs"]) == 2


def test_a_key_that_the_default_option_lacks(zygote: Zygote, tmp_path: Path) -> None:
    words = ("-m", "model=mlp,mlp_generator", "model.width=8", *BARE, "hydra.sweep.dir=s")
    code, out = zygote.run(tmp_path, *words)
    assert code == 0 and "2 jobs: 2 completed" in out, out
    trees = [yaml.safe_load(p.read_text()) for p in (tmp_path / "s").glob("*/config.yaml")]
    assert [tree["model"]["generator"]["width"] for tree in trees] == [8, 8]


def test_an_experiment_that_is_a_sweep(zygote: Zygote, tmp_path: Path) -> None:
    small = ("trainer.steps=2", "metrics=none", "plots=none", "model.seed=1", "hydra.run.dir=r")
    for word in ("experiment=robustness_tiny", "+experiment=robustness_tiny"):
        code, out = zygote.run(tmp_path, word, *small)
        assert code == 2 and "experiment=robustness_tiny: defines a sweep; add -m" in out, out
        assert not (tmp_path / "r").exists()
    code, out = zygote.run(tmp_path, "+experiment=robustness_tiny", "study=null", *small)
    assert code == 0 and (tmp_path / "r" / "summary.json").is_file(), out
    code, out = zygote.run(tmp_path, "repeat=r", "trainer.steps=1", "hydra.run.dir=again")
    assert code == 0, out


def test_an_experiment_with_lists_alone(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    card = tmp_path / "own" / "experiment" / "x.yaml"
    card.write_text('# @package _global_\nhydra: {sweeper: {params: {seed: "0,1"}}}\n')
    words = ("--config-dir", "own", "experiment=x", *TOY, "hydra.run.dir=r")
    code, out = zygote.run(tmp_path, *words)
    assert code == 2 and "or hydra.sweeper.params=null to train one run of it" in out, out
    code, out = zygote.run(tmp_path, *words, "hydra.sweeper.params=null")
    assert code == 0, out

"""Any sweep, and any file of one's own, ends in jobs or in clear lines, never in a traceback."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

import pytest
from conftest import Zygote

SMALL = (
    "dataset=gaussians8", "dataset.n_samples=200", "trainer.steps=1", "trainer.batch_size=8",
    "trainer.num_eval_samples=16", "metrics=none", "plots=none", "trainer.accelerate=eager", "trainer.precision=fp32",
)  # fmt: skip
SWEPT = (
    "seed=0,1", "seed=0,1,x", "seed=range(0,2)", "seed=choice(0,1)", "seed=1,1", "model=mlp,mlp_generator",
    "model=mlp,unet", "objective=gan,wgan", "objective=glob(wgan*)", "objective=infogan,ns_gan",
    "optimizer.lr=1e-3,1e-4", "optimizer.lr=interval(0,1)", "model.width=8,16", "model.filters=4,8", "metrics=none,default",
    "+penalty=r1,r2", "optimizer=adam,sgd", "optimizer.betas=[0,0.9],[0.5,0.9]", "+model.foo=1,2", "seed=0, 1",
)  # fmt: skip
FIXED = (
    "model=mlp", "model.width=8", "model.depth=1", "model.seed=${seed}", "seed=${nowhere}", "seed=3", "+size=8",
    "model.width=${size}", "+optimizer.schedule=cosine", "hydra.sweep.dir=s", "hydra.sweep.subdir=same",
    "hydra/sweeper=optuna", "hydra/launcher=nonsense", "trainer.stpes=3", "~model.critic", "+experiment=robustness_tiny",
    "study=null", "objective.n_critic=0", "--dry-run", "experiment=x", "--traceback", "nonsense", "objective.prior.codes=2",
)  # fmt: skip
LINES = (
    "# @package _global_", "trainer:", "  steps: 2", "\tsteps: 2", "- seed", "seed: 1", "seed: no", "model: {width: 8}",
    "model:", "  width: 8", "defaults:", "  - override /model: mlp", "  - /model: nonsense", "hydra: {run: {dir: x}}",
    "study: {name: x}", "norm: {", "seed: ${nowhere}", "?", "'", "optimizer: [1, 2]", "a: &a {b: *a}", "", "seed: 1",
    "2020-01-01: 3", "hydra: {sweeper: {params: {seed: '0,1'}}}", "!!python/object:os.system {}", "foo: bar",
)  # fmt: skip
ENDS = (b"\n", b"\r\n", b"\r")
STARTS = (b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"# caf\xe9\n", b"\x00")
GROUPS = ("experiment", "experiment", "objective", "model", "metrics", "mine")
COUNTER = itertools.count()


def try_command(zygote: Zygote, folder: Path, choose: random.Random) -> None:
    """Run a random command line, at times with a random file of one's own."""
    here = folder / str(next(COUNTER))
    here.mkdir()
    words = [*choose.sample(FIXED, choose.randint(0, 2))]
    sweeps = choose.random() < 0.6
    if sweeps:
        words += ["-m", *choose.sample(SWEPT, choose.randint(1, 2))]
    if choose.random() < 0.5:
        group = choose.choice(GROUPS)
        (here / "own" / group).mkdir(parents=True)
        lines = choose.sample(LINES, choose.randint(0, 5))
        if choose.random() < 0.6:
            lines.insert(0, LINES[0])
        content = choose.choice(ENDS).join(line.encode() for line in lines)
        name = choose.choice(("x.yaml", "x.yaml", "x.yaml", "x.yml"))
        (here / "own" / group / name).write_bytes(choose.choice(STARTS) + content)
        words += ["--config-dir", "own", f"{choose.choice(['', '+'])}{group}=x"]
    small = [w for w in SMALL if w.partition("=")[0] not in {o.partition("=")[0] for o in words}]
    code, out = zygote.run(here, *words, *small, *([] if sweeps else ["hydra.run.dir=run"]))
    assert code in (0, 1, 2), (words, out)
    assert "--traceback" in words or "Traceback" not in out, (words, out)
    assert code == 0 or "gan-run: " in out or "failed" in out or "diverged" in out, (words, out)
    shutil.rmtree(here)


def test_random_sweeps_and_files(zygote: Zygote, tmp_path: Path) -> None:
    choose = random.Random(0)
    for _ in range(8):
        try_command(zygote, tmp_path, choose)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 31))
def test_300_random_sweeps_and_files(zygote: Zygote, tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(10):
        try_command(zygote, tmp_path, choose)

"""The example package: installed as a stranger would, and trained with all of its parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLE = Path(__file__).resolve().parents[1] / "scripts" / "example_package"
PARTS = (
    "dataset=ring", "model=sine_mlp", "objective=exponential", "optimizer=signed_sgd", "metrics=radius",
    "plots=radius_histogram",
)  # fmt: skip


def gan_run(cwd: Path, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(path), str(EXAMPLE.parents[1])])
    return subprocess.run(
        [sys.executable, "-m", "gan_runner.train", "--config-dir", str(EXAMPLE / "conf"), *words],
        cwd=cwd, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip


def test_all_of_its_parts_train_together(tmp_path: Path) -> None:
    words = (*PARTS, "device=cpu", "trainer.steps=150", "trainer.log_every=50", "hydra.run.dir=run")
    done = gan_run(tmp_path, EXAMPLE, *words, "allow_targets=[example_gan.]")
    assert done.returncode == 0, done.stderr
    log = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert {"loss/centred", "ring/radius_error"} <= set(log[-1])
    assert 1.5 < log[-1]["loss/critic"] < 2.05  # 2 e^0 = 2 for a critic that sees nothing
    assert Image.open(tmp_path / "run" / "radius" / "step_000150.png").size == (256, 128)
    refused = gan_run(tmp_path, EXAMPLE, *PARTS)
    assert refused.returncode == 2 and "allow_targets=[example_gan.]" in refused.stderr


@pytest.mark.slow
def test_it_installs(tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        str(EXAMPLE),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    words = (*PARTS, "device=cpu", "trainer.steps=2", "hydra.run.dir=run")
    done = gan_run(tmp_path, site, *words, "allow_targets=[example_gan.]")
    assert done.returncode == 0, done.stderr

"""Tiny runs in the plane for tests of what happens to many runs, and how to look at them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_runner.runs.checkpoint import checkpoints, fingerprint, load_checkpoint
from gan_runner.sweeps.jobs import read_jobs

TOY = (
    "dataset=gaussians8", "model=mlp", "model.width=8", "objective=gan", "plots=none",
    "device=cpu", "trainer.batch_size=16", "trainer.num_eval_samples=64", "trainer.precision=fp32",
    "trainer.log_every=5", "trainer.evaluate_every=1000", "trainer.checkpoint_every=5",
)  # fmt: skip
QUICK = (*TOY, "trainer.steps=20")


def statuses(sweep_dir: Path) -> dict[str, str]:
    """Status by the one override that the jobs of a test differ in."""
    jobs = read_jobs(sweep_dir)
    common = set.intersection(*(set(job.overrides) for job in jobs))
    return {" ".join(o for o in job.overrides if o not in common): job.status for job in jobs}


def numbers(folder: Path) -> list[dict[str, float]]:
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in log]


def reached(folder: Path, step: int) -> bool:
    """Whether there is a checkpoint of that step or a later one: the earlier ones are deleted."""
    return any(path.stem >= f"step_{step:08d}" for path in folder.glob("checkpoints/step_*.pt"))


def until(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def end_state(folder: Path) -> str:
    return fingerprint(load_checkpoint(checkpoints(folder)[-1]))

"""A sweep of two objectives and three seeds, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

VALUES = {
    "wgan_gp": {0: 3.5, 1: 2.25, 2: 4.0},
    "ns_gan": {0: 3.0, 1: 2.5, 2: 2.0},
}
"""Last value of `wasserstein/exact` by objective and seed."""

STEPS = (10, 20, 30)
SPEED = 4.0  # steps per second
N_CRITIC = {"wgan_gp": 5, "ns_gan": 1}
COMMON = ["dataset=digits", "trainer.steps=30"]


def write_sweep(folder: Path, values: dict[str, dict[int, float]] = VALUES) -> Path:
    """Write a run for each objective and seed; the curve of W1 falls by 1 from point to point."""
    jobs = [(objective, seed) for objective in values for seed in values[objective]]
    for number, (objective, seed) in enumerate(jobs):
        write_run(folder / f"{objective}_seed-{seed}_{number:08x}", objective, seed,
                  values[objective][seed], number=number)  # fmt: skip
    plan = [[f"objective={o}", f"seed={s}", *COMMON] for o, s in jobs]
    (folder / "sweep.json").write_text(json.dumps({"jobs": plan, "command": []}))
    return folder


def write_run(
    run: Path, objective: str, seed: int, last: float, *, number: int = 0, **more: Any
) -> Path:
    """Write one run of a sweep."""
    run.mkdir(parents=True)
    config = {
        "seed": seed, "model": {"width": 8}, "trainer": {"steps": 30},
        "objective": {"n_critic": N_CRITIC.get(objective, 1)},
        "choices": {"objective": objective, "dataset": "digits"},
    }  # fmt: skip
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    provenance = {"rows": 8, "units": "pixels in [-1, 1]"}
    tags = ("wasserstein/exact", "wasserstein/exact_floor")
    (run / "provenance.json").write_text(json.dumps(dict.fromkeys(tags, provenance)))
    points = []
    for place, step in enumerate(STEPS):
        exact = last + len(STEPS) - 1 - place
        points.append(
            {"step": step, "wasserstein/exact": exact, "wasserstein/exact_floor": 1.0,
             "jsd/probe": None if seed == 2 else 0.25, "speed/steps_per_second": SPEED}
        )  # fmt: skip
    (run / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    final = {tag: value for tag, value in points[-1].items() if tag != "step"}
    summary = {"status": "completed", "steps": 30, "seconds": {"total": 9.0}, "final": final,
               "best": {}, "health": {"state": "ok"}, "settings": {}, **more}  # fmt: skip
    (run / "summary.json").write_text(json.dumps(summary))
    note = {"status": "completed", "overrides": [f"objective={objective}", f"seed={seed}", *COMMON],
            "number": number}  # fmt: skip
    (run / "job.json").write_text(json.dumps(note))
    return run

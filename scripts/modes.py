"""Modes of a mixture that each objective finds with the same small network and budget.

Modes are counted in 2,500 samples, as in `gan_runner.metrics.coverage`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from gan_runner.builder import build
from gan_runner.commands.sample import draw
from gan_runner.config.compose import config_dir
from gan_runner.data.toy import gaussians25
from gan_runner.metrics.coverage import Coverage, coverage, fair
from gan_runner.runs.files import atomic_write
from gan_runner.training.loop import fit

BUDGET = [
    "dataset=gaussians25", "model=mlp", "model.width=128", "model.init=he",
    "trainer.batch_size=128", "trainer.steps=4000", "trainer.evaluate_every=1000",
    "trainer.sample_every=4000", "trainer.checkpoint_every=4000",
]  # fmt: skip
RATE = "optimizer.lr=1e-3"  # published learning rates are for longer training
NEEDS = {"infogan": ["model.latent_dim=14"]}  # noise large enough for the code
RATED = ("gan_runner.optim.standard.adam", "gan_runner.optim.standard.rmsprop")
GAMES = {"quadratic"}  # of numbers, without data
COUNT = 2500
ENOUGH = fair(COUNT, 25)
LAST = ("lipschitz/lower", "wasserstein/per_slope")


def cards() -> list[str]:
    """Return the names of all objectives that data is generated with."""
    names = (path.stem for path in (config_dir() / "objective").glob("*.yaml"))
    return sorted(name for name in names if name not in GAMES)


def composed(overrides: list[str]) -> DictConfig:
    """Compose the configuration of a command line."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("config", overrides=overrides)


def measure(name: str, seed: int, folder: Path, *, published_rate: bool = False) -> dict[str, Any]:
    """Train an objective from one seed, or read its earlier result.

    Args:
        name: name of the objective.
        seed: seed of the data, the weights and the noise.
        folder: folder of this run; an existing result of the same overrides is reused.
        published_rate: keep the objective's own learning rate instead of `RATE`.

    Returns:
        A report with `skipped`, a reason, or with the run's `status`, `coverage` of the averaged
        generator and `raw` of the other one. The final values of the tags in `LAST`, steps,
        seconds, device and versions follow.
    """
    overrides = [*BUDGET, f"objective={name}", f"seed={seed}", *NEEDS.get(name, [])]
    result = folder / "result.json"
    is_rated = composed(overrides).optimizer.critic["_target_"] in RATED  # others: another scale
    if is_rated and not published_rate:
        overrides.append(RATE)
    if result.is_file() and (earlier := json.loads(result.read_text()))["asked"] == overrides:
        return earlier
    try:
        engine = build(composed(overrides))
    except ValueError as error:  # the objective needs labels, images or more noise
        return {"skipped": str(error)}
    summary = fit(engine, folder)
    report: dict[str, Any] = {
        "asked": overrides,
        "status": summary["status"],
        "coverage": found(draw(folder, COUNT))._asdict(),
        "raw": found(draw(folder, COUNT, raw=True))._asdict(),
        **{tag: summary["final"][tag] for tag in LAST if tag in summary["final"]},
        "steps": summary["steps"],
        "seconds": round(summary["seconds"]["total"], 1),
        "device": summary["device"],
        "versions": summary["versions"],
    }
    atomic_write(result, (json.dumps(report, indent=2) + "\n").encode())
    return report


def found(samples: np.ndarray) -> Coverage:
    """Return the coverage of the modes of `dataset=gaussians25` by samples."""
    spec = gaussians25(n_samples=1, seed=0).spec
    assert spec.modes is not None and spec.mode_std is not None
    return coverage(samples, spec.modes, spec.mode_std, enough=ENOUGH)


def row(name: str, reports: Sequence[dict[str, Any]]) -> str:
    """Return a line of the table: means over the seeds, and ranges for several seeds."""

    def cell(key: str, part: str, form: str) -> str:
        return spread([report[part][key] for report in reports], form)

    cells = [cell("modes", "coverage", ".1f"), cell("touched", "coverage", ".1f")]
    cells += [cell("quality", "coverage", ".2f")]
    cells += [cell("modes", "raw", ".1f"), cell("quality", "raw", ".2f")]
    sloped = [report for report in reports if report.get("lipschitz/lower", 0.0) > 0]
    for tag in LAST:  # skip flat critics: their estimate is that of an earlier step
        chosen = sloped if tag == "wasserstein/per_slope" else reports
        cells.append(spread([report[tag] for report in chosen if tag in report], ".2g"))
    cells.append(f"{np.mean([report['seconds'] for report in reports]):.0f}")
    bad = sorted({report["status"] for report in reports} - {"completed"})
    note = f" ({', '.join(bad)} at step {min(r['steps'] for r in reports)})" if bad else ""
    return f"| `{name}`{note} | {' | '.join(cells)} |"


def spread(values: Sequence[float], form: str) -> str:
    """Format the mean over seeds; with two or more, also the lowest and the highest value."""
    if not values:
        return ""
    own = "d" if isinstance(values[0], int) else form  # a count has no decimals, but its mean has
    if len(values) == 1:
        return f"{values[0]:{own}}"
    low, high = min(values), max(values)
    return f"{np.mean(values):{form}} ({low:{own}} to {high:{own}})"

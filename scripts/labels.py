"""Do generated digits look like the label, or cluster by the code, that they were made for?

The judge is the classifier of `score_digits.py`, trained on real digits.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
from modes import cards, composed
from score_digits import classifier_of
from sklearn.neural_network import MLPClassifier

from gan_runner.builder import build
from gan_runner.commands.sample import draw
from gan_runner.data.digits import digits
from gan_runner.runs.files import atomic_write
from gan_runner.training.loop import fit

COUNT, CLASSES = 2000, 10
LABELLED = {
    "cgan": ["objective=cgan"],
    "acgan": ["objective=acgan"],
    "ns_gan, projection": [
        "objective=ns_gan", "model.generator.labels=embedding", "model.critic.labels=projection",
    ],
}  # fmt: skip
CODED = {"infogan": ["objective=infogan"]}


def agreement(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of the samples that are classified as the label that they were made for."""
    return float((predicted == labels).mean())


def purity(predicted: np.ndarray, codes: np.ndarray) -> float:
    """Share of the samples in their code's class.

    Each value of the code is assigned the class that is most frequent among its samples, and a
    class may be assigned to several values.

    Args:
        predicted: class of each sample, (N,).
        codes: the value that each was made of, (N,).
    """
    hits = [np.bincount(predicted[codes == code]).max() for code in np.unique(codes)]
    return float(np.sum(hits) / len(predicted))


def measure(budget: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Train every run of `LABELLED` and `CODED`, or read what came of it.

    Args:
        budget: overrides that all runs share, the data set among them.
        folder: of the runs; results of the same overrides found there are not made again.

    Returns:
        by name, `skipped`, a reason; or `share`, that of `agreement` or of `purity`, and
        `classes`, how many classes the samples fall into.
    """
    found: dict[str, dict[str, Any]] = {}
    judge = None
    for name, own in (LABELLED | CODED).items():
        overrides = [*budget, *own]
        run_dir, result = folder / name, folder / name / "result.json"
        if reason := _missing(name, own):
            found[name] = {"skipped": reason}
            continue
        if result.is_file() and json.loads(result.read_text())["asked"] == overrides:
            found[name] = json.loads(result.read_text())
            continue
        summary = fit(build(composed(overrides)), run_dir)
        judge = judge or classifier_of(digits())
        found[name] = {
            "asked": overrides,
            "status": summary["status"],
            "seconds": round(summary["seconds"]["total"], 1),
            **judged(run_dir, judge, coded=name in CODED),
        }
        atomic_write(result, (json.dumps(found[name], indent=2) + "\n").encode())
    return found


def judged(run_dir: Path, judge: MLPClassifier, *, coded: bool) -> dict[str, Any]:
    """Agreement, or purity, of `COUNT` samples of a run: labels or codes in turn."""
    if coded:
        each = COUNT // CLASSES
        made = [draw(run_dir, each, code=k, seed=k) for k in range(CLASSES)]  # type: ignore[call-arg]
        samples, asked = np.concatenate(made), np.repeat(np.arange(CLASSES), each)
    else:
        samples, asked = draw(run_dir, COUNT), np.arange(COUNT) % CLASSES
    predicted = judge.predict(samples.reshape(len(samples), -1))
    share = purity(predicted, asked) if coded else agreement(predicted, asked)
    return {"share": round(share, 4), "classes": len(np.unique(predicted))}


def _missing(name: str, overrides: list[str]) -> str | None:
    """Why a run cannot be made here."""
    objective = overrides[0].removeprefix("objective=")
    if objective not in cards():
        return f"there is no card conf/objective/{objective}.yaml"
    if name in CODED and "code" not in inspect.signature(draw).parameters:
        return "samples of a given code cannot be drawn"
    return None

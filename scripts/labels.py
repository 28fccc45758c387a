"""Agreement of generated digits with their label, and purity with respect to their code.

python scripts/labels.py RUN_DIR [RUN_DIR ...]

Samples are classified by the classifier of `score_digits.py`, trained on real digits.
"""

from __future__ import annotations

import argparse
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
from gan_runner.objectives.priors import categories
from gan_runner.restore import load
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


def main() -> None:
    """Print the agreement or purity of runs on the digits as JSON, one line per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dirs", nargs="+", type=Path)
    judge = classifier_of(digits())
    for run_dir in parser.parse_args().run_dirs:
        coded = categories(load(run_dir).objective.prior) > 0
        print(json.dumps({"run": str(run_dir), **judged(run_dir, judge, coded=coded)}), flush=True)


def agreement(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of samples that are classified as the label they were generated for."""
    return float((predicted == labels).mean())


def purity(predicted: np.ndarray, codes: np.ndarray) -> float:
    """Return the share of samples in the class assigned to their code.

    Each code is assigned the most frequent class among its samples; several codes may share a
    class.

    Args:
        predicted: class of each sample, (N,).
        codes: code of each sample, (N,).
    """
    hits = [np.bincount(predicted[codes == code]).max() for code in np.unique(codes)]
    return float(np.sum(hits) / len(predicted))


def measure(budget: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Train every run of `LABELLED` and `CODED`, or read its earlier result.

    Args:
        budget: overrides that all runs share, including the data set.
        folder: folder of the runs; existing results of the same overrides are reused.

    Returns:
        A report by name of the run. It has `skipped`, a reason, or `share`, the agreement or the
        purity, and `classes`, the number of classes among the samples.
    """
    reports: dict[str, dict[str, Any]] = {}
    judge = None
    for name, own in (LABELLED | CODED).items():
        overrides = [*budget, *own]
        run_dir, result = folder / name, folder / name / "result.json"
        if reason := _missing(name, own):
            reports[name] = {"skipped": reason}
            continue
        if result.is_file() and json.loads(result.read_text())["asked"] == overrides:
            reports[name] = json.loads(result.read_text())
            continue
        summary = fit(build(composed(overrides)), run_dir)
        judge = judge or classifier_of(digits())
        reports[name] = {
            "asked": overrides,
            "status": summary["status"],
            "seconds": round(summary["seconds"]["total"], 1),
            **judged(run_dir, judge, coded=name in CODED),
        }
        atomic_write(result, (json.dumps(reports[name], indent=2) + "\n").encode())
    return reports


def judged(run_dir: Path, judge: MLPClassifier, *, coded: bool) -> dict[str, Any]:
    """Return the agreement or purity of `COUNT` samples, with labels or codes in turn."""
    if coded:
        each = COUNT // CLASSES
        samples_by_code = [draw(run_dir, each, code=k, seed=k) for k in range(CLASSES)]  # type: ignore[call-arg]
        samples, asked = np.concatenate(samples_by_code), np.repeat(np.arange(CLASSES), each)
    else:
        samples, asked = draw(run_dir, COUNT), np.arange(COUNT) % CLASSES
    predicted = judge.predict(samples.reshape(len(samples), -1))
    share = purity(predicted, asked) if coded else agreement(predicted, asked)
    return {"share": round(share, 4), "classes": len(np.unique(predicted))}


def _missing(name: str, overrides: list[str]) -> str | None:
    """Return the reason why a run cannot be trained here; None if it can."""
    objective = overrides[0].removeprefix("objective=")
    if objective not in cards():
        return f"conf/objective/{objective}.yaml is missing"
    if name in CODED and "code" not in inspect.signature(draw).parameters:
        return "samples of a given code cannot be drawn"
    return None


if __name__ == "__main__":
    main()

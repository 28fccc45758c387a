"""A robustness study as the content of a page: an architecture a row, two runs in each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_runner.reports.runs import PageLimits, show
from gan_runner.reports.typeset import typeset
from gan_runner.studies import comparison_text, table
from gan_runner.studies.paired_statistics import PUBLISHED, Outcome
from gan_runner.studies.study_files import BASELINE, Study, StudyRun, number, read

PLAYERS = {"g": "Generator", "d": "Critic"}
DRAWN = {"activation": "activation", "depth": "depth", "norm": "norm", "filters": "filters"}
_WRITTEN = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "softplus_centred": "softplus",
    "true": "yes",
    "false": "no",
}


def content(folder: Path) -> dict[str, Any]:
    """Everything that the page of a study shows, as plain JSON values.

    Raises:
        ValueError: there is no study there.
    """
    study = read(folder)
    limits = PageLimits(len(study.runs))
    by_architecture = study.by_architecture
    return {
        "kind": "robustness",
        "title": _title(study),
        "facts": _facts(study),
        "progress": table.progress(study),
        "columns": _columns(study),
        "rows": [_row(study, name, limits) for name in by_architecture],
        "noun": ["architecture", "architectures"],
        "study": _study(study),
        "sections": table.sections(study)[::-1],  # relative thresholds first
        "result": comparison_text.for_report(study),
        "labels": study.labels,
        "interval": table.INTERVAL,
    }


def _title(study: Study) -> str:
    first, second = study.full_labels
    return f"{first} and {second} on {study.architectures} random architectures"


def _facts(study: Study) -> list[tuple[str, str]]:
    facts = study.facts
    shown = [(name, str(facts[name])) for name in ("preset", "dataset") if facts.get(name)]
    if facts.get("score"):
        of = f" of {facts['score_of']}" if facts.get("score_of") else ""
        shown.append(("score", f"{facts['score']}{of}"))
    if study.real is not None:
        shown.append(("real data", f"{study.real:.2f}"))
    if accuracy := number(dict(facts.get("card") or {}).get("accuracy")):
        shown.append(("classifier, held-out accuracy", f"{accuracy:.2%}"))
    for label, n in study.iterations.items():
        shown.append((f"iterations, {label}", f"{n:,}"))
    for objective, score in study.baselines.items():
        label = study.labels[study.objectives.index(objective)]
        shown.append((f"DCGAN baseline, {label}", f"{score:.2f}"))
    return shown + [(name, str(facts[name])) for name in ("machine", "command") if facts.get(name)]


def _columns(study: Study) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = [{"key": "architecture", "label": "#", "type": "number"}]
    for player, group in PLAYERS.items():
        for key, label in DRAWN.items():
            kind = "number" if key in ("depth", "filters") else "text"
            column = {"key": f"{player}_{key}", "label": label, "type": kind, "group": group}
            columns.append({**column, "short": f"{player.upper()} {label}", "filter": True})
    for place, label in enumerate(study.labels):
        score = {"key": f"score_{place}", "label": label, "type": "number", "digits": 2}
        columns.append({**score, "group": "Score", "run": place})
    gap = {"key": "difference", "label": "difference", "type": "number", "digits": 2}
    columns.append({**gap, "group": "Score", "signed": True})
    columns.append({"key": "outcome", "label": "outcome", "type": "outcome", "filter": True})
    return columns


def _row(study: Study, name: str, limits: PageLimits) -> dict[str, Any]:
    runs = [study.by_architecture[name].get(objective) for objective in study.objectives]
    present = [run for run in runs if run is not None]
    cells = _cells(present[0].cells, name) if present else {}
    scores = [run.score if run and run.status == "completed" else None for run in runs]
    cells |= {"score_0": scores[0], "score_1": scores[1]}
    if scores[0] is not None and scores[1] is not None:
        cells["difference"] = scores[1] - scores[0]
    tag = str(study.facts.get("score", ""))
    tags = [tag, f"{tag}_raw"]
    shown = [
        show(study.folder, run.cells if run else {}, label=label, limits=limits, tags=tags)
        for run, label in zip(runs, study.labels, strict=True)
    ]
    return {
        "name": "DCGAN baseline" if name == BASELINE else name,
        "counts": name != BASELINE,
        "ended": [_ended(run) for run in runs],
        "cells": cells,
        "runs": shown,
    }


def _ended(run: StudyRun | None) -> bool:
    return run is not None and run.outcome is not None


def _cells(line: Mapping[str, str], name: str) -> dict[str, Any]:
    cells: dict[str, Any] = {"architecture": number(name)}
    for player in PLAYERS:
        for key in DRAWN:
            text = line.get(f"{player}_{key}", "")
            value = number(text)
            cells[f"{player}_{key}"] = _WRITTEN.get(text.lower(), text) if value is None else value
    return cells


def _study(study: Study) -> dict[str, Any]:
    parts = table.sections(study)
    thresholds = [_at(row.threshold, row.counts) for row in parts[0].rows] if parts else []
    marks = [("real data", study.real)] if study.real is not None else []
    for objective, score in study.baselines.items():
        label = study.labels[study.objectives.index(objective)]
        marks.append((f"DCGAN, {label}", score))
    return {
        "labels": study.labels,
        "thresholds": thresholds,
        "paper": [[t, counts.first / 200, counts.second / 200] for t, counts in PUBLISHED.items()],
        "marks": marks,
    }


def _at(threshold: float, counts: Outcome) -> dict[str, Any]:
    return {
        "threshold": threshold,
        "counts": [counts.only_first, counts.only_second, counts.both, counts.neither],
        "difference": typeset(table.difference(counts)),
        "p": typeset(table.p(counts)),
    }

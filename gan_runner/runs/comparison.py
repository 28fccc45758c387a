"""Runs read from their files: metrics, the provenance of each, and differences between runs.

The files are config.yaml, provenance.json, metrics.jsonl and, once a run has ended, summary.json.
Final and best values are computed from the points, so killed and unfinished runs have them too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_runner.runs.groups import labels
from gan_runner.runs.history import BestTracker
from gan_runner.runs.mistaken import not_a_run
from gan_runner.runs.read import CHOICES, read_provenance, read_summary, saved_config
from gan_runner.runs.rows import RunRecord, read_record, run_dirs, without_sweep_files
from gan_runner.runs.tags import record_of
from gan_runner.runs.within import Folder

ABSENT = "-"
_DATA = "content"  # key of a provenance: hash of the held-out rows
_WIDEST = 36  # characters of a value of the configuration


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run as a comparison shows it.

    Attributes:
        record: settings and points, which labels and groups are made of.
        name: path relative to the folder that all compared runs share.
        label: settings in which the run differs from the others, or its name.
        config: dotted keys and values of the configuration.
        provenance: {tag: provenance of the metric}.
        values: final and best value of each tag.
        state: status and number of steps, for display.
    """

    record: RunRecord
    name: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Mapping[str, Any]]
    values: BestTracker
    state: str
    label: str = ""

    def provenance_of(self, tag: str) -> dict[str, Any]:
        """Return a tag's provenance as dotted keys; that of a loss includes the objective."""
        provenance = flat(self.provenance.get(tag, {}))
        if record_of(tag).depends_on_objective:
            provenance |= {k: v for k, v in self.config.items() if k.startswith("objective.")}
        return provenance

    def at(self, tag: str, which: str) -> tuple[int, float | None] | None:
        """Return the step and value of a tag, final or best; None where the tag has none."""
        if which == "best":
            best = self.values.best.get(tag)
            return None if best is None else (int(best["step"]), best["value"])
        if tag not in self.values.final:
            return None
        return self.values.final_steps[tag], self.values.final[tag]


def holds_replicas(run_dir: Path) -> bool:
    """Return whether a run directory contains replicas, each in a folder of its own."""
    return Folder(run_dir).find("replica_0") is not None and (run_dir / "replica_0").is_dir()


def read_runs(paths: Sequence[Path]) -> list[ComparedRun]:
    """Read runs from directories; replicas and the runs of a sweep stand for themselves.

    Files of a sweep beside its runs are left out, with a warning.

    Raises:
        ValueError: a path is not a run directory, or a file in it cannot be read.
    """
    paths = [part for path in without_sweep_files(paths) for part in _run_dirs(path)]
    whole = [path.resolve() for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    names = [path.relative_to(common).as_posix() for path in whole]
    runs = [_read(path, name) for path, name in zip(paths, names, strict=True)]
    records = [run.record for run in runs]
    texts, plain = labels(records), [record.name for record in records]
    return [
        replace(run, label=run.name if texts == plain else text)
        for run, text in zip(runs, texts, strict=True)
    ]


def _run_dirs(path: Path) -> list[Path]:
    paths = run_dirs(path)
    if not paths:
        raise ValueError(not_a_run(path))
    return paths


def _read(path: Path, name: str) -> ComparedRun:
    config, provenances = saved_config(path), read_provenance(path)
    config.pop(CHOICES, None)  # the keys say what the options are
    record, values = read_record(path, path.parent), BestTracker(provenances)
    for point in record.points:
        values.note(point)
    status = read_summary(path).get("status", "no summary yet")
    state = f"{status}, {record.points[-1]['step'] if record.points else 0:,} steps"
    return ComparedRun(record, name, flat(config), provenances, values, state)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to one with dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    entries: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        entries |= flat(value, path) if isinstance(value, Mapping) else {path: value}
    return entries


def difference(runs: Sequence[ComparedRun], tag: str) -> str:
    """Describe the first key in which a tag's provenance differs; empty if all runs agree."""
    having = [run for run in runs if tag in run.values.final]
    provenances = [run.provenance_of(tag) for run in having]
    data = [provenance.get(_DATA) for provenance in provenances]
    for run, content in zip(having, data, strict=True):  # other data explains other rows
        if None not in (content, data[0]) and content != data[0]:
            return f"the held-out data of {having[0].name} and {run.name} differs"
    for key in dict.fromkeys(key for provenance in provenances for key in provenance):
        for run, provenance in zip(having, provenances, strict=True):
            both = (provenances[0].get(key), provenance.get(key))
            if both[0] != both[1]:
                first, second = (_text(key, value) for value in both)
                return f"{key} is {first} in {having[0].name}, {second} in {run.name}"
    return ""


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return {key: values as text} for the keys in which configurations differ.

    Keys with the same leaf name and values, such as seed and dataset.seed, appear once: the first
    of the shallowest. `node._target_` appears as `node`.
    """
    rows: dict[str, list[str]] = {}
    for key in sorted(dict.fromkeys(k for c in configs for k in c), key=lambda k: k.count(".")):
        texts = [_text(key, config[key]) if key in config else ABSENT for config in configs]
        if len({*texts}) == 1 or key.endswith("._partial_"):
            continue
        shown = key.removesuffix("._target_")
        last = shown.rpartition(".")[2]
        if not any(k.rpartition(".")[2] == last and texts == t for k, t in rows.items()):
            rows[shown] = texts
    return rows


def _text(key: str, value: Any) -> str:
    """Return a value as short text; of a `_target_`, the last two names of its dotted path."""
    text = "nothing" if value is None else str(value)
    if key.endswith("_target_"):
        text = ".".join(text.split(".")[-2:])
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."

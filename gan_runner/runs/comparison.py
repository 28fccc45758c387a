"""What the files of run directories say: their numbers, what made them, how they differ.

config.yaml, provenance.json, metrics.jsonl and, of runs that have ended, summary.json. Final and
best values follow from the points, so that a run that was killed, or that is still training, has
them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_runner.runs.history import BestTracker
from gan_runner.runs.read import POINTS, read_cards, read_points, read_summary, saved_config
from gan_runner.runs.tags import record_of

ABSENT = "-"
_WIDEST = 36  # characters of a value of the configuration


@dataclass(frozen=True, eq=False)
class Run:
    """What the files of a run directory say.

    Attributes:
        path: of the directory.
        name: by which it differs from the others.
        config: dotted keys and values of its configuration.
        provenance: what made each number, by tag.
        values: final and best of each tag.
        state: how far it is, in words.
    """

    path: Path
    name: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Mapping[str, Any]]
    values: BestTracker
    state: str

    def provenance_of(self, tag: str) -> dict[str, Any]:
        """What made a number, as dotted keys; a loss is made by its objective, too."""
        provenance = flat(self.provenance.get(tag, {}))
        if record_of(tag).depends_on_objective:
            provenance |= {k: v for k, v in self.config.items() if k.startswith("objective.")}
        return provenance

    def at(self, tag: str, which: str) -> tuple[int, float | None] | None:
        """Step and value of a tag, final or best; None where there is none."""
        if which == "best":
            best = self.values.best.get(tag)
            return None if best is None else (int(best["step"]), best["value"])
        if tag not in self.values.final:
            return None
        return self.values.final_steps[tag], self.values.final[tag]


def holds_replicas(run_dir: Path) -> bool:
    """Whether a run directory is that of a pack, whose runs lie in folders of it."""
    return (run_dir / "replica_0").is_dir()


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs in some directories; one that holds replicas stands for all of them.

    Raises:
        ValueError: one is no run directory, or a file in it cannot be read.
    """
    paths = [part for path in paths for part in _replicas(path)]
    whole = [path.resolve() for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    names = [path.relative_to(common).as_posix() for path in whole]
    return [_read(path, name) for path, name in zip(paths, names, strict=True)]


def _replicas(path: Path) -> list[Path]:
    if not holds_replicas(path):
        return [path]
    found = path.glob("replica_*")
    return sorted(found, key=lambda p: (len(p.name), p.name))  # replica_10 comes after replica_9


def _read(path: Path, name: str) -> Run:
    config, provenances = saved_config(path), read_cards(path)
    values = BestTracker(provenances)
    points = read_points(path / POINTS)
    for point in points:
        values.note(point)
    status = read_summary(path).get("status", "no summary yet")
    state = f"{status}, {points[-1]['step'] if points else 0:,} steps"
    return Run(path, name, flat(config), provenances, values, state)


def flat(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{at}.{key}" if at else str(key)
        found |= flat(value, path) if isinstance(value, Mapping) else {path: value}
    return found


def difference(runs: Sequence[Run], tag: str) -> str:
    """The first key in which the cards of a tag differ, and its values; empty if they are alike."""
    having = [run for run in runs if tag in run.values.final]
    provenances = [run.provenance_of(tag) for run in having]
    for key in dict.fromkeys(key for provenance in provenances for key in provenance):
        for run, provenance in zip(having, provenances, strict=True):
            both = (provenances[0].get(key), provenance.get(key))
            if both[0] != both[1]:
                first, mine = (_text(key, value) for value in both)
                return f"{key} is {first} in {having[0].name}, {mine} in {run.name}"
    return ""


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The keys in which configurations differ, and the values as text.

    Of keys with the same last name and the same values, such as seed and dataset.seed, only the
    first of the shallowest is named. What a node is made by stands for the node.
    """
    found: dict[str, list[str]] = {}
    for key in sorted(dict.fromkeys(k for c in configs for k in c), key=lambda k: k.count(".")):
        texts = [_text(key, config[key]) if key in config else ABSENT for config in configs]
        if len({*texts}) == 1 or key.endswith("._partial_"):
            continue
        shown = key.removesuffix("._target_")
        last = shown.rpartition(".")[2]
        if not any(k.rpartition(".")[2] == last and texts == t for k, t in found.items()):
            found[shown] = texts
    return found


def _text(key: str, value: Any) -> str:
    """A value of a configuration or a card, short; of a target the end, which tells it apart."""
    text = "nothing" if value is None else str(value)
    if key.endswith("_target_"):
        text = ".".join(text.split(".")[-2:])
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."

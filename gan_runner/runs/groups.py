"""Groups of runs that differ in their seed alone, and their tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any

from gan_runner.runs.rows import Budget, RunRecord
from gan_runner.runs.seed_statistics import Spread, spread
from gan_runner.runs.short_names import short_names
from gan_runner.runs.tags import record_of

SEED = "seed"
_FIRST = ("objective", "model", "dataset", "optimizer")
_SHOWN = ("objective", "model", "dataset", SEED)  # wherever they vary
ABSENT = "-"  # the value of a setting that a run does not have
_LOST = ("diverged", "failed")  # statuses whose numbers do not enter a mean


@dataclass(frozen=True, eq=False)
class Group:
    """Runs whose settings agree except for the key that is averaged over.

    Attributes:
        settings: the keys that vary between groups, with the values of this one.
        runs: the runs.
        over: the key in which they differ.
    """

    settings: Mapping[str, str]
    runs: Sequence[RunRecord]
    over: str = SEED

    @property
    def label(self) -> str:
        """Return the values of options and `key=value` of other settings, for a legend.

        Without settings, it is the name of a single run, or "all runs".
        """
        alone = self.runs[0].name if len(self.runs) == 1 else "all runs"
        return label_of(self.settings, _keys(self.runs)) or alone

    def by_key(self, tag: str, at: Budget | None = None) -> dict[str, float]:
        """Return {value of `over`: value of the tag}, without lost runs and non-finite values."""
        found: dict[str, float] = {}
        for run in self.runs:
            value = None if run.status in _LOST else run.values(at).get(tag)
            if value is not None and isfinite(value):
                found[str(run.settings.get(self.over, ""))] = value
        return found

    def spread(self, tag: str, at: Budget | None = None) -> Spread | None:
        """Return the spread of a tag over the runs; None without a value."""
        return spread(list(self.by_key(tag, at).values()), record_of(tag).better)


def label_of(settings: Mapping[str, Any], among: Iterable[str] = ()) -> str:
    """Return options by name and other settings as key=value, with at most four digits.

    Keys have the last of their dotted parts: as many as tell them from each other, from the keys
    `among` and from the run's seed. Settings that a run does not have are left out.
    """
    names = short_names([*settings, *among, SEED])
    words = [
        brief(str(value)) if "." not in key and key != SEED else f"{names[key]}={brief(str(value))}"
        for key, value in settings.items()
        if value != ABSENT
    ]
    return " ".join(words)


def brief(text: str) -> str:
    """Return a number of many digits with four of them; any other text unchanged."""
    try:
        return f"{float(text):.4g}" if len(text) > 8 else text
    except ValueError:
        return text


def labels(records: Sequence[RunRecord]) -> list[str]:
    """Return a label for each run from the settings in which they differ.

    A run's name stands in where its settings are unknown or do not tell the runs apart.
    """
    keys = varied(records)
    among = _keys(records)
    found = [label_of({k: r.settings.get(k, ABSENT) for k in keys}, among) for r in records]
    known = all(set(record.settings) - {SEED} for record in records)
    clear = known and keys and len(set(found)) == len(found)
    return found if clear else [record.name for record in records]


def varied(records: Sequence[RunRecord]) -> list[str]:
    """Return the settings that differ between runs, options of groups first.

    A setting that follows from the options before it, such as the optimizer of an objective's card,
    is left out; the objective, the model, the dataset and the seed never are.
    """
    keys = _keys(records)
    order = {key: place for place, key in enumerate((*_FIRST, *keys))}
    chosen: list[str] = []
    for key in sorted(keys, key=lambda key: ("." in key, key == SEED, order.get(key, 0))):
        before = [k for k in chosen if "." not in k]  # each parameter of a search counts
        if key in _SHOWN or _parts(records, [*before, key]) > _parts(records, before):
            chosen.append(key)
    return [key for key in chosen if _parts(records, [key]) > 1]


def _keys(records: Sequence[RunRecord]) -> dict[str, None]:
    """Return the settings of all runs, in the order of their first occurrence."""
    return dict.fromkeys(key for record in records for key in record.settings)


def _parts(records: Sequence[RunRecord], keys: Sequence[str]) -> int:
    """Return the number of different combinations of settings."""
    return len({tuple(str(record.settings.get(key, ABSENT)) for key in keys) for record in records})


def grouped(records: Sequence[RunRecord], over: str = SEED) -> list[Group]:
    """Group runs by all varied settings except one.

    Raises:
        ValueError: no run has that setting.
    """
    if not any(over in record.settings for record in records):
        known = ", ".join(_keys(records))
        raise ValueError(f"--over {over}: not a setting of these runs; choose one of: {known}")
    keys = [key for key in varied(records) if key != over]
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        place = tuple(str(record.settings.get(key, ABSENT)) for key in keys)
        groups.setdefault(place, []).append(record)
    return [
        Group(dict(zip(keys, place, strict=True)), runs, over) for place, runs in groups.items()
    ]


def has_repeats(groups: Sequence[Group]) -> bool:
    """Return whether every group has several runs, so that a table of means says something."""
    return bool(groups) and all(len(group.runs) > 1 for group in groups)


def matching_tags(records: Iterable[RunRecord], patterns: Sequence[str]) -> list[str]:
    """Return the logged tags that match, in the order of the patterns.

    Raises:
        ValueError: a pattern matches no tag.
    """
    logged = sorted(
        {tag for record in records for point in record.points for tag in point} - {"step"}
    )
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = [tag for tag in logged if fnmatchcase(tag, pattern)]
        if not found:
            advice = f"choose from: {', '.join(logged) or 'nothing is logged yet'}"
            raise ValueError(f"--tags {pattern}: not logged by any of these runs; {advice}")
        chosen |= dict.fromkeys(found)
    return list(chosen)


def csv_rows(
    groups: Sequence[Group], tags: Sequence[str], at: Budget | None = None
) -> list[list[Any]]:
    """Return the lines of a CSV file, head first: settings, runs, then five columns per tag."""
    keys = list(groups[0].settings) if groups else []
    parts = ("mean", "standard error", "n", "best", "worst")
    rows: list[list[Any]] = [[*keys, "runs", *(f"{tag} {part}" for tag in tags for part in parts)]]
    for group in groups:
        cells: list[Any] = [*group.settings.values(), len(group.runs)]
        for tag in tags:
            s = group.spread(tag, at)
            cells += [s.mean, s.standard_error, s.n, s.best, s.worst] if s else ["", "", 0, "", ""]
        rows.append(cells)
    return rows


def text_rows(
    groups: Sequence[Group], tags: Sequence[str], at: Budget | None = None
) -> list[list[str]]:
    """Return the cells of a table, head first: settings, n, and per tag mean, best and worst."""
    keys = list(groups[0].settings) if groups else []
    head = [*(keys or ["runs"]), "n"]
    for tag in tags:
        head += [tag, *(["best", "worst"] if record_of(tag).better != "neither" else [])]
    return [head, *(_cells(group, tags, at) for group in groups)]


def _cells(group: Group, tags: Sequence[str], at: Budget | None) -> list[str]:
    spreads = {tag: group.spread(tag, at) for tag in tags}
    n = max((s.n for s in spreads.values() if s), default=0)
    count = f"{n}" if n == len(group.runs) else f"{n} of {len(group.runs)}"
    cells = [*(group.settings.values() or [group.label]), count]
    for tag, s in spreads.items():
        ends = [_short(s.best), _short(s.worst)] if s else ["-", "-"]
        fewer = f" (n = {s.n})" if s and s.n != n else ""
        cells += [
            f"{s}{fewer}" if s else "-",
            *(ends if record_of(tag).better != "neither" else []),
        ]
    return cells


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

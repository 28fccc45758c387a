"""gan-compare --over KEY: groups of runs side by side, with a paired test over common seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gan_runner.commands.selection import without_repeats
from gan_runner.runs.groups import Group
from gan_runner.runs.rows import Budget
from gan_runner.runs.seed_statistics import paired_test
from gan_runner.runs.tags import record_of
from gan_runner.runs.text_tables import aligned

NO_VALUE = "-"


def group_rows(
    groups: Sequence[Group], tags: Sequence[str], at: Budget | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one row per tag and group, as plain values.

    The keys are tag, group, n, mean, standard_error, best and worst. Groups after the first add
    pairs, difference (this group minus the first) and p_value of Student's paired t-test over the
    seeds that both have; None below two pairs. The p-value is also None for equal differences.
    """
    for tag in tags:
        first = groups[0].by_key(tag, at)
        for place, group in enumerate(groups):
            s = group.spread(tag, at)
            row: dict[str, Any] = {"tag": tag, "group": group.label, "n": s.n if s else 0}
            for name in ("mean", "standard_error", "best", "worst"):
                row[name] = getattr(s, name) if s else None
            test = paired_test(first, group.by_key(tag, at)) if place else None
            row["pairs"] = test.n if test else None
            row["difference"] = test.difference if test else None
            row["p_value"] = test.p_value if test else None
            yield row


def group_table(groups: Sequence[Group], tags: Sequence[str], at: Budget | None = None) -> str:
    """Return a table with one line per tag, and for each later group its paired test.

    A group without two seeds in common with the first has no columns of a test.
    """
    rows = list(group_rows(groups, tags, at))
    tested = [place for place in range(1, len(groups)) if _is_tested(rows[place :: len(groups)])]
    head = ["", *(f"{group.label} (n = {len(group.runs)})" for group in groups)]
    for place in tested:
        head += [f"{groups[place].label} - {groups[0].label}", "p"]
    lines = [head]
    for k, tag in enumerate(tags):
        cells = [str(s) if (s := group.spread(tag, at)) else NO_VALUE for group in groups]
        for place in tested:
            cells += _test_cells(rows[k * len(groups) + place])
        lines.append([f"{tag}{record_of(tag).arrow}", *cells])
    return "\n".join([*aligned(lines, gap=3), "", *_notes(groups, rows, at)])


def _is_tested(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether any of a group's rows has pairs."""
    return any(row["pairs"] for row in rows)


def _test_cells(row: Mapping[str, Any]) -> list[str]:
    """Return difference and p-value as text; a dash for what is undefined."""
    gap, p = row["difference"], row["p_value"]
    return [
        NO_VALUE if gap is None else f"{gap:+.3g}" if gap else "0",
        NO_VALUE if p is None else f"{p:.2g}",
    ]


def _notes(
    groups: Sequence[Group], rows: Sequence[Mapping[str, Any]], at: Budget | None
) -> list[str]:
    """Return the lines below the table: meaning of the cells, number of pairs."""
    over, single = groups[0].over, without_repeats(groups)
    budget = f", at or before {at}" if at else ""
    if single:
        return [f"{single}{budget}"]
    notes = [f"mean \u00b1 standard error over {over}, alone where all values are equal{budget}"]
    pairs = sorted({row["pairs"] for row in rows if row["pairs"]})
    if pairs:
        count = " or ".join(map(str, pairs))
        test = f"p: Student's paired t-test, two-sided, on {count} common values of {over}"
        equal = any(row["pairs"] and row["p_value"] is None for row in rows)
        notes.append(test + ("; undefined where all differences are equal" if equal else ""))
    elif len(groups) > 1:
        notes.append(f"no p: fewer than two values of {over} are in both groups")
    return notes

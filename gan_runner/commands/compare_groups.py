"""gan-compare --over KEY: groups of runs side by side, with a paired test over common seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gan_runner.runs.groups import Group, paired_test
from gan_runner.runs.rows import Budget
from gan_runner.runs.tags import record_of
from gan_runner.runs.text_tables import aligned

NO_VALUE = "-"


def group_rows(
    groups: Sequence[Group], tags: Sequence[str], at: Budget | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one row per tag and group, as plain values.

    The keys are tag, group, n, mean, standard_error, best and worst. Groups after the first add
    pairs, difference (this group minus the first) and p_value of Student's paired t-test over the
    seeds that both have; None below two pairs.
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
    """Return a table with one line per tag, and for each later group its paired test."""
    rows = list(group_rows(groups, tags, at))
    head = ["", *(f"{group.label} (n = {len(group.runs)})" for group in groups)]
    first, tested = groups[0].label, groups[1:]
    for group in tested:
        head += [f"{group.label} - {first}", "p"]
    lines = [head]
    for k, tag in enumerate(tags):
        own = rows[k * len(groups) : (k + 1) * len(groups)]
        cells = [str(s) if (s := group.spread(tag, at)) else NO_VALUE for group in groups]
        for row in own[1:]:
            known = row["p_value"] is not None
            cells += (
                [f"{row['difference']:+.3g}", f"{row['p_value']:.2g}"] if known else [NO_VALUE] * 2
            )
        lines.append([f"{tag}{record_of(tag).arrow}", *cells])
    pairs = sorted({row["pairs"] for row in rows if row["pairs"]})
    notes = [
        f"mean \u00b1 standard error over {groups[0].over}" + (f", at or before {at}" if at else "")
    ]
    if pairs:
        count = " or ".join(map(str, pairs))
        notes.append(
            f"p: Student's paired t-test, two-sided, on {count} common values of {groups[0].over}"
        )
    elif tested:
        notes.append(f"no p: fewer than two values of {groups[0].over} are in both groups")
    return "\n".join([*aligned(lines, gap=3), "", *notes])

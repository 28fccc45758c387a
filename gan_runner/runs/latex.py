"""A table of groups of runs as LaTeX, for the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from gan_runner.runs.groups import Group
from gan_runner.runs.rows import Budget
from gan_runner.runs.tags import record_of

_ESCAPES = {
    "\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$",
    "{": r"\{", "}": r"\}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
}  # fmt: skip
_ARROWS = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}


def latex_table(groups: Sequence[Group], tags: Sequence[str], at: Budget | None = None) -> str:
    """Return a tabular of booktabs: one line per group, mean and standard error of each tag.

    The best mean of each tag is bold, and an arrow in the head names the direction.
    """
    keys = list(groups[0].settings) if groups else []
    spreads = [[group.spread(tag, at) for tag in tags] for group in groups]
    head = [*map(escape, keys or [""]), "$n$"]
    head += [escape(tag) + _ARROWS.get(record_of(tag).better, "") for tag in tags]
    lines = [
        f"% mean $\\pm$ standard error over {escape(groups[0].over) if groups else 'seeds'}"
        + (f", at or before {at}" if at else ""),
        f"\\begin{{tabular}}{{{'l' * max(1, len(keys))}r{'r' * len(tags)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    best = [_best([s.mean for row in spreads if (s := row[k])], tag) for k, tag in enumerate(tags)]
    for group, row in zip(groups, spreads, strict=True):
        n = max((s.n for s in row if s), default=0)
        cells = [*map(escape, group.settings.values() or [group.label]), str(n)]
        for s, top in zip(row, best, strict=True):
            text = "--" if s is None else str(s).replace("\u00b1", r"\pm")
            is_top = s is not None and s.mean == top
            cells.append(text if s is None else rf"$\mathbf{{{text}}}$" if is_top else f"${text}$")
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def escape(text: str) -> str:
    """Return text with LaTeX's special characters escaped."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _best(means: Sequence[float], tag: str) -> float | None:
    if len(set(means)) < 2:
        return None
    choose = {"lower": min, "higher": max}.get(record_of(tag).better)
    return choose(means) if choose else None

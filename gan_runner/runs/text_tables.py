"""Tables as text, Markdown and CSV, without control characters."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from gan_runner.runs.printable import printable, printable_cell


def aligned(rows: Sequence[Sequence[str]], *, gap: int = 2) -> list[str]:
    """Return one line for each row, in columns of equal width, `gap` spaces apart."""
    rows = [[printable_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    space = " " * gap
    return [
        space.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; the first row is the head."""
    head, *body = rows
    return [_markdown(row) for row in (head, ["---"] * len(head), *body)]


def _markdown(cells: Sequence[str]) -> str:
    escaped = (printable_cell(cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def csv_text(rows: Iterable[Sequence[Any]], *, line_end: str = "\n") -> str:
    """Return rows as CSV; None becomes an empty cell."""
    text = io.StringIO()
    safe = ([printable(c) if isinstance(c, str) else c for c in row] for row in rows)
    csv.writer(text, lineterminator=line_end).writerows(safe)
    return text.getvalue()

"""Tables as text, Markdown and CSV, in which text from files stays text."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from gan_runner.runs.printable import printable, printable_cell

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_WIDTH = 100  # characters of a wrapped paragraph, and most of a cell
_FORMULA = re.compile(r"[=+\-@\t\r].", re.DOTALL)


def aligned(rows: Sequence[Sequence[str]], *, gap: int = 2) -> list[str]:
    """Return one line for each row, in columns of equal width, `gap` spaces apart.

    A cell of more than 100 characters is cut: each row has room for the longest one.
    """
    rows = [[_cut(printable_cell(cell[: _WIDTH + 1])) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    space = " " * gap
    return [
        space.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cut(cell: str) -> str:
    return cell if len(cell) <= _WIDTH else f"{cell[: _WIDTH - 3]}..."


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; the first row is the head."""
    head, *body = rows
    return [markdown_row(row) for row in (head, ["---"] * len(head), *body)]


def markdown_row(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    escaped = (markdown_text(printable_cell(cell)).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def markdown_text(text: str) -> str:
    """Return Markdown without control characters, in which no `<` begins a tag of HTML."""
    return _TAG.sub("&lt;", printable(text))


Block = str | Sequence[Sequence[str]]
"""A part of a page: a heading after `# ` or `## `, an item after `- `, a paragraph, or a table."""


def page_as_markdown(blocks: Iterable[Block]) -> str:
    """Return a page as Markdown, with a blank line between its parts but not between items."""
    lines: list[str] = []
    for block in blocks:
        text = [block] if isinstance(block, str) else markdown(block)
        follows_item = lines and lines[-1].startswith("- ") and text[0].startswith("- ")
        lines += [*([""] if lines and not follows_item else []), *text]
    return markdown_text("\n".join(lines) + "\n")


def page_as_text(blocks: Iterable[Block]) -> str:
    """Return a page for a terminal: paragraphs are wrapped, tables are columns."""
    parts = [_paragraph(b) if isinstance(b, str) else "\n".join(aligned(b)) for b in blocks]
    return "\n\n".join(parts)


def _paragraph(text: str) -> str:
    plain = printable(text.lstrip("# ").replace("`", ""))
    indent = "  " if text.startswith("- ") else ""
    return textwrap.fill(plain, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def csv_text(rows: Iterable[Sequence[Any]], *, line_end: str = "\n") -> str:
    """Return rows as CSV; None becomes an empty cell.

    A spreadsheet would compute a text that begins like a formula, so that it gets an apostrophe.
    """
    text = io.StringIO()
    safe = ([_csv_cell(cell) for cell in row] for row in rows)
    csv.writer(text, lineterminator=line_end).writerows(safe)
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return (
        f"'{printable(value)}"
        if _FORMULA.match(value) and not is_number(value)
        else printable(value)
    )


def is_number(text: str) -> bool:
    """Return True if a text is a number as Python writes it, infinities and NaN included."""
    try:
        float(text)
    except ValueError:
        return False
    return True

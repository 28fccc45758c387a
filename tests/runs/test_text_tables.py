"""Tables as text, Markdown and CSV, written by hand."""

from __future__ import annotations

from gan_runner.runs.text_tables import aligned, csv_text, markdown

ROWS = [["tag", "value"], ["a|b", "1"], ["long name", ""]]


def test_columns_of_equal_width() -> None:
    assert aligned(ROWS) == ["tag        value", "a|b        1", "long name"]
    assert aligned(ROWS, gap=1)[1] == "a|b       1"


def test_markdown_escapes_bars() -> None:
    expected = ["| tag | value |", "| --- | --- |", "| a\\|b | 1 |", "| long name |  |"]
    assert markdown(ROWS) == expected


def test_csv_quotes_and_leaves_none_empty() -> None:
    assert csv_text([["a", "b"], ['x,"y"', None]]) == 'a,b\n"x,""y""",\n'
    assert csv_text([["a"]], line_end="\r\n") == "a\r\n"

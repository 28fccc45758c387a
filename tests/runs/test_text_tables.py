"""Tables as text, Markdown and CSV, written by hand."""

from __future__ import annotations

from gan_runner.runs.text_tables import (
    aligned,
    csv_text,
    markdown,
    markdown_text,
    page_as_markdown,
    page_as_text,
)

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


def test_a_file_s_text_begins_no_tag_of_html() -> None:
    lines = markdown([["a<b", "<img src=x onerror=alert(1)>"], ["</td>", "<!--"]])
    assert lines[0] == "| a&lt;b | &lt;img src=x onerror=alert(1)> |"
    assert lines[2] == "| &lt;/td> | &lt;!-- |"
    assert markdown_text("1 < 2, \x1b[31m\n") == "1 < 2, \\x1b[31m\n"


def test_no_cell_of_csv_is_a_formula() -> None:
    cells = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "=", "-", "-1.5", "+2", "-inf", "1-1", -3]
    safe = ["'=1+1", "'+1+1", "'-1+1", "'@SUM(A1)", "=", "-", "-1.5", "+2", "-inf", "1-1", "-3"]
    assert csv_text([cells]) == ",".join(safe) + "\n"


PAGE = ["# Title", "A `code` and a<b> \x1b[0m.", "- one", "- two", ROWS]


def test_a_page_as_markdown() -> None:
    assert page_as_markdown(PAGE) == (
        "# Title\n\nA `code` and a&lt;b> \\x1b[0m.\n\n- one\n- two\n\n"
        "| tag | value |\n| --- | --- |\n| a\\|b | 1 |\n| long name |  |\n"
    )


def test_a_page_for_a_terminal() -> None:
    assert page_as_text(PAGE) == (
        "Title\n\nA code and a<b> \\x1b[0m.\n\n- one\n\n- two\n\n"
        "tag        value\na|b        1\nlong name"
    )
    long = page_as_text(["word " * 50]).splitlines()
    assert max(map(len, long)) <= 100 and " ".join(long) == ("word " * 50).strip()


def test_a_long_cell_is_cut_before_others_are_padded_to_its_width() -> None:
    lines = aligned([["tag", "value"], ["x" * 300_000, "1"], *[["y", "2"]] * 1_000])
    assert max(map(len, lines)) < 120
    assert lines[1].startswith("xxx") and lines[1].endswith("x...  1")
    assert aligned([["x" * 100]]) == ["x" * 100]

"""Sentences in docstrings, comments and pages open with a subject or a verb, not with a question word."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPENING = re.compile(
    r"(?:^|[.!?:]\s+)(What|Whether|Whoever|Of|As of|That which|How)\b(?![^.!?]*\?)"
)
FILES = sorted(
    [*ROOT.glob("gan_runner/**/*.py"), *ROOT.glob("scripts/**/*.py"), *ROOT.glob("conf/**/*.yaml")]
)


def paragraphs(path: Path) -> Iterator[str]:
    text = path.read_text()
    if path.suffix == ".yaml":
        yield from re.findall(r"# (.*)", text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            doc := ast.get_docstring(node)
        ):
            yield from (re.sub(r"\s+", " ", part) for part in re.split(r"\n\s*\n|\n\s*\w+: ", doc))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


def long_sentences(text: str) -> list[str]:
    """Sentences and halves of sentences with more than 25 words, without code and parentheses."""
    plain = re.sub(r"`[^`]*`", "X", re.sub(r"\([^)]*\)", "", text))
    parts = re.split(r"(?<=[.!?:;])\s+", plain)
    return [part for part in parts if len(re.findall(r"[A-Za-z][\w'-]*", part)) > 25]


def test_what_a_long_sentence_is() -> None:
    assert long_sentences("word " * 26) and not long_sentences("word " * 25)
    assert not long_sentences("word " * 20 + "`a b c d e f g` (" + "x " * 9 + "). " + "word " * 20)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_sentence_opens_with_a_question_word(path: Path) -> None:
    assert [p for p in paragraphs(path) if OPENING.search(p)] == []


PACKAGE = [path for path in FILES if path.is_relative_to(ROOT / "gan_runner")]


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(ROOT)))
def test_sentences_have_at_most_25_words(path: Path) -> None:
    prose = [p for p in paragraphs(path) if "gan_runner.build(" not in p]  # an example in code
    assert [part for text in prose for part in long_sentences(text)] == []

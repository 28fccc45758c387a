"""The import rule: a file imports strictly lower ranks, or its own folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gan_runner"
RANKS = {
    "__init__": 0, "core": 0,
    "runs": 1,
    "data": 2, "models": 2, "objectives": 2, "optim": 2, "metrics": 2,
    "plots": 3,  # draw what metrics compute
    "training": 4,
    "config": 5, "builder": 6, "restore": 7,
    "commands/console": 8,
    "sweeps": 9, "studies": 10, "reports": 11, "commands": 12, "train": 13,
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def room(parts: tuple[str, ...]) -> str:
    """The folder or the top-level file that a module of the package lives in."""
    path = "/".join(parts[:2]).removesuffix(".py")
    return path if path in RANKS else parts[0].removesuffix(".py") if parts else "__init__"


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides where it goes"
            assert node.module
            yield from ((*node.module.split("."), alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    here = room(path.relative_to(PACKAGE).parts)
    for name in imported(path):
        if name[0] == "gan_runner":
            there = room(name[1:])
            assert there == here or RANKS[there] < RANKS[here], f"{here} imports {there}"
            # the engine receives its parts, and knows none of them but the stream
            assert here != "training" or there in {"core", "runs", "data", "training"}, there


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_configuration_stops_at_the_builder(path: Path) -> None:
    here = room(path.relative_to(PACKAGE).parts)
    if RANKS[here] < RANKS["config"]:
        assert not {name[0] for name in imported(path)} & {"hydra", "omegaconf"}


def test_the_rule_catches_an_upward_import(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from gan_runner.training.step import Game\nfrom gan_runner import builder\n")
    assert [room(name[1:]) for name in imported(bad)] == ["training", "builder"]

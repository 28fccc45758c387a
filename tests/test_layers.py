"""The house rules: imports go down, no circles, few concepts in the loop, small files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gan_runner"
RANKS = {
    "__init__": 0, "core": 0, "private_apis": 0, "private_hydra": 0,
    "runs": 1,
    "data": 2, "models": 2, "objectives": 2, "optim": 2, "metrics": 2,
    "plots": 3,  # draw what metrics compute
    "training": 4,
    "config": 5, "builder": 6, "restore": 7,
    "evaluation": 8, "sweeps": 8, "studies": 9, "reports": 10, "commands": 11, "train": 12,
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
LOOP = [PACKAGE / "training" / name for name in ("loop.py", "engine.py", "step.py")]


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room(parts: tuple[str, ...]) -> str:
    """The folder or the top-level file that a module of the package lives in."""
    return parts[0].removesuffix(".py") if parts else "__init__"


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides where it goes"
            assert node.module
            yield from ((*node.module.split("."), alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    here = room(path.relative_to(PACKAGE).parts)
    for name in imported(path):
        if name[0] == "gan_runner" and len(name) > 1:
            there = room(name[1:])
            assert there == here or RANKS[there] < RANKS[here], f"{here} imports {there}"
            # the engine receives its parts, and knows none of them but the stream
            assert here != "training" or there in {
                "core",
                "runs",
                "data",
                "training",
                "private_apis",
            }, there


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_import_is_for_types_alone(path: Path) -> None:
    assert "TYPE_CHECKING" not in path.read_text()


def test_no_circle() -> None:
    """Each file's imports, also those inside of functions, can be put into an order."""
    modules = {path.relative_to(PACKAGE).with_suffix("").parts for path in FILES}
    graph = {
        parts: {
            module
            for name in imported(PACKAGE.joinpath(*parts).with_suffix(".py"))
            for module in (name[1:], name[1:-1])
            if name[0] == "gan_runner" and module in modules and module != parts
        }
        for parts in modules
    }
    assert set(TopologicalSorter(graph).static_order()) == modules


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_configuration_stops_at_the_builder(path: Path) -> None:
    here = room(path.relative_to(PACKAGE).parts)
    if RANKS[here] < RANKS["config"] and path.name != "private_hydra.py":
        assert not {name[0] for name in imported(path)} & {"hydra", "omegaconf"}


def test_a_single_run_imports_no_sweeps() -> None:
    code = (
        "import sys; import gan_runner.train, gan_runner.commands.run;"
        " print([m for m in sys.modules if m.startswith(('gan_runner.sweeps', 'gan_runner.studies'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_few_concepts_in_the_loop() -> None:
    """Types and aliases of the project that a reader of loop, engine and step meets."""
    met = set()
    for path in LOOP:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("gan_runner"):
                met |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ClassDef):
                met.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                met |= {t.id for t in targets if isinstance(t, ast.Name)}
    types = {name for name in met if name[0].isupper() and not name.isupper()}
    assert len(types) <= 20, sorted(types)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            longest = 80 if path.name == "loop.py" else 50
            assert node.end_lineno - node.lineno <= longest, node.name


def test_the_rule_catches_an_upward_import(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from gan_runner.training.step import Game\nfrom gan_runner import builder\n")
    assert [room(name[1:]) for name in imported(bad)] == ["training", "builder"]

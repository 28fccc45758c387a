"""Values of wrong types below the keys of a stranger's run: one line, and no traceback."""

from __future__ import annotations

import copy
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_runs import TOY

from gan_runner import train
from gan_runner.builder import build
from gan_runner.commands import compare, evaluate, export, plot, sample, table, verify
from gan_runner.config.compose import compose
from gan_runner.restore import load
from gan_runner.runs.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from gan_runner.runs.read import saved_config
from gan_runner.training.loop import fit

VALUES = [None, 5, "x", [], {}, [1], {"a": 1}, 1e308, True]
COMMANDS: dict[str, Callable[[Path], tuple[Any, ...]]] = {
    "sample": lambda run: (sample.main, run, "--count", 4, "--device", "cpu", "--out", "s.png"),
    "export": lambda run: (export.main, run, "--out", "g.safetensors"),
    "verify": lambda run: (verify.main, run),
    "compare": lambda run: (compare.main, run),
    "evaluate": lambda run: (
        evaluate.main, run, "--device", "cpu", "--count", 16, "--measures", "exact",
    ),
    "plot": lambda run: (plot.main, run, "--tags", "*", "--out", "c.png"),
    "table": lambda run: (table.main, run, "--tags", "*"),
    "resume": lambda run: (train.main, f"resume={run}", "trainer.steps=3"),
    "repeat": lambda run: (train.main, f"repeat={run}", "trainer.steps=1", "hydra.run.dir=again"),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    words = ["trainer.steps=2", "trainer.checkpoint_every=1", "trainer.log_every=1"]
    fit(build(compose(*TOY, *words, "metrics=none")), folder)
    return folder


def places(tree: Any, depth: int, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key in tree if isinstance(tree, dict) and depth else ():
        yield (*path, key)
        yield from places(tree[key], depth - 1, (*path, key))


def with_value(config: dict[str, Any], path: Sequence[str], value: Any) -> str:
    """The text of a configuration with another value at a path."""
    tree = copy.deepcopy(config)
    node = tree
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = value
    return yaml.safe_dump(tree)


KNOWN = [
    (("averages",), 5), (("averages",), None), (("averages", "a"), 5), (("metrics", "images"), 5),
    (("seed",), None), (("seed",), [1]), (("seed",), {"a": 1}), (("objective",), None),
    (("model", "generator"), 5), (("choices", "objective"), {"a": 1}), (("plots", "x"), [1]),
]  # fmt: skip


def call(
    command: str, text: str, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a command on a copy of a run; it may exit, but raises no other error."""
    shutil.rmtree(tmp_path, ignore_errors=True)
    run = Path(shutil.copytree(original, tmp_path / "run"))
    (run / "config.yaml").write_text(text)
    main, *arguments = COMMANDS[command](run)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gan", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        assert end.code in (None, 0, 1, 2)


@pytest.mark.parametrize(("path", "value"), KNOWN)
@pytest.mark.parametrize("command", ["sample", "compare", "table"])
def test_known_wrong_types(
    command: str, path: tuple[str, ...], value: Any, original: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    text = with_value(saved_config(original), path, value)
    call(command, text, original, tmp_path / "here", monkeypatch)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_random_wrong_types(
    seed: int, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    choose = random.Random(seed)
    config = saved_config(original)
    path, value = choose.choice([*places(config, 3)]), choose.choice(VALUES)
    for command in choose.sample(sorted(COMMANDS), 3):
        text = with_value(config, path, value)
        call(command, text, original, tmp_path / "here", monkeypatch)
        assert "Traceback" not in capsys.readouterr().err, (command, path, value)


def test_a_checkpoint_whose_averages_are_a_number(original: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(original, tmp_path / "run"))
    for step in (1, 2):
        path = checkpoint_path(run, step)
        save_checkpoint(path, {**load_checkpoint(path), "averages": 5})
    with (
        pytest.warns(UserWarning, match="averages is missing or not of type dict"),
        pytest.raises(ValueError, match="has no checkpoint that can be read"),
    ):
        load(run, device="cpu")

"""The reader of run files: malformed files get one line that names the file."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gan_runner.runs import read

FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "config.yaml": (read.saved_config, "model: {}\ntrainer: {steps: 5}\n"),
    "provenance.json": (read.read_provenance, '{"loss/critic": {"batch": 64}}\n'),
    "summary.json": (read.read_summary, '{"status": "completed", "final": {"a": 1.0}}\n'),
    "job.json": (read.read_note, '{"status": "failed", "overrides": [], "number": 0}\n'),
    "metrics.jsonl": (
        lambda d: read.read_points(d / "metrics.jsonl"),
        '{"step": 1, "a": 2}\n',
    ),
}
DEEP = "[" * 100_000
PIECES = [b"[", b"{", b"}", b"]", b'"', b":", b"\xff", b"null", b"3", b",", b"\n", b"- ", b"&a *a"]


def damaged(text: str, dice: random.Random) -> bytes:
    content = bytearray(text.encode())
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(content) + 1)
        content[at : at + dice.randint(0, 6)] = dice.choice(PIECES)
    return bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    read, text = FILES[name]
    (tmp_path / name).write_text(text)
    assert read(tmp_path)
    dice, refused = random.Random(0), 0
    for _ in range(300):
        (tmp_path / name).write_bytes(damaged(text, dice))
        try:
            read(tmp_path)
        except ValueError as error:
            refused += 1
            assert str(tmp_path) in str(error) and "\n" not in str(error)
    assert refused > 20


@pytest.mark.parametrize("text", [DEEP, "[]", "3", '{"a": [}'])
def test_json_of_another_shape(text: str, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(text)
    assert read.try_json(path) is None
    with pytest.raises(ValueError, match=r"summary\.json is not (JSON|a JSON object)"):
        read.read_json(path)


def test_a_job_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps({"status": "failed", "number": 3}))
    with pytest.raises(ValueError, match="overrides is missing or not of type list"):
        read.read_note(tmp_path)
    assert read.read_note(tmp_path / "none") is None


def test_reading_imports_neither_torch_nor_hydra() -> None:
    code = (
        "import sys, gan_runner.runs.comparison, gan_runner.runs.tags, gan_runner.runs.text_tables;"
        "print({'torch', 'hydra', 'omegaconf'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

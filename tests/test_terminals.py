"""Hang-ups, outputs that are full or closed, names that a shell would read, notebooks' backends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from covering import some

from gan_runner.commands import terminal
from gan_runner.commands.terminal import _Output
from gan_runner.runs.checkpoint import checkpoint_steps

RUN = (
    "dataset=gaussians8", "dataset.n_samples=200", "model=mlp", "model.width=8", "model.depth=1",
    "trainer.batch_size=16", "trainer.steps=4", "trainer.log_every=2", "trainer.checkpoint_every=2",
    "trainer.evaluate_every=2", "trainer.sample_every=2", "trainer.num_eval_samples=16",
    "trainer.precision=fp32", "trainer.accelerate=eager", "metrics=none", "plots=none",
    "device=cpu",
)  # fmt: skip
LONG = (*RUN, "trainer.steps=1000000", "trainer.checkpoint_every=1000000")
ODD = "a, b $(x) [1]"


def status(run: Path) -> str:
    return str(json.loads((run / "summary.json").read_text())["status"])


def wait_for_points(run: Path) -> None:
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").is_file() or not (run / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline, "the run has not begun"
        time.sleep(0.05)


# Hang-ups


def test_a_hang_up_saves_and_stops(zygote: Any, tmp_path: Path) -> None:
    zygote.start(tmp_path, *LONG, "hydra.run.dir=r")
    wait_for_points(tmp_path / "r")
    zygote.kill(signal.SIGHUP)
    assert zygote.wait() == 128 + signal.SIGHUP
    assert (
        "stopped by SIGHUP; continue with gan-run resume=r" in (tmp_path / "output.txt").read_text()
    )
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert (summary["status"], summary["signal"]) == ("interrupted", "SIGHUP")
    assert checkpoint_steps(tmp_path / "r")[-1] == summary["steps"]


def test_a_hang_up_under_nohup_is_ignored(zygote: Any, tmp_path: Path) -> None:
    zygote.start(tmp_path, *LONG, "hydra.run.dir=r", ignored=[signal.SIGHUP])
    wait_for_points(tmp_path / "r")
    zygote.kill(signal.SIGHUP)
    lines = len((tmp_path / "r" / "metrics.jsonl").read_text().splitlines())
    deadline = time.monotonic() + 60
    while len((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()) <= lines + 2:
        assert time.monotonic() < deadline and not zygote.ended()
        time.sleep(0.05)
    zygote.kill(signal.SIGTERM)
    assert zygote.wait() == 128 + signal.SIGTERM


# Full and closed outputs


def test_a_run_goes_on_where_the_output_is_full(zygote: Any, tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    zygote.start(tmp_path, *RUN, "hydra.run.dir=r", out="/dev/full", errors=str(errors))
    assert zygote.wait() == 0
    assert status(tmp_path / "r") == "completed"
    said = "gan-run: standard output: No space left on device; the rest of it is discarded"
    assert errors.read_text().count(said) == 1


def test_a_run_goes_on_where_standard_error_is_full(zygote: Any, tmp_path: Path) -> None:
    zygote.start(tmp_path, *RUN, "hydra.run.dir=r", errors="/dev/full")
    assert zygote.wait() == 0
    assert status(tmp_path / "r") == "completed"


def test_a_table_on_a_full_output_is_a_failure(zygote: Any, tmp_path: Path) -> None:
    assert zygote.run(tmp_path, *RUN, "hydra.run.dir=r")[0] == 0
    errors = tmp_path / "errors.txt"
    zygote.start(
        tmp_path, "r", module="gan_runner.commands.compare", out="/dev/full", errors=str(errors)
    )
    assert zygote.wait() == 1
    assert "gan-compare: standard output: No space left on device" in errors.read_text()


@pytest.mark.parametrize("closed", some(["<&- >&- 2>&-", ">&-", "2>&-", ">&- 2>&-"], one_in=4))
def test_a_run_goes_on_with_closed_output(tmp_path: Path, closed: str) -> None:
    words = shlex.join(["-m", "gan_runner.train", *RUN, "hydra.run.dir=r"])
    command = f"exec {shlex.quote(sys.executable)} {words} {closed}"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path).returncode == 0
    assert status(tmp_path / "r") == "completed"
    assert (tmp_path / "r" / "metrics.jsonl").read_text().count("\n") == 2


class Full:
    """A stream on a device without space, such as a disk that fills up."""

    def __init__(self, errno: int) -> None:
        self.errno = errno

    def write(self, text: str) -> int:
        raise OSError(self.errno, "reason")

    def flush(self) -> None:
        raise OSError(self.errno, "reason")

    def fileno(self) -> int:
        return self.file.fileno()


@pytest.mark.parametrize(("errno", "is_full"), [(28, True), (5, True), (32, False)])
def test_the_cause_is_said_once_except_for_a_closed_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture, errno: int, is_full: bool
) -> None:
    stream = Full(errno)
    with (tmp_path / "file").open("w") as stream.file:
        output = _Output(stream, "gan-x: standard output")  # type: ignore[arg-type]
        assert output.write("text") == 4
        output.flush()
    assert output.is_full is is_full
    assert capsys.readouterr().err.count("gan-x: standard output: reason") == is_full


# Encodings


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", r"0.5 +- 0.1 3x3 caf\xe9 \u0444 \udce9"),
        ("latin-1", "0.5 ± 0.1 3\xd73 café \\u0444 \\udce9"),
    ],
)
def test_what_an_encoding_lacks_is_spelled_out(tmp_path: Path, encoding: str, written: str) -> None:
    with (tmp_path / "file").open("w", encoding=encoding) as stream:
        _Output(stream, "gan-x: standard output").write("0.5 ± 0.1 3\xd73 café ф \udce9")
    assert (tmp_path / "file").read_text(encoding=encoding) == written


def test_a_sweep_prints_its_table_in_ascii(zygote: Any, tmp_path: Path) -> None:
    env = {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"}
    command = [
        sys.executable,
        "-m",
        "gan_runner.train",
        "-m",
        "seed=0,1",
        *RUN,
        "metrics=default",
        "metrics.probe=null",
        "metrics.lipschitz=null",
        "hydra.sweep.dir=s",
    ]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **env}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"mean +- standard error" in done.stdout + done.stderr


# Names that a shell would read


def test_printed_commands_are_quoted(zygote: Any, tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    out = str(tmp_path / "output.txt")
    zygote.start(folder, *RUN, f'hydra.run.dir="{ODD}"', "plots=default", out=out)
    assert zygote.wait() == 0, Path(out).read_text()
    (more,) = [w for w in Path(out).read_text().splitlines() if w.startswith("  more ")]
    command = shlex.split(more.removeprefix("  more"))
    assert command[:2] == ["gan-sample", ODD]
    zygote.start(folder, *command[1:], module="gan_runner.commands.sample", out=out)
    assert zygote.wait() == 0, Path(out).read_text()
    zygote.start(folder, f"resume={ODD}", "trainer.steps=6", out=out)
    assert zygote.wait() == 0, Path(out).read_text()


def test_the_command_to_continue_is_quoted(zygote: Any, tmp_path: Path) -> None:
    zygote.start(tmp_path, *LONG, f'hydra.run.dir="{ODD}"')
    wait_for_points(tmp_path / ODD)
    zygote.kill(signal.SIGTERM)
    zygote.wait()
    line = (tmp_path / "output.txt").read_text().splitlines()[-1]
    assert shlex.split(line)[-2:] == ["gan-run", f"resume={ODD}"]


# Backends of matplotlib


@pytest.mark.parametrize(
    "backend", some(["module://matplotlib_inline.backend_inline", "nosuch", "TkAgg"], one_in=3)
)
def test_a_backend_of_a_notebook_does_not_matter(zygote: Any, tmp_path: Path, backend: str) -> None:
    env = {"MPLBACKEND": backend}
    code, out = zygote.run(tmp_path, *RUN, "plots=full", "hydra.run.dir=r", env=env)
    assert code == 0, out
    assert list((tmp_path / "r" / "samples").glob("*.png"))


SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_guards_its_output(script: str) -> None:
    module, _, name = SCRIPTS[script].partition(":")
    assert f'@terminal("{script}")\ndef {name}(' in Path(find_spec(module).origin).read_text()


def test_the_terminal_is_given_back() -> None:
    before = sys.stdout, sys.stderr
    with terminal.terminal("gan-x"):
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before

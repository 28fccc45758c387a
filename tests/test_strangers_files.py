"""A run directory or a sweep of a stranger: nothing outside is touched, nothing ends in a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from covering import covering, some

from gan_runner import train
from gan_runner.builder import build
from gan_runner.commands import compare, export, report, sample, table, verify
from gan_runner.config.compose import compose
from gan_runner.runs.checkpoint import (
    checkpoint_path,
    checkpoint_steps,
    load_checkpoint,
    save_checkpoint,
)
from gan_runner.sweeps.jobs import write_note
from gan_runner.training.loop import fit

ARGUMENTS = (
    "dataset=gaussians8", "dataset.n_samples=200", "model=mlp", "model.width=8", "model.depth=1",
    "trainer.batch_size=16", "trainer.steps=2", "trainer.log_every=1", "trainer.checkpoint_every=1",
    "trainer.num_eval_samples=16", "trainer.precision=fp32", "trainer.sample_every=1",
    "trainer.evaluate_every=1", "trainer.checkpoint_metric=wasserstein/critic", "device=cpu",
    "metrics=none", "plots=none",
)  # fmt: skip
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def make(folder: Path, *arguments: str) -> Path:
    fit(build(compose(*ARGUMENTS, *arguments)), folder)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("original") / "run", "plots=default")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("pack") / "run", "trainer.replicas=2")


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run"))


@pytest.fixture
def sweep(original: Path, tmp_path: Path) -> Path:
    """A sweep of a study with two jobs."""
    folder = tmp_path / "sweep"
    for number, (name, objective) in enumerate((("a", "gan"), ("b", "wgan_gp"))):
        shutil.copytree(original, folder / name)
        config = {"study": {"name": "robustness"}, "objective": {"n_critic": 1}}
        overrides = [f"objective={objective}", "model.seed=0"]
        note = {"overrides": overrides, "number": number, "status": "completed", "config": config}
        write_note(folder / name, {**note, "error": ""})
    return folder


class Ended(Exception):
    """A command that ended with a traceback."""


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, tmp_path: Path
) -> Iterator[Callable[..., tuple[int, str]]]:
    """Run a command in this process; return its exit status and all that it printed."""

    def called(main: Callable[[], None], *arguments: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gan", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except Exception as error:
            raise Ended(f"{type(error).__name__}: {error}") from error
        out, err = capfd.readouterr()
        return code, out + err

    yield called


def resume(run_dir: Path, steps: int = 4) -> tuple[Any, ...]:
    return train.main, f"resume={run_dir}", f"trainer.steps={steps}"


OF_A_RUN: dict[str, Callable[[Path], tuple[Any, ...]]] = {
    "gan-sample": lambda run: (sample.main, run, "--count", 4, "--device", "cpu", "--out", "s.png"),
    "gan-export": lambda run: (export.main, run, "--out", "g.safetensors"),
    "gan-verify": lambda run: (verify.main, run),
    "gan-compare": lambda run: (compare.main, run),
    "resume": resume,
}
OF_A_SWEEP: dict[str, Callable[[Path], tuple[Any, ...]]] = {
    "gan-table": lambda sweep: (table.main, sweep),
    "gan-report": lambda sweep: (report.main, sweep),
}


# Links


LINKS = [
    "config.yaml.partial", "architecture.txt.partial", "summary.json.partial",
    "provenance.json.partial", "metrics.jsonl.partial", "checkpoints/step_00000003.pt.partial",
    "checkpoints/step_00000004.pt.partial", "checkpoints/best.pt.partial",
    "samples/step_000003.png.partial", "samples/step_000004.png.partial", "metrics.jsonl",
    "config.yaml", "summary.json", "checkpoints/step_00000004.pt", "samples/step_000004.png",
]  # fmt: skip


@pytest.mark.parametrize("name", some(LINKS, one_in=2))
def test_a_resumed_run_writes_through_no_link(call: Any, run: Path, name: str) -> None:
    victim = run.parent / "victim"
    path = run / name
    if path.exists():  # the link's target has the contents that the run needs
        victim.write_bytes(path.read_bytes())
        path.unlink()
    else:
        victim.write_text("precious")
    before = victim.read_bytes()
    path.symlink_to(victim)
    code, out = call(*resume(run))
    assert victim.read_bytes() == before
    if code == 0:
        assert not path.is_symlink() and checkpoint_steps(run) == [3, 4]
    else:  # a file that is read is not read through a link either
        assert code == 2 and name in ("config.yaml", "metrics.jsonl", "summary.json"), out
        assert f"{path}: leads out of {run}; remove the link" in out


@pytest.mark.parametrize("name", [".writable", ".lock", "config.yaml.partial"])
def test_a_new_run_writes_through_no_link(tmp_path: Path, name: str) -> None:
    (tmp_path / "victim").write_text("precious")
    os.utime(tmp_path / "victim", (1, 1))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to("../victim")
    engine = build(compose(*ARGUMENTS))
    if name == ".lock":
        with pytest.raises(ValueError, match=r"\.lock: is a link; remove it"):
            fit(engine, tmp_path / "run")
    else:
        assert fit(engine, tmp_path / "run")["status"] == "completed"
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "victim").stat().st_mtime == 1


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", ["checkpoints", "samples"])
def test_a_linked_folder_is_refused_before_anything_is_written(
    call: Any, run: Path, name: str
) -> None:
    other = run.parent / "other"
    shutil.move(run / name, other)
    (run / name).symlink_to("../other")
    before = files_of(run), files_of(other)
    code, out = call(*resume(run))
    assert code == 2 and f"{run / name}: leads out of {run}; remove the link" in out
    assert (files_of(run), files_of(other)) == before


def test_a_linked_replica_is_refused_before_anything_is_written(
    call: Any, pack: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(pack, tmp_path / "run"))
    shutil.move(run / "replica_1", tmp_path / "other")
    (run / "replica_1").symlink_to("../other")
    before = files_of(run), files_of(tmp_path / "other")
    code, out = call(*resume(run))
    assert code == 2 and f"{run / 'replica_1'}: leads out of {run}; remove the link" in out
    assert (files_of(run), files_of(tmp_path / "other")) == before


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/elsewhere", "a/b", "", "a\x1bb", "ok.png"])
@pytest.mark.parametrize("command", ["resume", "gan-verify"])
def test_the_name_of_a_plot_is_a_word(call: Any, run: Path, name: str, command: str) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["plots"] = {name: config["plots"]["samples"]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    before = files_of(run.parent)
    code, out = call(*OF_A_RUN[command](run))
    assert code == 2 and "plots." in out and "letters, digits" in out and out.count("\n") == 1
    assert files_of(run.parent) == before


def test_only_checkpoints_that_the_package_named_are_removed(call: Any, run: Path) -> None:
    folder = run / "checkpoints"
    own = ["step_best_so_far.pt", "step_00000001_before_lr_change.pt", "step_1.pt", "x.pt"]
    for name in own:
        shutil.copy(checkpoint_path(run, 1), folder / name)
    assert call(verify.main, run)[0] == 0
    assert call(*resume(run))[0] == 0
    assert checkpoint_steps(run) == [3, 4]
    assert {*own, "best.pt"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("part", "command"),
    covering(
        ["state", "step", "generator", "average", "random", "shape"],
        ["gan-sample", "gan-export", "resume", "gan-verify"],
        one_in=2,
    ),
)
def test_a_checkpoint_without_a_part_is_passed_over(
    call: Any, run: Path, part: str, command: str
) -> None:
    path = checkpoint_path(run, 2)
    if part == "state":
        torch.save({"format": 2, "checksum": ""}, path)
    else:
        state = load_checkpoint(path)
        save_checkpoint(path, {key: value for key, value in state.items() if key != part})
    code, out = call(*OF_A_RUN[command](run))
    assert "step_00000002.pt" in out
    if command == "gan-verify":  # which compares the last two
        assert code == 2 and out.count("\n") == 1
    else:
        assert code == 0 and "using the one before it" in out


def test_a_checkpoint_of_other_networks_is_one_line(call: Any, run: Path) -> None:
    for step in (1, 2):
        state = load_checkpoint(checkpoint_path(run, step))
        save_checkpoint(checkpoint_path(run, step), {**state, "critic": {}, "random": {}})
    for command in ("gan-sample", "gan-verify", "resume"):
        code, out = call(*OF_A_RUN[command](run))
        assert code == 2 and "checkpoint does not fit its config.yaml" in out, command


# Control characters


def with_escapes(value: Any) -> Any:
    """The same tree with an escape sequence at the end of each text, keys of mappings too."""
    if isinstance(value, dict):
        return {key: with_escapes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_escapes(item) for item in value]
    return f"{value}\x1b]0;pwned\x07\x9b2J\u202e" if isinstance(value, str) else value


def texts_of(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each text in a tree."""
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in items:
        if isinstance(value, str):
            yield (*path, key)
        else:
            yield from texts_of(value, (*path, key))


def spoil(tree: Any, path: tuple[Any, ...]) -> None:
    *parents, key = path
    for name in parents:
        tree = tree[name]
    tree[key] = with_escapes(tree[key])


@pytest.mark.parametrize(
    "name", some(["config.yaml", "summary.json", "metrics.jsonl", "provenance.json"], one_in=2)
)
def test_no_control_character_of_a_run_reaches_the_terminal(
    call: Any, run: Path, name: str
) -> None:
    path = run / name
    if name == "metrics.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        spoiled = [{**line, "wasserstein/\x1b[2J\u202e": 1.0} for line in lines]
        path.write_text("".join(json.dumps(line) + "\n" for line in spoiled))
        for command in OF_A_RUN.values():
            assert not RAW.search(call(*command(run))[1])
        return
    load, dump = (
        (yaml.safe_load, yaml.safe_dump) if name.endswith("yaml") else (json.loads, json.dumps)
    )
    original = path.read_text()
    places = list(texts_of(load(original)))
    assert places
    commands = list(OF_A_RUN)
    for turn, place in enumerate(places):  # each command meets every fifth text
        tree = load(original)
        spoil(tree, place)
        path.write_text(dump(tree))
        code, out = call(*OF_A_RUN[commands[turn % len(commands)]](run))
        assert not RAW.search(out), (place, out)
        assert code in (0, 2), (place, out)
    tree = {**load(original), "\x1b[2J": {"\x1b]0;x\x07": 1}}
    path.write_text(dump(tree))
    for command in OF_A_RUN.values():
        assert not RAW.search(call(*command(run))[1])


@pytest.mark.parametrize(
    "name", ["job.json", "summary.json", "config.yaml", "sweep.json", "study.json"]
)
@pytest.mark.parametrize("command", OF_A_SWEEP)
def test_no_control_character_of_a_sweep_reaches_the_terminal(
    call: Any, sweep: Path, name: str, command: str
) -> None:
    call(table.main, sweep)  # writes study.json
    path = sweep / name if name in ("sweep.json", "study.json") else sweep / "a" / name
    if name == "sweep.json":
        path.write_text(json.dumps({"jobs": [["objective=gan"]], "sources": "", "command": ["x"]}))
    if name == "study.json":
        shutil.rmtree(sweep / "a")
        shutil.rmtree(sweep / "b")
    load, dump = (
        (yaml.safe_load, yaml.safe_dump) if name.endswith("yaml") else (json.loads, json.dumps)
    )
    path.write_text(dump(with_escapes(load(path.read_text()))))
    code, out = call(*OF_A_SWEEP[command](sweep))
    assert code in (0, 2) and not RAW.search(out), out
    for page in sweep.glob("*.md"):
        assert not RAW.search(page.read_text())
    for sheet in sweep.glob("*.csv"):
        assert not RAW.search(sheet.read_text())


def test_no_control_character_of_a_name_reaches_the_terminal(call: Any, run: Path) -> None:
    odd = run.rename(run.with_name("run\x1b[2J\n\udc80"))
    for command in OF_A_RUN.values():
        assert not RAW.search(call(*command(odd))[1].replace("\n", ""))


# Malformed files


DEEP_JSON, DEEP_YAML = '{"a":' * 3000 + "1" + "}" * 3000, "[" * 3000 + "]" * 3000
LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9)
)
DAMAGE = {
    "empty": b"",
    "binary": bytes(range(256)) * 8,
    "list": b"[1, 2]",
    "number": b"3",
    "text": b'"text"',
    "null": b"null",
    "object": b"{}",
    "nan": b'{"step": NaN, "status": NaN, "steps": Infinity, "final": NaN}\n',
    "deep": DEEP_JSON.encode(),
    "deep list": DEEP_YAML.encode(),
    "deep within": (
        '{"model": {}, "trainer": {}, "config": ' + '{"a":' * 300 + "1" + "}" * 301
    ).encode(),
    "huge": b'{"step": 1' + b"0" * 400 + b', "steps": 1' + b"0" * 400 + b"}\n",
    "lines": b"\n\n{\n}\n",
    "recursive": b"model: &a {b: *a}\ntrainer: &c [*c]\n",
    "laughs": (LAUGHS + "model: {a: *a9}\ntrainer: {}\n").encode(),
    "odd tags": b"model: !!timestamp x\ntrainer: !!int ''\n",
}


def is_proper(code: int, out: str, program: str) -> bool:
    """Whether a command succeeded, or ended with lines of its own on standard error."""
    lines = [line for line in out.splitlines() if "warning:" not in line]
    return code == 0 or (code in (1, 2) and lines != [] and lines[-1].startswith(f"{program}:"))


@pytest.mark.parametrize(
    ("name", "damage"),
    covering(
        ["config.yaml", "summary.json", "provenance.json", "metrics.jsonl"], [*DAMAGE], one_in=4
    ),
)
def test_a_malformed_file_of_a_run_is_one_line(
    call: Any, run: Path, name: str, damage: str
) -> None:
    (run / name).write_bytes(DAMAGE[damage])
    for program, command in OF_A_RUN.items():
        code, out = call(*command(run))
        assert is_proper(code, out, program.replace("resume", "gan-run")), (program, out)
    if name == "config.yaml":
        assert code == 2


OF_SWEEPS = [
    "a/job.json", "a/summary.json", "a/provenance.json", "a/metrics.jsonl", "a/config.yaml",
    "sweep.json", "study.json", "results.csv", "sweep.csv",
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage"), covering(OF_SWEEPS, [*DAMAGE], one_in=3))
def test_a_malformed_file_of_a_sweep_is_one_line(
    call: Any, sweep: Path, name: str, damage: str
) -> None:
    for jobs in (True, False):  # with its jobs, and as a published directory without them
        if not jobs:
            call(table.main, sweep)
            shutil.rmtree(sweep / "a", ignore_errors=True)
            shutil.rmtree(sweep / "b")
            (sweep / "study.json").touch()
        if (sweep / name).parent.exists():
            (sweep / name).write_bytes(DAMAGE[damage])
        for program, command in OF_A_SWEEP.items():
            code, out = call(*command(sweep))
            assert is_proper(code, out, program), (program, jobs, out)


VALUES = [None, [], "x", 1e300]
OTHERS = [pytest.param(v, marks=pytest.mark.slow) for v in ([1], {}, {"a": 1}, {"a": {}}, -1, True)]


def shallow(tree: Any, depth: int, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(tree, dict) and depth:
        for key, value in tree.items():
            yield (*path, key)
            yield from shallow(value, depth - 1, (*path, key))


@pytest.mark.parametrize("value", [*VALUES, *OTHERS], ids=repr)
@pytest.mark.parametrize("name", some(["job.json", "summary.json", "provenance.json"], one_in=2))
def test_a_key_of_another_type_is_no_traceback(
    call: Any, sweep: Path, name: str, value: Any
) -> None:
    path = sweep / "a" / name
    original = json.loads(path.read_text())
    for place in [*shallow(original, 2)]:
        tree = json.loads(json.dumps(original))
        *parents, key = place
        node = tree
        for parent in parents:
            node = node[parent]
        node[key] = value
        path.write_text(json.dumps(tree))
        commands = {"gan-table": (table.main, sweep), "gan-compare": (compare.main, sweep / "a")}
        for program, command in commands.items():
            code, out = call(*command)
            assert is_proper(code, out, program), (place, out)
    code, out = call(report.main, sweep)
    assert is_proper(code, out, "gan-report"), out


# Reports read inside


@pytest.mark.parametrize("name", ["sweep.csv", "results.csv", "study.json", "sweep.json"])
@pytest.mark.parametrize("command", OF_A_SWEEP)
def test_a_table_or_report_reads_no_file_outside(
    call: Any, sweep: Path, name: str, command: str
) -> None:
    call(table.main, sweep)
    shutil.rmtree(sweep / "a")
    shutil.rmtree(sweep / "b")
    (sweep.parent / "secrets").write_text('{"dataset": "s3cret"}\ns3cret,job\n1,2\n')
    (sweep / name).unlink(missing_ok=True)
    (sweep / name).symlink_to("../secrets")
    _, out = call(*OF_A_SWEEP[command](sweep))
    written = [p.read_text() for p in sweep.iterdir() if p.is_file() and not p.is_symlink()]
    assert not any("s3cret" in text for text in [out, *written])


@pytest.mark.parametrize("name", ["linked", "a/summary.json", "a/job.json", "a/metrics.jsonl",
                                  "a/provenance.json", "a/samples"])  # fmt: skip
@pytest.mark.parametrize("command", OF_A_SWEEP)
def test_a_job_outside_is_left_out(
    call: Any, sweep: Path, original: Path, name: str, command: str
) -> None:
    other = Path(shutil.copytree(sweep / "b", sweep.parent / "other_run"))
    for path in other.glob("*.json*"):
        text = path.read_text().replace("wgan_gp", "s3cret").replace("loss/", "s3cret/")
        path.write_text(text)
    target = other / Path(name).name if "/" in name else other
    if (sweep / name).is_dir():
        shutil.rmtree(sweep / name)
    (sweep / name).unlink(missing_ok=True)
    (sweep / name).symlink_to(target)
    code, out = call(*OF_A_SWEEP[command](sweep))
    assert code in (0, 2)
    written = [p.read_text() for p in sweep.iterdir() if p.is_file()]
    assert not any("s3cret" in text for text in [out, *written])


@pytest.mark.parametrize("drawn", [None, {}, {"depth": None}, {"depth": [1]}])
@pytest.mark.parametrize("command", OF_A_SWEEP)
def test_a_study_whose_architectures_are_not_written_down(
    call: Any, sweep: Path, command: str, drawn: Any
) -> None:
    for path in sweep.glob("*/summary.json"):
        summary = json.loads(path.read_text())
        for network in summary["networks"].values():
            network["architecture"] = drawn
        path.write_text(json.dumps(summary))
    code, out = call(*OF_A_SWEEP[command](sweep))
    assert code == 0, out

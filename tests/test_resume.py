"""A run that is killed, preempted or out of disk continues to the same end, bit for bit."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Zygote
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_runner.commands.export import export
from gan_runner.commands.verify import main as verify_main
from gan_runner.commands.verify import verify
from gan_runner.evaluation.request import Request
from gan_runner.evaluation.subjects import subject_of
from gan_runner.restore import load, rebuild_engine, resume_states
from gan_runner.runs.checkpoint import (
    best_path,
    checkpoints,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit

CPU = torch.device("cpu")
STEPS = 60
COMMAND = (
    "model.filters=4", "trainer.batch_size=16", "trainer.num_eval_samples=64", "trainer.log_every=7",
    "trainer.evaluate_every=20", "trainer.sample_every=30", "trainer.checkpoint_every=5",
)  # fmt: skip


def everything(run_dir: Path) -> dict[str, Any]:
    """What two equal runs have in common: state, log, TensorBoard's curves, pictures."""
    log = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    board = EventAccumulator(str(run_dir), size_guidance={"scalars": 0, "images": 0}).Reload()
    curves = {
        tag: [(e.step, e.value) for e in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
        if not tag.startswith("speed/")
    }
    summary = json.loads((run_dir / "summary.json").read_text())
    return {
        "state": fingerprint(load_checkpoint(checkpoints(run_dir)[-1])),
        "log": [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in log],
        "curves": curves,
        "images": [e.step for e in board.Images("samples")],
        "plots": {p.name: p.read_bytes() for p in sorted((run_dir / "samples").iterdir())},
        "final": {k: v for k, v in summary["final"].items() if not k.startswith("speed/")},
        "best": {k: v for k, v in summary["best"].items() if not k.startswith("speed/")},
        "best state": fingerprint(load_checkpoint(best_path(run_dir))),
        "end": (summary["status"], summary["steps"]),
        "health": summary["health"],
    }


@pytest.fixture(scope="module")
def uninterrupted(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    cwd = tmp_path_factory.mktemp("whole")
    code, out = zygote.run(cwd, *COMMAND, f"trainer.steps={STEPS}", "hydra.run.dir=run")
    assert code == 0, out
    return {**everything(cwd / "run"), "dir": cwd / "run"}


def assert_same(run_dir: Path, uninterrupted: dict[str, Any]) -> None:
    for name, value in everything(run_dir).items():
        assert value == uninterrupted[name], name


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


KILLS = [pytest.param(k, marks=() if k in (0, 6) else pytest.mark.slow) for k in range(20)]


@pytest.mark.parametrize("k", KILLS)
def test_killed_at_any_instant(
    zygote: Zygote, tmp_path: Path, uninterrupted: dict[str, Any], k: int
) -> None:
    """SIGKILL: four times in the middle of a save, twice at the end, then whenever; twice a run."""
    command = (*COMMAND, f"trainer.steps={STEPS}", "hydra.run.dir=run")
    run, moment = tmp_path / "run", random.Random(k)
    for argv in (command, ("resume=run",)):
        before = newest(run)
        zygote.start(tmp_path, *argv, kill_in_save=moment.randint(2, 5) if k < 4 else 0)
        if k in (4, 5):
            until(lambda: (run / "summary.json").exists())  # the last thing that is written
            zygote.kill(signal.SIGKILL)
        elif k > 5:
            until(lambda before=before: newest(run) > before or zygote.ended())
            time.sleep(moment.uniform(0, 0.25))
            zygote.kill(signal.SIGKILL)
        code = zygote.wait()  # it may have been faster, or have had nothing left to do
        assert code in (-signal.SIGKILL, 0) or is_done(code, tmp_path / "output.txt")
    code, out = zygote.run(tmp_path, "resume=run")
    assert code == 0 or is_done(code, tmp_path / "output.txt"), out
    assert_same(run, uninterrupted)


def is_done(code: int, out: Path) -> bool:
    return code == 2 and "to continue, ask for more" in out.read_text()


def newest(run_dir: Path) -> float:
    times = [path.stat().st_mtime_ns for path in checkpoints(run_dir) if path.exists()]
    return max(times, default=0)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name", ["SIGINT", "SIGTERM", *(pytest.param(n, marks=SLOW) for n in ("SIGUSR1", "SIGUSR2"))]
)
def test_a_signal_saves_and_stops(
    zygote: Zygote, tmp_path: Path, uninterrupted: dict[str, Any], name: str
) -> None:
    number = signal.Signals[name]
    zygote.start(tmp_path, *COMMAND, f"trainer.steps={STEPS}", "hydra.run.dir=run")
    until(lambda: newest(tmp_path / "run"))
    zygote.kill(number)
    assert zygote.wait() == 128 + number
    assert (
        f"stopped by {name}; continue with gan-run resume=run"
        in (tmp_path / "output.txt").read_text()
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["signal"]) == ("interrupted", name)
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == summary["steps"] < STEPS
    assert zygote.run(tmp_path, "resume=run")[0] == 0
    assert_same(tmp_path / "run", uninterrupted)


def test_more_steps_equal_a_longer_run(
    zygote: Zygote, tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    """33 is no multiple of anything: what the shorter run's end wrote must not stay."""
    assert zygote.run(tmp_path, *COMMAND, "trainer.steps=33", "hydra.run.dir=run")[0] == 0
    code, out = zygote.run(tmp_path, "resume=run", f"trainer.steps={STEPS}")
    assert code == 0, out
    (tmp_path / "run" / "samples" / "step_000033.png").unlink()  # a picture more is no harm
    ours, theirs = everything(tmp_path / "run"), uninterrupted
    assert all(ours[name] == theirs[name] for name in ("state", "log", "curves", "plots", "end"))


@pytest.mark.parametrize(
    "how", ["flipped", *(pytest.param(how, marks=SLOW) for how in ("empty", "truncated"))]
)
def test_a_damaged_checkpoint_is_passed_over(
    zygote: Zygote, tmp_path: Path, uninterrupted: dict[str, Any], how: str
) -> None:
    zygote.run(tmp_path, *COMMAND, "trainer.steps=40", "hydra.run.dir=run")
    path = checkpoints(tmp_path / "run")[-1]
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 16]) + whole[middle + 1 :]
    path.write_bytes({"empty": b"", "truncated": whole[:middle], "flipped": flipped}[how])
    code, out = zygote.run(tmp_path, "resume=run", f"trainer.steps={STEPS}")
    assert code == 0 and f"{path.name}" in out and "using the one before it" in out
    assert "from step 35" in out
    assert everything(tmp_path / "run")["state"] == uninterrupted["state"]


REFUSED = {
    "seed=3": "seed=3: a resumed run keeps its configuration; only trainer.steps may grow",
    "objective=gan": "a resumed run keeps its configuration",
    "optimizer.lr=1": "a resumed run keeps its configuration",
    "-m": "resume= continues one run; leave the flag out",
    "trainer.steps=10": r"has 60 steps; to continue, ask for more: trainer.steps=N",
    "trainer.steps=x": "trainer.steps=x: should be a whole number",
    "trainer.steps=": "trainer.steps=: should be a whole number",
    "resume=": "resume=: missing value; set it to the directory of a run",
    "allow_targets=calendar.": "allow_targets=calendar.: should be a list",
    "allow_targets=5": "allow_targets=5: should be a list",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_would_change_a_run_is_refused(
    zygote: Zygote, tmp_path: Path, uninterrupted: dict[str, Any], override: str
) -> None:
    code, out = zygote.run(tmp_path, f"resume={uninterrupted['dir']}", override)
    assert code == 2 and REFUSED[override] in out and len(out.splitlines()) == 1
    assert_same(uninterrupted["dir"], uninterrupted)


def test_resuming_what_is_no_run(
    zygote: Zygote, tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    code, out = zygote.run(tmp_path, "resume=nowhere")
    assert code == 2 and "nowhere is not a run directory" in out
    code, out = zygote.run(tmp_path, "resume=[a")
    assert code == 2 and "[a is not a run directory" in out
    shutil.copytree(uninterrupted["dir"], tmp_path / "torn")
    (tmp_path / "torn" / "summary.json").write_text("{")
    code, out = zygote.run(tmp_path, "resume=torn", "trainer.steps=65")
    assert code == 2 and "torn/summary.json is not JSON" in out and len(out.splitlines()) == 1


def test_no_letter_of_a_prefix_is_one(
    zygote: Zygote, tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    """A list of prefixes that is given as text must not allow all that begins like one of them."""
    shutil.copytree(uninterrupted["dir"], tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    config["dataset"] = {"_target_": "calendar.month"}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    for given in ("allow_targets=c", "allow_targets=[]", "allow_targets=['']"):
        code, out = zygote.run(tmp_path, "resume=run", given)
        reasons = ("should be a list", "a package's name and a dot", "calendar.month")
        assert code == 2 and any(reason in out for reason in reasons), out
        assert "no such key" not in out  # it would have been looked at


def test_verify_repeats_the_last_stretch(uninterrupted: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    assert verify(uninterrupted["dir"]) == (55, 60, [])


def test_verify_finds_a_difference(
    zygote: Zygote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint whose checksum is right, but that this run never came to."""
    zygote.run(tmp_path, *COMMAND, "trainer.steps=10", "hydra.run.dir=run")
    path = checkpoints(tmp_path / "run")[-1]
    state = load_checkpoint(path)
    state["critic"]["score.linear.bias"] += 1e-6
    save_checkpoint(path, state)
    with pytest.raises(SystemExit) as stop:
        verify_main([str(tmp_path / "run")])
    assert stop.value.code == 1
    assert "steps 5 to 10 differ in critic.score.linear.bias" in capsys.readouterr().err


def test_two_processes_never_share_a_run(zygote: Zygote, tmp_path: Path) -> None:
    other = Zygote()
    (tmp_path / "other").mkdir()
    zygote.start(tmp_path, *COMMAND, "trainer.steps=100000", f"hydra.run.dir={tmp_path}/run")
    until(lambda: newest(tmp_path / "run"))
    for argv in ((f"resume={tmp_path}/run",), (*COMMAND, f"hydra.run.dir={tmp_path}/run")):
        code, out = other.run(tmp_path / "other", *argv)
        assert code == 2 and ("another process" in out or "already contains a run" in out)
    until(lambda: (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") > 5)
    other.process.stdin.close()
    zygote.kill(signal.SIGTERM)
    assert zygote.wait() == 128 + signal.SIGTERM
    steps = [
        json.loads(x)["step"] for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(set(steps))


class FullDisk:
    """Lets the n-th write through `Path.open`, and all later ones, fail as on a full disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
        self.left, self.opened = fails_at, Path.open
        monkeypatch.setattr(Path, "open", lambda path, *args, **options: File(
            self, self.opened(path, *args, **options)))  # fmt: skip


class File:
    """An open file on such a disk."""

    def __init__(self, disk: FullDisk, file: Any) -> None:
        self.disk, self.file = disk, file

    def write(self, data: Any) -> int:
        self.disk.left -= 1
        if self.disk.left <= 0:
            self.file.write(data[: len(data) // 2])  # what still fitted
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


@pytest.mark.parametrize("stride", [6, pytest.param(1, marks=SLOW)])  # each write is slow
def test_a_full_disk_at_each_write(
    engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    def build() -> Engine:
        return engine(
            "model.filters=4", "trainer.steps=8", "trainer.log_every=3", "trainer.sample_every=4",
            "trainer.evaluate_every=4", "trainer.checkpoint_every=2",
        )  # fmt: skip

    fit(build(), tmp_path / "whole")
    whole = everything(tmp_path / "whole")
    for fails_at in range(1, 100, stride):
        run_dir, disk = tmp_path / str(fails_at), None
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, fails_at)
            try:
                fit(build(), run_dir)
            except OSError as error:
                assert error.errno == errno.ENOSPC
        if disk.left > 0:  # no write was left to fail
            assert fails_at > 15
            break
        summary = run_dir / "summary.json"
        if summary.is_file() and json.loads(summary.read_text())["status"] == "completed":
            continue  # only progress.gif, which follows the summary, was left to be written
        if checkpoints(run_dir):  # otherwise there was no room to begin
            resumed = rebuild_engine(run_dir)
            fit(resumed, run_dir, resume_from=resume_states(run_dir, resumed))
            assert_same(run_dir, whole)
    else:
        pytest.fail("the run never ended")


@pytest.mark.slow
def test_a_disk_that_is_really_full(zygote: Zygote, tmp_path: Path) -> None:
    """A file system of 600 kilobytes, where the machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        command = (*COMMAND, "trainer.steps=300", "trainer.sample_every=1")
        code, out = zygote.run(tmp_path, *command, f"hydra.run.dir={disk}/run")
        assert code == 1 and "No space left on device" in out and "Traceback" not in out
        step = load_checkpoint(checkpoints(disk / "run")[-1])["step"]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        code, out = zygote.run(tmp_path, f"resume={disk}/run")
        assert code == 0 and f"from step {step}" in out and step > 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_exported_weights_are_the_averaged_generator(
    uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    for raw in (False, True):
        export(uninterrupted["dir"], tmp_path / "g.safetensors", raw=raw)
        model = load(uninterrupted["dir"], raw=raw, device="cpu")
        generator, spec = model.generator, model.spec
        with safe_open(tmp_path / "g.safetensors", framework="pt") as file:
            assert file.metadata()["shape"] == json.dumps(list(spec.shape)) == "[1, 8, 8]"
            assert file.metadata()["n_classes"] == "10"
            assert file.metadata()["weights"] == ("raw" if raw else "average")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert all((weights[k] == v).all() for k, v in generator.state_dict().items())


@pytest.mark.parametrize("group", ["objective", "model"])
@pytest.mark.parametrize("escape", ["", "\\"])
def test_an_interpolation_in_a_stranger_s_run_is_not_resolved(
    uninterrupted: dict[str, Any], tmp_path: Path, escape: str, group: str
) -> None:
    """Where a node is made, `oc.create` would make another one, which nobody has checked."""
    run, mark = tmp_path / "run", tmp_path / "mark"
    shutil.copytree(uninterrupted["dir"], run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    evil = f"{escape}${{oc.create:{{_target_: shutil.copy, src: /etc/hostname, dst: {mark}}}}}"
    node = {"_target_": "torch.nn.PReLU", "device": evil}
    if group == "objective":
        config["objective"]["generator_terms"] = {"x": node}
    else:
        config["model"]["generator"]["init"] = evil
    config["trainer"]["steps"] += 1
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for act in (lambda: load(run, device="cpu"), lambda: rebuild_engine(run)):
        with pytest.raises(ValueError, match=r"interpolation|are refused"):
            act()
        assert not mark.exists()


@pytest.mark.parametrize("key", ["objective", "filters", "optimizer"])
def test_a_config_of_another_run_is_refused_in_one_line(
    zygote: Zygote, uninterrupted: dict[str, Any], tmp_path: Path, key: str
) -> None:
    """The networks, the loss or the optimizer in config.yaml are not those of the checkpoint."""
    run = tmp_path / "run"
    shutil.copytree(uninterrupted["dir"], run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    if key == "objective":
        config.pop("objective")
    elif key == "filters":
        config["model"]["generator"].update(filters=6)
    else:
        config["optimizer"]["critic"] = {
            "_target_": "torch.optim.SGD",
            "_partial_": True,
            "lr": 0.1,
        }
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    fit = r"run: its checkpoint does not fit its config\.yaml \(.*\); restore the config\.yaml"
    if key != "optimizer":
        with pytest.raises(ValueError, match=fit):
            load(run, device="cpu")
    if key == "filters":
        with pytest.raises(ValueError, match=fit):
            subject_of(run, Request(device="cpu"))
    if key != "objective":
        code, out = zygote.run(tmp_path, "resume=run", "trainer.steps=70")
        assert code == 2 and re.search(fit, out) and "Traceback" not in out, out


@pytest.mark.parametrize("program", ["sample", "resume", "verify", "export"])
def test_a_malicious_configuration_is_not_obeyed(
    zygote: Zygote, tmp_path: Path, program: str
) -> None:
    """It names `os.system` and allows it to itself; nothing may run."""
    zygote.run(tmp_path, *COMMAND, "trainer.steps=10", "hydra.run.dir=run")
    path = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["allow_targets"] = ["os.", "posix"]
    config["model"]["generator"] = {
        "_target_": "os.system",
        "command": f"touch {tmp_path}/executed",
    }
    path.write_text(yaml.safe_dump(config))
    if program == "resume":
        code, out = zygote.run(tmp_path, "resume=run", "trainer.steps=20")
    else:
        code, out = zygote.run(tmp_path, "run", module=f"gan_runner.commands.{program}")
    assert code == 2 and "refused" in out and "Traceback" not in out, out
    assert not (tmp_path / "executed").exists()

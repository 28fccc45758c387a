"""Run the steps of scripts/gpu_check.sh, each under its own time limit; see its head."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]
GRACE = 8.0  # seconds between SIGTERM and SIGKILL
LEAST = 5.0  # seconds that must be left to start a step
REHEARSAL = 5  # times the limits and the budget, on a CPU that may have other work


@dataclass(frozen=True)
class Step:
    """One part of the check: a shell command and a parser of its output.

    Attributes:
        name: key of the step in the JSON.
        limit: seconds after which the step is stopped.
        command: command line for bash.
        result: converts the output to plain values; also called after a failure or a stop.
        open_ended: True if a step that is stopped at the limit has passed.
    """

    name: str
    limit: float
    command: str
    result: Callable[[str], Any]
    open_ended: bool = False


class Report:
    """The JSON report, rewritten after every change."""

    def __init__(self, path: Path, **facts: Any) -> None:
        self.path, self.facts, self.steps = path, facts, {}
        self.write()

    def add(self, name: str, **entry: Any) -> None:
        """Set the entry of a step."""
        self.steps[name] = entry
        self.write()

    def write(self) -> None:
        """Replace the file atomically, so that a kill leaves the old or the new one."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({**self.facts, "steps": self.steps}, indent=2) + "\n")
        partial.replace(self.path)

    @property
    def passed(self) -> bool:
        """True if every step passed."""
        return all(entry["status"] == "passed" for entry in self.steps.values())


def check(steps: Sequence[Step], out: Path, *, budget: float, **facts: Any) -> Report:
    """Run the steps in order within a budget of seconds; write the JSON and the log into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + budget
    report = Report(out / "gpu_check.json", budget=budget, **facts)
    with (out / "gpu_check.log").open("w+") as log:
        for step in steps:
            left = end - time.monotonic() - GRACE
            if left < min(LEAST, step.limit):
                report.add(step.name, status="skipped", reason="no time left in the budget")
                continue
            limit = min(step.limit, left)
            report.add(step.name, status="running", limit=round(limit, 1))
            entry = run(step, log, limit=limit)
            report.add(step.name, **entry)
            print(f"{step.name}: {entry['status']} after {entry['seconds']} s", flush=True)
    return report


def run(step: Step, log: TextIO, *, limit: float) -> dict[str, Any]:
    """Run one step, and end it with all of its children; return its entry in the report."""
    log.write(f"\n== {step.name}: {step.command}\n")
    log.flush()
    first, start = log.tell(), time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", step.command], stdin=subprocess.DEVNULL, stdout=log,
        stderr=subprocess.STDOUT, start_new_session=True, cwd=ROOT,
    )  # fmt: skip
    try:
        rc = process.wait(limit)
    except subprocess.TimeoutExpired:
        rc = None
    finally:
        stop(process)
    seconds = round(time.monotonic() - start, 1)
    log.seek(first)
    output = log.read()
    log.seek(0, os.SEEK_END)
    passed = rc == 0 or (rc is None and step.open_ended)
    status = "passed" if passed else "timed out" if rc is None else "failed"
    entry = {"status": status, "rc": rc, "seconds": seconds, "limit": round(limit, 1)}
    try:
        entry["result"] = step.result(output)
    except (ValueError, LookupError, OSError) as error:  # the output is incomplete or missing
        entry["result"] = {"unreadable": f"{type(error).__name__}: {error}"}
    return entry if passed else {**entry, "tail": output.splitlines()[-15:]}


def stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to a step's process group, then kill the processes that remain."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


MACHINE = """
import json, platform, torch
facts = {"python": platform.python_version(), "torch": torch.__version__}
facts |= {"cuda": torch.version.cuda, "device": "cpu"}
if DEVICE != "cpu":
    one = torch.cuda.get_device_properties(0)
    facts |= {"device": one.name, "capability": [one.major, one.minor]}
    facts |= {"multiprocessors": one.multi_processor_count, "devices": torch.cuda.device_count()}
    facts |= {"memory_gib": round(one.total_memory / 2**30, 1)}
    facts |= {"cudnn": torch.backends.cudnn.version()}
    x = torch.ones(64, device="cuda")
    assert (x @ x).item() == 64
import hydra, omegaconf, pydantic, gan_runner.builder
facts |= {m.__name__: m.__version__ for m in (hydra, omegaconf, pydantic)}
print(json.dumps(facts))
"""
WORKLOADS = "gaussians8 dcgan32 digits dcgan64 dcgan32_128 dcgan32_1024 resnet32"


def steps_of(device: str, out: Path, *, wheels: Path, scratch: Path) -> list[Step]:
    """Return all steps, the cheapest and most informative first.

    Args:
        device: "cuda" or "cpu".
        out: folder for the results.
        wheels: folder of wheels to install; skipped if it does not exist.
        scratch: folder for temporary packages and run directories.
    """
    python, on_gpu = shlex.quote(sys.executable), device != "cpu"
    machine = f"{python} -c {shlex.quote(f'DEVICE = {device!r}{MACHINE}')}"
    modes = ("eager", "cuda_graph") if on_gpu else ("eager",)
    tests = f"{python} -m pytest tests/test_cuda.py -v -p no:cacheprovider -o addopts="
    sizes = "--seconds 2 --round 0.3" if on_gpu else "--seconds 0.1 --round 0.02"
    timing = f"{python} scripts/bench.py --device {device} {sizes} --workload"
    workloads, packs = (WORKLOADS, "8 32") if on_gpu else ("gaussians8", "2")
    steps = [
        Step("machine", 60, machine, last_json),
        *(resume(python, device, scratch / f"resume_{mode}", mode) for mode in modes),
        Step("tests", 120, tests, outcomes),
        bench("bench", 150, f"{timing} {workloads} --modes {' '.join(modes)}", out),
        bench("replicas", 60, f"{timing} replicas --packs {packs}", out),
        study(python, device, scratch / "robustness"),
        bench("bench_compile", 200, f"{timing} {workloads} --modes compile", out),
    ]
    if wheels.is_dir():
        steps.insert(0, Step("wheels", 60, install(python, wheels, scratch / "site"), lines_of(3)))
    if on_gpu:
        return steps
    return [s if s.open_ended else replace(s, limit=s.limit * REHEARSAL) for s in steps]


def install(python: str, wheels: Path, site: Path) -> str:
    """Return the command that installs the wheels into a folder."""
    pip = f"{python} -m pip install -q --no-index --no-deps --no-compile --upgrade"
    return f"{pip} --target {shlex.quote(str(site))} {shlex.quote(str(wheels))}/*.whl"


def resume(python: str, device: str, folder: Path, mode: str) -> Step:
    """Return a step that trains for twenty iterations and repeats the last ten of them."""
    run_dir = shlex.quote(str(folder))
    train = (
        f"{python} -m gan_runner.train device={device} deterministic=true trainer.steps=20"
        " trainer.checkpoint_every=10 trainer.num_eval_samples=64 trainer.batch_size=16"
        " model.filters=8"
        f" plots=none trainer.accelerate={mode} hydra.run.dir={run_dir}"
    )
    command = f"rm -rf {run_dir} && {train} && {python} -m gan_runner.commands.verify {run_dir}"
    return Step(f"resume_{mode}", 60, command, resumed)


def bench(name: str, limit: float, command: str, out: Path) -> Step:
    """Return a step of scripts/bench.py; the result is the JSON file that the script writes."""
    file = out / f"{name}.json"
    path = shlex.quote(str(file))
    command = f"rm -f {path} && {command} --out {path}"
    return Step(name, limit, command, lambda _: json.loads(file.read_text()))


def study(python: str, device: str, folder: Path) -> Step:
    """Return a step that runs as many jobs of the study as fit into the limit."""
    real = os.environ.get("GAN_RUNNER_DATA") if device != "cpu" else None  # a CPU has no time
    data = Path(real or "/nonexistent")
    dataset = "dataset=digits"
    if (data / "MNIST" / "raw").is_dir():
        dataset = "dataset=mnist dataset.image_size=32"
    if (data / "cifar-10-batches-py").is_dir():
        dataset = "dataset=cifar10"
    tiny = "" if device != "cpu" else "model.seed=null trainer.steps=2 trainer.num_eval_samples=64"
    sweep_dir = shlex.quote(str(folder))
    command = (
        f"rm -rf {sweep_dir} && {python} -m gan_runner.train -m experiment=robustness_gpu"
        f" device={device} {dataset} {tiny} hydra.sweep.dir={sweep_dir}"
    )
    return Step("robustness", 60, command, lambda _: jobs(folder), open_ended=True)


def jobs(folder: Path) -> dict[str, Any]:
    """Return the last point of each job's log: its step and speed.

    Raises:
        ValueError: no job has logged a point.
    """
    points = {}
    for log in sorted(folder.rglob("metrics.jsonl")):
        lines = log.read_text().splitlines()
        if lines:
            last = json.loads(lines[-1])
            wanted = ("step", "speed/steps_per_second", "wasserstein/critic", "critic/gap")
            points[log.parent.name] = {key: last.get(key) for key in wanted}
    if not points:
        raise ValueError("no job has logged a point")
    return points


def resumed(output: str) -> dict[str, Any]:
    """Return whether the repeated steps gave the same state bit for bit, and the last line."""
    return {"bit_exact": "the same state, bit for bit" in output, **lines_of(1)(output)}


def outcomes(output: str) -> dict[str, Any]:
    """Count the outcomes in pytest's output, which may be cut short, and list failed tests."""
    lines = re.findall(r"^(tests/\S+(?: \S+)*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)", output, re.M)
    counts = {outcome: sum(o == outcome for _, o in lines) for outcome in {o for _, o in lines}}
    return {**counts, "not_passed": sorted({t for t, o in lines if o in ("FAILED", "ERROR")})}


def last_json(output: str) -> Any:
    """Return the JSON value in the last line."""
    return json.loads(output.strip().rpartition("\n")[2])


def lines_of(count: int) -> Callable[[str], dict[str, Any]]:
    """Return a function that keeps the last lines of an output."""
    return lambda output: {"lines": output.strip().splitlines()[-count:]}


def main() -> None:
    """Run the steps that the environment selects; exit with status 1 unless all passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the running step is stopped
    with tempfile.TemporaryDirectory(prefix="gpu_check_") as scratch:
        report = check_machine(Path(sys.argv[1]), Path(scratch))
    print(f"{'passed' if report.passed else 'not passed'}; see {report.path}")
    sys.exit(0 if report.passed else 1)


def check_machine(out: Path, scratch: Path) -> Report:
    """Run the steps in STEPS, or all, for DEVICE and within BUDGET seconds."""
    device = os.environ.get("DEVICE", "cuda")
    wheels = Path(os.environ.get("WHEELS", ROOT / "outputs" / "wheels")).resolve()
    steps = steps_of(device, out, wheels=wheels, scratch=scratch)
    if chosen := os.environ.get("STEPS", "").split():
        if unknown := set(chosen) - {step.name for step in steps}:
            sys.exit(f"STEPS={' '.join(sorted(unknown))}: choose from {[s.name for s in steps]}")
        steps = [step for step in steps if step.name in chosen]
    path = [str(scratch / "site"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    budget = float(os.environ.get("BUDGET") or (540 if device != "cpu" else 540 * REHEARSAL))
    return check(steps, out, budget=budget, device=device)


if __name__ == "__main__":
    main()

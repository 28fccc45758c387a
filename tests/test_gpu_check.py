"""The check of a GPU machine, with steps that hang and fail, and rehearsed on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gpu_check import Step, check, jobs, last_json, lines_of, outcomes, steps_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_check.GRACE", 0.2)


def test_a_step_that_hangs_or_fails_costs_only_itself(tmp_path: Path) -> None:
    deaf = "trap '' TERM; echo begun; while true; do sleep 0.05; done"
    steps = [
        Step("hangs", 0.5, deaf, lines_of(1)),
        Step("fails", 9, "echo broken; exit 3", last_json),
        Step("cut", 0.5, "echo piece; sleep 60", lines_of(1), open_ended=True),
        Step("works", 9, "echo '{\"answer\": 42}'", last_json),
    ]
    start = time.monotonic()
    report = check(steps, tmp_path, budget=60, device="none")
    assert time.monotonic() - start < 8
    written = json.loads((tmp_path / "gpu_check.json").read_text())
    assert written["device"] == "none" and written["steps"] == report.steps
    entries = written["steps"]
    assert {name: entry["status"] for name, entry in entries.items()} == {
        "hangs": "timed out", "fails": "failed", "cut": "passed", "works": "passed",
    }  # fmt: skip
    assert (entries["hangs"]["rc"], entries["fails"]["rc"], entries["works"]["rc"]) == (None, 3, 0)
    assert entries["hangs"]["result"] == {"lines": ["begun"]}
    assert "JSONDecodeError" in entries["fails"]["result"]["unreadable"]
    assert entries["fails"]["tail"] == ["broken"]
    assert entries["works"]["result"] == {"answer": 42}
    assert not report.passed
    log = (tmp_path / "gpu_check.log").read_text()
    assert [line[3:].partition(":")[0] for line in log.splitlines() if line.startswith("==")] == [
        "hangs", "fails", "cut", "works",
    ]  # fmt: skip


def test_the_budget_is_kept_and_the_rest_is_skipped(tmp_path: Path) -> None:
    steps = [Step(name, 30, "sleep 30", lines_of(1)) for name in ("first", "second")]
    start = time.monotonic()
    report = check(steps, tmp_path, budget=6)
    assert time.monotonic() - start < 7
    assert report.steps["first"]["status"] == "timed out"
    assert report.steps["second"] == {
        "status": "skipped", "reason": "no time left in the budget",
    }  # fmt: skip


def test_a_killed_check_leaves_what_it_has(tmp_path: Path) -> None:
    """The children of its running step are gone as well."""
    code = (
        "import signal, sys; from pathlib import Path; from gpu_check import *\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "steps = [Step('quick', 9, 'echo 1', last_json), Step('long', 60, 'sleep 61.7', last_json)]\n"
        "check(steps, Path(sys.argv[1]), budget=99)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
    )
    file = tmp_path / "gpu_check.json"
    deadline = time.monotonic() + 10
    while not file.exists() or "long" not in json.loads(file.read_text())["steps"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    process.terminate()
    assert process.wait(10) == 143
    entries = json.loads(file.read_text())["steps"]
    assert entries["quick"]["result"] == 1 and entries["long"]["status"] == "running"
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "sleep 61.7" not in listing.stdout.splitlines()


def test_outcomes_of_a_test_run_that_was_cut() -> None:
    output = (
        "tests/test_cuda.py::test_one[points] PASSED                      [  5%]\n"
        "tests/test_cuda.py::test_two FAILED                              [ 11%]\n"
        "tests/test_cuda.py::test_three SKIPPED (needs two NVIDIA GPUs)   [ 16%]\n"
        "tests/test_cuda.py::test_four "
    )
    assert outcomes(output) == {
        "PASSED": 1, "FAILED": 1, "SKIPPED": 1, "not_passed": ["tests/test_cuda.py::test_two"],
    }  # fmt: skip


def test_the_last_point_of_each_job(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    assert jobs(tmp_path)["a"]["step"] == 2
    with pytest.raises(ValueError, match="no job"):
        jobs(tmp_path / "empty")


def test_steps_on_a_gpu_start_with_the_wheels_and_end_with_the_compiler(tmp_path: Path) -> None:
    def names(wheels: Path) -> list[str]:
        steps = steps_of("cuda", tmp_path, wheels=wheels, scratch=tmp_path)
        return [step.name for step in steps]

    assert names(tmp_path) == [
        "wheels", "machine", "resume_eager", "resume_cuda_graph", "tests", "bench", "replicas",
        "robustness", "bench_compile",
    ]  # fmt: skip
    assert names(tmp_path / "none")[0] == "machine"


@pytest.mark.slow
def test_the_whole_check_on_a_cpu(tmp_path: Path) -> None:
    environment = {**os.environ, "DEVICE": "cpu", "WHEELS": str(tmp_path / "none"), "STEPS": ""}
    environment["TMPDIR"] = str(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    subprocess.run([ROOT / "scripts" / "gpu_check.sh", tmp_path], env=environment, check=True)
    entries = json.loads((tmp_path / "gpu_check.json").read_text())["steps"]
    assert {entry["status"] for entry in entries.values()} == {"passed"}
    assert entries["resume_eager"]["result"]["bit_exact"]
    row = entries["bench"]["result"]["workloads"]["gaussians8"]
    assert set(row["iterations_per_second"]) == {"textbook", "eager"} and not row["errors"]
    assert row["host_ms"]["eager"] > 0
    assert entries["replicas"]["result"]["replicas"]["2"]["ratio"] > 0
    assert len(entries["robustness"]["result"]) == 2
    assert not list((tmp_path / "scratch").glob("gpu_check_*"))

"""Measurements for scripts/bench.py: time, FLOPs, memory, and facts of the machine."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gan_runner.private_apis import has_avx512_bf16
from gan_runner.training.device import device_name, tune_malloc
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit
from gan_runner.training.replicas import StackedEngine

Step = Callable[[], object]


_LEAST = 7  # smallest number of rounds


def interleaved(
    contenders: dict[str, Step],
    seconds: float,
    device: torch.device,
    *,
    round_seconds: float = 0.5,
) -> dict[str, list[float]]:
    """Return seconds per iteration of each contender, timed in turn on the same machine."""
    chunk, times = {}, {name: [] for name in contenders}
    for name, step in contenders.items():
        for _ in range(45 if device.type == "cuda" else 0):  # until the autotuning has ended
            step()
        chunk[name] = max(1, round(round_seconds / timed(step, 1, device)))
    end = time.perf_counter() + seconds * len(contenders)
    while time.perf_counter() < end or min(map(len, times.values())) < _LEAST:
        for name, step in contenders.items():
            times[name].append(timed(step, chunk[name], device))
    return times


def timed(step: Step, count: int, device: torch.device) -> float:
    """Return the mean seconds per iteration of `count` iterations."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(count):
        step()
    synchronise(device)
    return (time.perf_counter() - start) / count


def host_ms(step: Step, device: torch.device, *, count: int = 5) -> float:
    """Return the milliseconds per iteration after which Python is free again.

    On a GPU the work goes on meanwhile: Python costs nothing while this is below the time of an
    iteration. A few iterations only, as a full queue of launches blocks.
    """
    synchronise(device)
    start = time.perf_counter()
    for _ in range(count):
        step()
    free = time.perf_counter() - start
    synchronise(device)
    return round(free / count * 1e3, 3)


def ratio(textbook: list[float], ours: list[float]) -> list[float]:
    """Return the median, lowest and highest speed-up over the textbook loop, round by round."""
    rounds = [other / own for other, own in zip(textbook, ours, strict=True)]
    return [round(of(rounds), 3) for of in (median, min, max)]


def stepper(engine: Engine | StackedEngine, *, precise: bool) -> Step:
    """Return a function that runs one iteration, including batches and the running average."""

    def step() -> object:
        tune_malloc()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not precise
        return engine.train_step()

    return step


def outside(engine: Engine | StackedEngine, seconds: float, scratch: Path) -> float:
    """Return the share of a run's time outside of updates, at the default intervals.

    Metrics and plots are not included. The seconds per step of batches and log, and the seconds per
    checkpoint, come from a short run; `seconds` is the time of an iteration.
    """
    run = engine.runs[0]
    run.metrics, run.plots = [], {}
    steps = max(2, min(100, round(5 / seconds)))
    last = engine.step + steps  # the rounds of timing have moved the engine
    for name, value in {"steps": last, "log_every": 1, "checkpoint_every": steps}.items():
        object.__setattr__(run.settings, name, value)
    silence = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory(dir=scratch) as folder, silence:
        spent = fit(engine, Path(folder))["seconds"]
    saves = 2 + 1  # the first, the last and the best
    attributed = sum(spent.get(name, 0.0) for name in SPENT)
    a_step = (spent["data"] + spent["total"] - attributed) / steps + spent["log"] / steps / 50
    extra = a_step + spent["checkpoints"] / saves / 1000
    return extra / (extra + seconds)


SPENT = ("data", "update", "log", "checkpoints", "metrics", "plots")


def synchronise(device: torch.device) -> None:
    """Wait for all work on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def count_flops(step: Step) -> int:
    """Return the FLOPs of the convolutions and matrix products of one iteration."""
    with Flops() as counter:
        step()
    return counter.total


class Flops(TorchDispatchMode):
    """A counter of FLOPs by torch's table of formulas.

    torch's own `FlopCounterMode` hooks into modules, which `autograd.grad` does not allow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        self.total += formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        return out


def peak_memory(step: Step, device: torch.device) -> int | None:
    """Return the MiB that one iteration needs beyond the memory allocated before it.

    On a CPU the number comes from Linux's /proc; elsewhere it is None.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return round((torch.cuda.max_memory_allocated(device) - before) / 2**20)
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # returns freed memory to the system
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = status("VmRSS")
        step()
        return max(0, round((status("VmHWM") - before) / 2**10))
    except OSError:
        return None


def status(key: str) -> int:
    """Return a value of Linux's /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def machine(device: torch.device) -> dict[str, Any]:
    """Return facts of the machine and its versions, with the speed of a large matrix product."""
    formats = {"fp32": torch.float32}
    natively = device.type == "cuda" or has_avx512_bf16()
    if natively:
        formats["bf16"] = torch.bfloat16
    peaks = {name: peak(device, dtype) for name, dtype in formats.items()}
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        peaks["tf32"] = peak(device, torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = False
    return {
        "device": device_name(device),
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bf16_in_hardware": natively,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "peak_gflops": peaks,
    }


def processor() -> str:
    """Return the model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((s.partition(":")[2].strip() for s in lines if s.startswith("model name")), "")


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the best GFLOP/s of twelve large matrix products."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best = min(timed(lambda: a @ b, 1, device) for _ in range(12))
    return round(2 * n**3 / best / 1e9, 1)


FIRST_UPDATE = """
import sys, time
start = time.time()
from gan_runner import train
import gan_runner.training.accelerate as accelerate
class First(BaseException): pass
def first(self, game, picks):
    accelerate.alternating(game, picks)
    raise First(time.time() - start)
accelerate.AutoStep.__call__ = first
sys.argv[1:] = ["trainer.steps=2", f"hydra.run.dir={sys.argv[1]}"]
try:
    train.main()
except First as seconds:
    print(f"first update after {seconds}")
"""


def start_up() -> dict[str, float]:
    """Return the median seconds until a command answers, and until the first update of a run.

    A command is run five times, the run on the digits three times.
    """
    answers = {name: ["-m", "gan_runner.train", *args] for name, args in ANSWERS.items()}
    seconds = {}
    print()
    for name, arguments in answers.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
            times.append(time.perf_counter() - start)
        seconds[name] = round(median(times), 3)
    firsts = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", FIRST_UPDATE, folder + "/run"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            firsts.append(float(done.stdout.rpartition(" ")[2]))
    seconds["first update"] = round(median(firsts), 3)
    for name, value in seconds.items():
        print(f"{name}: {value:.2f} s", flush=True)
    return seconds


ANSWERS = {"--help": ["--help"], "a typo": ["objectiv=wgan"], "--cfg job": ["--cfg", "job"]}

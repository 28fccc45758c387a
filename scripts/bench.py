"""Speed of this runner's update and of a textbook loop, timed in turn in one process.

python scripts/bench.py [--device cpu|cuda] [--workload NAME ...] [--modes MODE ...] [--packs K ...]
                        [--peer NAME=FILE.py ...] [--seconds S] [--round S]
                        [--out FILE.json] [--plot FILE.png]

Every workload is WGAN-GP with 5 critic steps and batch 64 (toy data: 256). The columns are:

  textbook   iterations per second of plain PyTorch as in tutorials: float32 data from a
             DataLoader, three backward calls, `.item()` every step, default layouts
  fp32, auto iterations per second of this runner in float32 and with its default settings.
             The ratios to the textbook loop are medians over rounds; auto has the range too.
  outside    share of a run's time outside of updates: batches, log and checkpoints at the
             default intervals
  of peak    FLOP/s of the convolutions and matrix products over those of a large matrix product
  memory     peak memory of one iteration, beyond the memory allocated before it

Then follow the speed of stacked replicas and of runs in sequence, and the cost by batch size,
filters, depth and replicas. With `--modes`, each workload is timed in the textbook loop and in each
mode instead, with the milliseconds of Python in an iteration. `--out` is written after every
workload, so an interrupted benchmark keeps finished rows; `--plot` draws it on one page.

`--peer` times the function `step()` of a Python file in the same rounds, such as one iteration of
another code base on the same networks: choose the workload that it matches. The file is executed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from bench_plot import draw
from hydra import compose, initialize_config_dir
from measure import (
    Step,
    count_flops,
    host_ms,
    interleaved,
    machine,
    outside,
    peak_memory,
    ratio,
    start_up,
    stepper,
)
from textbook import textbook
from torchvision.utils import save_image
from workloads import GROWTH, LARGE, STACKED, WORKLOADS, peer

from gan_runner.builder import build
from gan_runner.config.compose import config_dir
from gan_runner.runs.files import atomic_write
from gan_runner.training.engine import Engine
from gan_runner.training.replicas import StackedEngine

WARM_UP = 6  # iterations; the fourth captures a CUDA graph
MODES = ("eager", "compile", "cuda_graph")


def main() -> None:
    """Run the workloads of the command line, and write their results to --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    everything = [*WORKLOADS, "replicas", "start", "growth"]
    parser.add_argument("--workload", nargs="*", choices=[*LARGE, *everything])
    parser.add_argument("--modes", nargs="*", choices=MODES, help="compare only these modes")
    parser.add_argument("--packs", nargs="*", type=int, help="numbers of stacked replicas")
    parser.add_argument(
        "--peer", nargs="*", type=peer, default=[], metavar="NAME=FILE.py",
        help="a file with a function step(), timed in the same rounds",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=20.0, help="for each contender")
    parser.add_argument("--round", type=float, default=0.5, help="seconds of a contender's turn")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--plot", type=Path, default=None)
    options = parser.parse_args()
    device = torch.device(options.device)
    report: dict[str, Any] = {"machine": machine(device), "seconds": options.seconds}
    for key, value in report["machine"].items():
        print(f"{key}: {value}")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(device, options, Path(scratch), report["machine"])
        for key, name, value in results(bench, options, options.workload or everything):
            report.setdefault(key, {})[name] = value
            if options.out is not None:
                atomic_write(options.out, (json.dumps(report, indent=2) + "\n").encode())
    if options.plot is not None:
        draw(report, options.plot)


def results(
    bench: Bench, options: argparse.Namespace, chosen: Sequence[str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield (section, name, value) of each chosen workload as soon as it is timed."""
    names = [name for name in {**WORKLOADS, **LARGE} if name in chosen]
    if names:
        print(f"\n{'' if options.modes else HEADER}")
    for name in names:
        row = bench.modes(name, options.modes) if options.modes else bench.workload(name)
        yield "workloads", name, row
    if "replicas" in chosen:
        for k in options.packs or bench.packs():
            yield "replicas", str(k), bench.replicas(k)
    if "start" in chosen:
        for name, seconds in start_up().items():
            yield "start", name, seconds
    if "growth" in chosen:
        for name in GROWTH:
            yield "growth", name, bench.growth(name)


HEADER = (
    f"{'workload':12s} {'textbook':>9s} {'fp32':>9s} {'ratio':>6s} {'auto':>9s} {'ratio':>6s} "
    f"{'lowest-highest':>14s} {'as':>16s} {'outside':>8s} {'of peak':>8s} {'memory':>9s} "
    f"{'textbook':>9s}"
)


class Bench:
    """A benchmark that builds contenders and times them in turn."""

    def __init__(
        self,
        device: torch.device,
        options: argparse.Namespace,
        scratch: Path,
        machine: dict[str, Any],
    ) -> None:
        self.device, self.scratch, self.machine = device, scratch, machine
        self.seconds, self.round = options.seconds, options.round
        self.peers = dict(options.peer)

    def times(self, contenders: dict[str, Step], share: float = 1.0) -> dict[str, list[float]]:
        """Return seconds per iteration of each contender; each gets `share` of the time."""
        seconds = self.seconds * share
        return interleaved(contenders, seconds, self.device, round_seconds=self.round)

    def build(self, name: str, *overrides: str) -> Engine | StackedEngine:
        """Build this runner's engine for a workload."""
        command = [
            *{**WORKLOADS, **LARGE, **STACKED}[name],
            "objective=wgan_gp",
            f"device={self.device}",
            *overrides,
        ]
        side = next((int(c.removeprefix("+side=")) for c in command if c.startswith("+side")), 0)
        if side:
            command = [c for c in command if not c.startswith("+side")]
            command += [f"dataset.path={self.images(side)}", "dataset.cache=null"]
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return build(compose("config", overrides=command))

    def images(self, side: int) -> Path:
        """Write a folder of random images; the amount of arithmetic does not depend on them."""
        folder = self.scratch / f"images{side}"
        if not folder.exists():
            folder.mkdir()
            noise = torch.Generator().manual_seed(0)
            for k in range(1200):
                save_image(torch.rand(3, side, side, generator=noise), folder / f"{k}.png")
        return folder

    def workload(self, name: str) -> dict[str, Any]:
        """Time one workload; print and return the row of the table."""
        fp32, auto = self.build(name, "trainer.precision=fp32"), self.build(name)
        # Precision flags belong to the process; `stepper` sets them before each turn.
        precise = auto.runs[0].facts["precision"] == "fp32"
        contenders: dict[str, Step] = {
            "textbook": textbook(self.build(name, "trainer.precision=fp32"), self.device),
            "fp32": stepper(fp32, precise=True),
        }
        if not precise or self.device.type == "cuda":
            contenders["auto"] = stepper(auto, precise=precise)
        contenders |= self.peers
        times = self.times(contenders)
        times.setdefault("auto", times["fp32"])
        speeds = {key: 1 / median(value) for key, value in times.items()}
        ratios = {name: ratio(times["textbook"], times[name]) for name in ("fp32", "auto")}
        best = stepper(auto, precise=precise)
        flops = count_flops(stepper(fp32, precise=True))
        precision = auto.runs[0].facts["precision"]
        share = outside(auto, 1 / speeds["auto"], self.scratch)
        peak = self.machine["peak_gflops"][precision]
        row = {
            "iterations_per_second": {key: round(speed, 3) for key, speed in speeds.items()},
            **{f"ratio_{name}": ratios[name][0] for name in ratios},
            **{f"ratio_{name}_range": ratios[name][1:] for name in ratios},
            "auto_over_peer": {name: ratio(times[name], times["auto"]) for name in self.peers},
            "precision": precision,
            "mode": auto.mode.selected,
            "samples": {key: len(value) for key, value in times.items()},
            "share_outside_update": round(share, 5),
            "gflop_per_iteration": round(flops / 1e9, 3),
            "share_of_peak": round(flops * speeds["auto"] / 1e9 / peak, 3),
            "peak_memory_mib": peak_memory(best, self.device),
            "peak_memory_mib_textbook": peak_memory(contenders["textbook"], self.device),
        }
        print(
            f"{name:12s} {speeds['textbook']:9.2f} {speeds['fp32']:9.2f} {row['ratio_fp32']:6.2f} "
            f"{speeds['auto']:9.2f} {row['ratio_auto']:6.2f} {shown(ratios['auto'][1:])} "
            f"{precision + ' ' + row['mode']:>16s} "
            f"{row['share_outside_update']:8.2%} {row['share_of_peak']:8.1%} "
            f"{row['peak_memory_mib']:>5} MiB {row['peak_memory_mib_textbook']:>5} MiB",
            flush=True,
        )
        for name, (middle, *span) in row["auto_over_peer"].items():
            print(f"  {name}: {speeds[name]:.2f}, auto {middle:.2f} times that {shown(span)}")
        return row

    def modes(self, name: str, modes: Sequence[str]) -> dict[str, Any]:
        """Time the execution modes and the textbook loop; errors of a mode are recorded."""
        eager = self.build(name, "trainer.accelerate=eager")
        precision, errors = eager.runs[0].facts["precision"], {}
        plain = self.build(name, "trainer.precision=fp32")
        contenders: dict[str, Step] = {"textbook": textbook(plain, self.device)}
        for mode in modes:
            torch.compiler.reset()  # torch limits the number of compiled versions
            try:
                run = self.build(name, f"trainer.accelerate={mode}")
                step = stepper(run, precise=precision == "fp32")
                for _ in range(WARM_UP):
                    step()
                contenders[mode] = step
            except (RuntimeError, ValueError) as error:
                errors[mode] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        times = self.times(contenders)
        flops = count_flops(stepper(eager, precise=precision == "fp32")) / 1e9
        row = {
            "iterations_per_second": {m: round(1 / median(t), 3) for m, t in times.items()},
            "ratio": {m: ratio(times["textbook"], t) for m, t in times.items() if m != "textbook"},
            "host_ms": {mode: host_ms(step, self.device) for mode, step in contenders.items()},
            "precision": precision,
            "gflop_per_iteration": round(flops, 3),
            "share_of_peak": {
                mode: round(flops / median(t) / self.machine["peak_gflops"][precision], 3)
                for mode, t in times.items()
                if mode != "textbook"
            },
            "peak_memory_mib": {m: peak_memory(s, self.device) for m, s in contenders.items()},
            "errors": errors,
        }
        print(f"{name} {json.dumps(row)}", flush=True)
        return row

    def packs(self) -> list[int]:
        """Return the numbers of replicas to time."""
        return [8, 32] if self.device.type == "cuda" else [2, 4, 8, 16]

    def replicas(self, k: int) -> dict[str, Any]:
        """Time k stacked runs and k in sequence: 8 Gaussians, MLP of 3x64, batch 128."""
        pack = self.build("gaussians8_64", f"trainer.replicas={k}")
        runs = [self.build("gaussians8_64", f"seed={seed}") for seed in range(k)]
        alone = [stepper(run, precise=True) for run in runs]
        contenders = {
            "sequence": lambda: [step() for step in alone],
            "packed": stepper(pack, precise=True),
        }
        times = self.times(contenders, 1 / 2)
        speeds = {key: 1 / median(value) for key, value in times.items()}
        ratio = speeds["packed"] / speeds["sequence"]
        print(
            f"replicas={k}: packed {speeds['packed']:.2f}, in sequence {speeds['sequence']:.2f} "
            f"iterations of all per second, ratio {ratio:.2f}",
            flush=True,
        )
        rounded = {key: round(speed, 3) for key, speed in speeds.items()}
        return {"replicas": k, "iterations_per_second": rounded, "ratio": round(ratio, 3)}

    def growth(self, name: str) -> list[dict[str, Any]]:
        """Return the milliseconds per iteration along one axis of `GROWTH`."""
        print(f"\ncost with {name}:")
        rows = []
        for workload, override in GROWTH[name]:
            step = stepper(self.build(workload, override), precise=False)
            times = self.times({"it": step}, 1 / 4)["it"]
            rows.append(
                {"workload": workload, "set": override, "ms": round(median(times) * 1e3, 2)}
            )
            print(f"  {workload} {override}: {rows[-1]['ms']:.2f} ms per iteration", flush=True)
        return rows


def shown(span: list[float]) -> str:
    """Format a range for the table."""
    return f"{f'{span[0]:.2f}-{span[1]:.2f}':>14s}"


if __name__ == "__main__":
    main()

"""Fixtures of many tests: configurations, engines, real data, a process that forks runs."""

from __future__ import annotations

import atexit
import copy
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from small_probe import SMALL, WHOLE, set_probe

from gan_runner.builder import build
from gan_runner.config.compose import config_dir
from gan_runner.training.engine import Engine

ROOT = Path(__file__).resolve().parents[1]

# Small networks and few held-out samples: the arithmetic is the same, only faster.
TINY = (
    "trainer.batch_size=16",
    "trainer.num_eval_samples=64",
    "device=cpu",
    "trainer.precision=fp32",
)


os.environ.setdefault("OMP_NUM_THREADS", "1")  # of sklearn and of processes that tests start
os.environ["GAN_RUNNER_CACHE"] = tempfile.mkdtemp(prefix="gan_runner_tests_")
atexit.register(shutil.rmtree, os.environ["GAN_RUNNER_CACHE"], ignore_errors=True)
torch.set_num_threads(1)  # the tensors are tiny: two threads would only wait for each other
set_probe(SMALL)


def pytest_collection_finish() -> None:
    """Spare the collector of garbage a million objects that stay: modules and tests."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def whole_probe() -> Iterator[None]:
    """For tests of the probe itself: as many fits as users get."""
    set_probe(WHOLE)
    yield
    set_probe(SMALL)


@pytest.fixture
def config() -> Callable[..., DictConfig]:
    """Compose the configuration of a command line."""

    return lambda *overrides: copy.deepcopy(_composed(overrides))


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    """Compose each command line once a process.

    Hydra sets values after it has merged the files of the groups, so the merge is shared by all
    command lines with the same groups. `test_core.py` compares the result with Hydra's own.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    loader = _hydra().config_loader
    values = [o for o in parsed if _is_value(o, loader.repository)]
    lines = {o.input_line for o in values}
    cfg = copy.deepcopy(_of_groups(tuple(o for o in overrides if o not in lines)))
    loader._apply_overrides_to_config(values, cfg)
    return cfg


def _is_value(override: Override, files: ConfigRepository) -> bool:
    """Whether an override neither chooses an option of a group nor is Hydra's own."""
    key = override.key_or_group
    plain = not override.is_sweep_override() and not override.is_hydra_override()
    return plain and override.package is None and not files.group_exists(key)


@cache
def _of_groups(overrides: tuple[str, ...]) -> DictConfig:
    """Compose within one Hydra that others don't see."""
    ours = _hydra()  # before the next line: leaving Hydra's context replaces its instance
    active = GlobalHydra.instance()
    theirs, active.hydra = active.hydra, ours
    try:
        return compose("config", overrides=list(overrides))
    finally:
        active.hydra = theirs


@cache
def _hydra() -> Hydra:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return GlobalHydra.instance().hydra


@pytest.fixture
def engine(config: Callable[..., DictConfig]) -> Callable[..., Engine]:
    """Build the engine of a command line, small unless it says otherwise."""
    return lambda *overrides: build(config(*TINY, *overrides))


@pytest.fixture
def small_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep grids of images in their size: a pixel of the picture is one of an image."""
    monkeypatch.setattr("gan_runner.plots.samples._MIN_GRID", 1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the real MNIST and CIFAR-10, which GAN_RUNNER_DATA names."""
    folder = os.environ.get("GAN_RUNNER_DATA")
    if not folder:
        pytest.skip("GAN_RUNNER_DATA names no folder with MNIST and CIFAR-10")
    return Path(folder).resolve(strict=True)  # a wrong name must not skip


class Zygote:
    """Runs gan-run in a fork of a process that has imported everything."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[1]
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        )  # fmt: skip
        self.child = 0  # that has not been waited for

    def start(self, cwd: Path, *argv: str, **options: Any) -> None:
        if self.child:  # a test that failed has left it behind
            self.kill(signal.SIGKILL)
            self.wait()
        while any((cwd / "outputs").glob(time.strftime("*/%H-%M-%S"))):
            time.sleep(0.05)  # run directories are named by the second
        out = str(cwd / "output.txt")
        job = {"out": out, **options, "argv": argv, "cwd": str(cwd)}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        self.child = self._answer("process")

    def wait(self) -> int:
        code = self._answer("exit")
        self.child = 0
        return code

    def kill(self, number: int) -> None:
        """Send the child a signal; nothing where it has ended by itself."""
        assert self.child > 1  # 0 and -1 would be all of the tests
        with suppress(ProcessLookupError):
            os.kill(self.child, number)

    def ended(self) -> bool:
        return not Path(f"/proc/{self.child}").exists()

    def _answer(self, kind: str) -> int:
        line = self.process.stdout.readline().split()
        assert line[:1] == [kind], f"{kind} expected from the zygote, not {line}"
        return int(line[1])

    def run(self, cwd: Path, *argv: str, **options: Any) -> tuple[int, str]:
        self.start(cwd, *argv, **options)
        code = self.wait()
        return code, (cwd / "output.txt").read_text()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """One for each process of tests."""
    zygote = Zygote()
    yield zygote
    zygote.process.stdin.close()
    zygote.process.wait(timeout=60)

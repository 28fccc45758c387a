"""The device of a run, its name, determinism and memory allocation."""

from __future__ import annotations

import ctypes
import os
import re

import torch


def resolve_device(name: str) -> torch.device:
    """Return the device for auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        present = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        problem = "should be auto, cpu, cuda or cuda:N"
        raise ValueError(f"device={name}: {problem}; this machine has {' and '.join(present)}")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices that torch"
            " can use; set device=cpu or device=auto"
        )
    return device


def set_deterministic(on: bool) -> None:
    """Use deterministic algorithms only. They cost speed on a GPU and nothing on a CPU."""
    if on:  # cuBLAS reads this when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    if on != torch.are_deterministic_algorithms_enabled():  # setting it imports a compiler: 2 s
        torch.use_deterministic_algorithms(on)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for mallopt
_GLIBC = (64 * 2**20, 32 * 2**20)  # the thresholds that glibc reaches by itself
_KEEP = (2**31 - 1, 2**30)


def tune_malloc(on: bool = True) -> None:
    """Let the C library keep freed tensors for the next ones; does nothing where it is not glibc.

    It would hand large blocks back to the system after every iteration, and get them again page by
    page, each cleared: a tenth of an iteration on 28x28 images.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim, mmap = _KEEP if on else _GLIBC
    mallopt(_TRIM_THRESHOLD, trim)
    mallopt(_MMAP_THRESHOLD, mmap)


def device_name(device: torch.device) -> str:
    """Return a readable name of the device."""
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' if threads > 1 else ''}"

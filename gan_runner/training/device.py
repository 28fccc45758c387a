"""The device that a run asks for, and whether it must give the same bits twice."""

from __future__ import annotations

import ctypes
import os
import re

import torch


def resolve_device(name: str) -> torch.device:
    """The device for auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"device={name}: should be auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices that torch"
            " can use; set device=cpu or device=auto"
        )
    return device


def set_deterministic(on: bool) -> None:
    """Use only algorithms that give the same bits twice. A CPU does anyway; a GPU pays for it."""
    if on:  # cuBLAS reads this when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    if on != torch.are_deterministic_algorithms_enabled():  # setting it imports a compiler: 2 s
        torch.use_deterministic_algorithms(on)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for mallopt
_GLIBC = (64 * 2**20, 32 * 2**20)  # what its thresholds grow to by themselves
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
    """What a person would call the device."""
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"cpu, {torch.get_num_threads()} threads"

"""The number format of convolutions and matrix products. Everything else is float32."""

from __future__ import annotations

from time import perf_counter
from typing import Literal

import torch
from torch import nn

Precision = Literal["auto", "fp32", "tf32", "bf16"]

_SIDE = 512  # of the matrices that a CPU is timed with: some milliseconds
_WORTH_IT = 1.3  # far from what is measured anywhere (0.5, 1.9, 8), so that noise decides nothing
_AMPERE = (8, 0)  # the first NVIDIA architecture with TF32 and bfloat16


def resolve_precision(asked: Precision, device: torch.device, *networks: nn.Module) -> str:
    """The precision for what was asked: "fp32", "tf32" or "bf16".

    auto: bfloat16 for convolutional networks where the hardware multiplies it faster (Ampere or
    later; a CPU is timed), else float32: points in the plane need more bits than bfloat16 and TF32
    have, and networks without convolutions are too small for it to matter.

    Raises:
        ValueError: the device does not have it.
    """
    if asked == "auto":
        convolves = any(isinstance(m, _CONVOLUTIONS) for n in networks for m in n.modules())
        return "bf16" if convolves and _multiplies_bf16(device) else "fp32"
    if asked == "tf32" and not _has_tf32(device):
        raise ValueError(
            f"trainer.precision=tf32 needs an NVIDIA GPU of compute capability 8.0, not {device};"
            " set trainer.precision=auto"
        )
    return asked


def use_precision(precision: str) -> torch.dtype | None:
    """Make float32 products mean what `precision` says; returns the dtype to autocast to."""
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    return torch.bfloat16 if precision == "bf16" else None


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _AMPERE


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    has_it = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return has_it and _gain_of_bf16() > _WORTH_IT


def _gain_of_bf16() -> float:
    """How many times as fast a matrix product is in bfloat16 as in float32, on this CPU.

    The instruction alone does not tell: Intel's cores with AVX512-BF16 but without AMX take twice
    as long for it, AMD's half as long.
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(_SIDE, _SIDE, dtype=dtype)
        times = []
        for _ in range(5):  # the first one prepares; the fastest was disturbed least
            begun = perf_counter()
            _ = matrix @ matrix
            times.append(perf_counter() - begun)
        seconds[dtype] = min(times)
    return seconds[torch.float32] / seconds[torch.bfloat16]

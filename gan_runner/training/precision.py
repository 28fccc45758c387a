"""The number format of convolutions and matrix products. Everything else is float32."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from gan_runner.private_apis import has_amx, has_avx512_bf16

Precision = Literal["auto", "fp32", "tf32", "bf16"]

_AMPERE = (8, 0)  # the first NVIDIA architecture with TF32 and bfloat16


def resolve_precision(requested: Precision, device: torch.device, *networks: nn.Module) -> str:
    """Return the precision to train in: "fp32", "tf32" or "bf16".

    auto: bfloat16 for convolutional networks where the hardware multiplies it faster (NVIDIA from
    Ampere on, AMX, AMD's AVX512-BF16), else float32: points in the plane need more bits than
    bfloat16 and TF32 have, and networks without convolutions are too small for it to matter.

    Raises:
        ValueError: the device does not support it.
    """
    if requested == "auto":
        convolves = any(isinstance(m, _CONVOLUTIONS) for n in networks for m in n.modules())
        return "bf16" if convolves and _multiplies_bf16(device) else "fp32"
    if requested == "tf32" and not _has_tf32(device):
        raise ValueError(
            f"trainer.precision=tf32: needs an NVIDIA GPU of compute capability 8.0, not {device};"
            " set trainer.precision=auto"
        )
    return requested


def use_precision(precision: str) -> torch.dtype | None:
    """Set how float32 products are computed; return the dtype to autocast to, or None."""
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    return torch.bfloat16 if precision == "bf16" else None


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _AMPERE


def _multiplies_bf16(device: torch.device) -> bool:
    """Return True if the device multiplies bfloat16 faster than float32, by name, not by timing.

    AMX multiplies it eight times as fast. AVX512-BF16 by itself does not tell: AMD's cores multiply
    1.9 times as fast with it, Intel's without AMX half as fast.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    if has_amx():
        return True
    return has_avx512_bf16() and "AuthenticAMD" in _processor()


def _processor() -> str:
    """Return the system's description of the processor, with its vendor."""
    linux = Path("/proc/cpuinfo")
    return linux.read_text() if linux.is_file() else platform.processor()

"""Every use of a private name of torch or torchmetrics, each with a test that it is there.

Other files call these functions; those of Hydra are in `private_hydra`, which imports no torch.
After an upgrade, tests/test_private_apis.py says which is gone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TorchSpectralNorm = nn.utils.parametrizations._SpectralNorm
"""Torch's spectral-norm parametrization, to derive from."""

AnyBatchNorm = nn.modules.batchnorm._BatchNorm
"""Batch norm of any number of dimensions."""

AnyNorm = nn.modules.batchnorm._NormBase
"""Batch and instance norm of any number of dimensions."""


def has_amx() -> bool:
    """Return True if the CPU multiplies tiles of bfloat16 (AMX)."""
    return bool(torch.cpu._is_amx_tile_supported())


def has_avx512_bf16() -> bool:
    """Return True if the CPU has AVX512-BF16."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def is_spectral_norm(parametrization: nn.Module) -> bool:
    """Return True for torch's spectral-norm parametrization, which keeps vectors in buffers."""
    return hasattr(parametrization, "_power_method")


def masked(x: Tensor, by: Tensor, slope: float) -> Tensor:
    """Return x where `by` is positive, slope x elsewhere: what LeakyReLU does with a gradient x."""
    return torch.ops.aten.leaky_relu_backward(x, by, slope, False)


def write_summary(board: Any, summary: Any) -> None:
    """Write a protocol buffer of TensorBoard's, which `SummaryWriter` has no method for."""
    board._get_file_writer().add_summary(summary)

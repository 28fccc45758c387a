"""Every use of a private name of torch or Hydra, each with a test that it is there.

Other files call these functions. After an upgrade, tests/test_private_apis.py says which is gone.
Hydra is imported inside of the functions: this file has the lowest rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn

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


def write_summary(board: Any, summary: Any) -> None:
    """Write a protocol buffer of TensorBoard's, which `SummaryWriter` has no method for."""
    board._get_file_writer().add_summary(summary)


def parse_overrides(words: Sequence[str]) -> list[Any]:
    """Parse overrides, with the options of the groups where Hydra is running."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = _config_loader() if GlobalHydra.instance().is_initialized() else None
    return OverridesParser.create(config_loader=loader).parse_overrides(list(words))


def combinations(overrides: Sequence[Any]) -> list[list[str]]:
    """Return the jobs of Hydra's basic sweeper: every combination of the values of a sweep."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    jobs: list[list[str]] = BasicSweeper.split_arguments(list(overrides), None)[0]
    return jobs


@contextmanager
def launching(jobs: Sequence[Sequence[str]]) -> Iterator[None]:
    """Make Hydra's basic sweeper launch these jobs instead of all combinations of its lists."""
    # Hydra executes its plugins' modules again: the class that it uses is found by its module now.
    sweeper = import_module("hydra._internal.core_plugins.basic_sweeper").BasicSweeper
    original = sweeper.split_arguments
    sweeper.split_arguments = staticmethod(lambda overrides, max_batch_size: [jobs])
    try:
        yield
    finally:
        sweeper.split_arguments = staticmethod(original)


def compose_job(config: Any, overrides: Sequence[str]) -> Any:
    """Compose the configuration of one job of a running sweep."""
    return _config_loader().load_sweep_config(config, list(overrides))


def _config_loader() -> Any:
    from hydra.core.global_hydra import GlobalHydra

    return GlobalHydra.instance().config_loader()

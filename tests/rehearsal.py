"""A GPU rehearsed without one: tensors on the `meta` device, and a mode that refuses host work.

An iteration that passes has no host synchronisation, no tensor on the wrong device and no upload
from the host, which is what a captured CUDA graph needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")

FUSED = ("_fused_adam_", "_fused_adamw_", "_fused_sgd_")
SUPPORTED = ("_get_fused_kernels_supported_devices", "_get_capturable_supported_devices")
WAITS = ("_local_scalar_dense", "equal", "nonzero", "masked_select")
COPIES = ("_to_copy", "copy_")


class HostWork(AssertionError):
    """An operation that a GPU would have to wait for, or that happens beside it."""


class Rehearsal(TorchDispatchMode):
    """A mode that refuses operations which a captured CUDA graph could not hold.

    Refused are reading a number from a tensor, a copy between the host and `meta`, an operation that
    mixes `meta` with a CPU tensor of at least one dimension, and allocating a tensor on the CPU.
    CPU scalars may join other operations: they become arguments of the kernels.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITS:
            raise HostWork(f"{func} waits for the device")
        before = _tensors((args, kwargs or {}))
        _refuse_mixture(func, before)
        out = func(*args, **(kwargs or {}))
        after = _tensors(out)
        _refuse_mixture(func, [*before, *after])
        known = {id(t) for t in before}
        if any(t.device.type == "cpu" and id(t) not in known for t in after):
            raise HostWork(f"{func} allocates on the CPU")
        return out


def _refuse_mixture(func: Any, tensors: list[Tensor]) -> None:
    copies = func.overloadpacket.__name__ in COPIES
    hosts = [t for t in tensors if t.device.type == "cpu" and (copies or t.dim() > 0)]
    if hosts and any(t.device == META for t in tensors):
        raise HostWork(f"{func} mixes meta with a CPU tensor")


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextmanager
def rehearsal() -> Iterator[None]:
    """Refuse host work inside; `torch.tensor`, which a dispatch mode does not see, included."""

    def refuse(*args: Any, **kwargs: Any) -> Tensor:
        raise HostWork("torch.tensor copies from the host")

    with patch.object(torch, "tensor", refuse), Rehearsal():
        yield


@contextmanager
def on_meta() -> Iterator[None]:
    """Let autocast do nothing and optimizers step as on a GPU: neither knows `meta`."""
    modules = [import_module(f"torch.optim.{n}") for n in ("optimizer", "adam", "rmsprop", "sgd")]
    lists = [(m, name) for m in modules for name in SUPPORTED if hasattr(m, name)]
    with ExitStack() as stack:
        stack.enter_context(patch.object(torch, "autocast", lambda *_, **__: nullcontext()))
        for module, name in lists:
            stack.enter_context(patch.object(module, name, lambda *_, **__: ["meta"]))
        for name in FUSED:
            stack.enter_context(patch.object(torch, name, _fused))
        yield


def _fused(*args: Any, lr: float | Tensor, **kwargs: Any) -> None:
    """Stand in for a fused kernel, which reads a rate on the GPU: CUDA alone has that form."""
    assert isinstance(lr, float) or (lr.device == META and lr.dtype == torch.float32)
    assert {tensor.device for tensor in _tensors((args, kwargs))} == {META}


def move_to_meta(modules: Iterable[nn.Module], optimizers: Iterable[Optimizer]) -> None:
    """Put parameters and buffers on `meta`, and let the optimizers step the new parameters."""
    moved: dict[Tensor, Tensor] = {}
    for module in modules:
        before = list(module.parameters())
        module.to(META)
        moved.update(zip(before, module.parameters(), strict=True))
    for optimizer, group in ((o, group) for o in optimizers for group in o.param_groups):
        group["params"] = [moved[parameter] for parameter in group["params"]]
        if isinstance(optimizer, torch.optim.SGD):  # its fused kernel has no version for meta
            group["fused"], group["foreach"] = False, True
        if "capturable" in group:
            group["capturable"] = True

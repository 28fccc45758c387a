"""The identity of a training set: a hash of its contents, and the names of its classes."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from gan_runner.core import Batch, Dataset

_known: WeakKeyDictionary[Dataset, dict[str, Any]] = WeakKeyDictionary()


def content_of(dataset: Dataset) -> dict[str, Any]:
    """Return {"rows", "sha256", "classes"} of a training set, which a resumed run must find again.

    The hash does not depend on where the data lie. It is computed once per data set in memory.
    """
    if dataset not in _known:
        _known[dataset] = {
            "rows": len(dataset.train.x),
            "sha256": content_hash(dataset.train),
            "classes": list(dataset.spec.class_names),
        }
    return _known[dataset]


def content_hash(batch: Batch) -> str:
    """Return the SHA-256 of samples and labels: types, shapes and bytes."""
    digest = sha256()
    for tensor in (batch.x, batch.y):
        if tensor is not None:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().cpu().numpy().data)
    return digest.hexdigest()

"""Features in the cache: those that the network computes, or computed anew."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_runner.metrics.images.features import Features
from gan_runner.metrics.images.watched import WatchedFeatures
from gan_runner.runs.tensors import read_tensors, write_tensors

X = torch.randn(7, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """Mean and largest pixel as features, and logits of three classes or none."""

    def __init__(self, *, logits: bool) -> None:
        super().__init__()
        self.logits, self.calls = logits, 0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        self.calls += 1
        rows = x.flatten(1)
        return torch.stack([rows.mean(1), rows.amax(1)], 1), rows[:, :3] if self.logits else None


def watched(folder: Path, *, logits: bool = True) -> WatchedFeatures:
    return WatchedFeatures.of(Features("own", Network(logits=logits), "w", 2, at_once=3), folder)


def equal(ours: tuple[Tensor, Tensor | None], theirs: tuple[Tensor, Tensor | None]) -> bool:
    return all(a is b is None or torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("logits", [True, False])
def test_features_are_computed_once(tmp_path: Path, logits: bool) -> None:
    features = watched(tmp_path, logits=logits)
    plain = features(X)
    with features.cached(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(features(X), plain) and features.has(X)
        features.network.calls = 0
        assert equal(features(X), plain)
    assert features.network.calls == 1  # of one image, for the shapes


def rewritten(**changes: Any) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        tensors, facts = read_tensors(path) or ({}, {})
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        for name, change in changes.items():
            tensors[name] = change(tensors[name])
        write_tensors(path, tensors, facts)

    return rewrite


def forged(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a file with its own hash."""
    from gan_runner.metrics.images.watched import _hash

    write_tensors(path, tensors, {"sha256": _hash(tensors)})


P = torch.full((7, 3), 1 / 3)
DAMAGE: dict[str, Callable[[Path], Any]] = {
    "value": rewritten(features=lambda x: x + 1),
    "probability": rewritten(probabilities=lambda x: x.flip(1)),
    "no hash": lambda path: write_tensors(path, {"features": torch.zeros(7, 2)}, {}),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"x" * 1000),
    "columns": lambda path: forged(path, {"features": torch.zeros(7, 3), "probabilities": P}),
    "rows": lambda path: forged(path, {"features": torch.zeros(6, 2), "probabilities": P[:6]}),
    "type": lambda path: forged(path, {"features": torch.zeros(7, 2).double(), "probabilities": P}),
    "dimensions": lambda path: forged(path, {"features": torch.zeros(7), "probabilities": P}),
    "a part": lambda path: forged(path, {"features": torch.zeros(7, 2)}),
    "classes": lambda path: forged(
        path, {"features": torch.zeros(7, 2), "probabilities": P[:, :2]}
    ),
    "another part": lambda path: forged(path, {"features": torch.zeros(7, 2), "logits": P}),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_file_that_does_not_fit_is_made_anew(tmp_path: Path, name: str) -> None:
    features = watched(tmp_path)
    plain = features(X)
    with features.cached():
        features(X)
        (path,) = tmp_path.iterdir()
        DAMAGE[name](path)
        with pytest.warns(UserWarning, match="not a usable file of features; it is made anew"):
            assert equal(features(X), plain)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert equal(features(X), plain)

"""Features with a progress bar and, for reference images, a cache of their own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from gan_runner.metrics.images.features import Features
from gan_runner.runs.tensors import read_tensors, write_tensors

_VERSION = 2  # of the cache
_HASH = "sha256"  # key of the hash among the facts of a file


@dataclass(frozen=True, eq=False)
class WatchedFeatures(Features):
    """A feature network that shows a bar and can cache what it has seen.

    Attributes:
        folder: of the cache.
        caching: not empty while images are looked up in the cache; see `cached`.
    """

    folder: Path = Path()
    caching: list[bool] = field(default_factory=list)

    @classmethod
    def of(cls, features: Features, folder: Path) -> WatchedFeatures:
        """Return the same network with a bar and a cache."""
        return cls(
            features.name, features.network, features.weights, features.dimension,
            size=features.size, accuracy=features.accuracy, at_once=features.at_once, folder=folder,
        )  # fmt: skip

    @contextmanager
    def cached(self) -> Iterator[None]:
        """Look images up in the cache, and keep the features of new ones there."""
        self.caching.append(True)
        try:
            yield
        finally:
            self.caching.pop()

    def has(self, x: Tensor) -> bool:
        """Return whether the features of images are in the cache."""
        return self._path(x).is_file()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute or look up features (N, d) and probabilities (N, K) or None."""
        if not self.caching:
            return self._computed(x)
        path = self._path(x)
        if (found := self._read(path, x)) is not None:
            return found
        if path.exists():
            warnings.warn(f"{path} is not a usable file of features; it is made anew", stacklevel=2)
        features, probabilities = self._computed(x)
        tensors = {"features": features.cpu()}
        if probabilities is not None:
            tensors["probabilities"] = probabilities.cpu()
        try:
            write_tensors(path, tensors, {**self.facts, _HASH: _hash(tensors)})
        except OSError as error:
            warnings.warn(f"the features are not cached: {error}", stacklevel=2)
        return features, probabilities

    def _read(self, path: Path, x: Tensor) -> tuple[Tensor, Tensor | None] | None:
        """Return the features and probabilities in a file; None if it is missing or not usable.

        A usable file holds the SHA-256 of its tensors, and as many rows as there are images. Types
        and columns are those that the network gives the first image.
        """
        tensors, facts = read_tensors(path) or ({}, {})
        if not tensors or facts.get(_HASH) != _hash(tensors):
            return None
        features, probabilities = super().__call__(x[:1])
        expected = {"features": features, "probabilities": probabilities}
        kinds = {n: (t.dtype, len(x), *t.shape[1:]) for n, t in expected.items() if t is not None}
        if {n: (t.dtype, *t.shape) for n, t in tensors.items()} != kinds:
            return None
        return tensors["features"].to(x.device), _on(tensors.get("probabilities"), x)

    def _computed(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        call = super().__call__
        parts = tqdm(
            x.split(self.at_once), f"features of {self.name}", leave=False, disable=None, delay=1
        )
        seen = [call(part) for part in parts]
        features = torch.cat([part for part, _ in seen])
        if seen[0][1] is None:
            return features, None
        return features, torch.cat([part for _, part in seen if part is not None])

    def _path(self, x: Tensor) -> Path:
        """Return a file named by everything that the features of images depend on."""
        facts = [_VERSION, self.name, self.weights, self.size, x.device.type, tuple(x.shape)]
        facts += [torch.__version__, torch.get_num_threads()]  # decide the last bits
        digest = sha256(repr(facts).encode())
        digest.update(x.cpu().contiguous().numpy().data)
        return self.folder / f"{digest.hexdigest()[:32]}.safetensors"


def _hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the names, types, shapes and values of tensors on the CPU."""
    digest = sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _on(tensor: Tensor | None, like: Tensor) -> Tensor | None:
    return None if tensor is None else tensor.to(like.device)

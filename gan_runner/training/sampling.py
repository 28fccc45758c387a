"""Drawing samples from a generator, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gan_runner.core import Latent, call_unchanged


@torch.no_grad()
def generate(generator: nn.Module, latent: Latent, *, batch_size: int) -> Tensor:
    """Samples (N, *shape) for N rows of noise, on the device of the noise.

    The generator runs in the mode it is in and is left as it was.
    """
    return torch.cat(
        [call_unchanged(generator, part.z, part.y) for part in _split(latent, batch_size)]
    )


def _split(latent: Latent, batch_size: int) -> Iterator[Latent]:
    for start in range(0, len(latent.z), batch_size):
        rows = slice(start, start + batch_size)
        yield Latent(latent.z[rows], None if latent.y is None else latent.y[rows])

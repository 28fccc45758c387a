"""Drawing samples from a generator, batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_runner.core import Latent, call_unchanged, full_batches


@torch.no_grad()
def generate(generator: nn.Module, latent: Latent, *, batch_size: int) -> Tensor:
    """Samples (N, *shape) for N rows of noise, on the device of the noise.

    The generator runs in the mode it is in and is left as it was.
    """
    made = []
    for rows, seen in full_batches(len(latent.z), batch_size):
        y = None if latent.y is None else latent.y[rows]
        made.append(call_unchanged(generator, latent.z[rows], y)[seen:])
    return torch.cat(made)

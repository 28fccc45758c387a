"""Samples of a generator, drawn batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gan_runner.core import Latent, fixed_size_slices, forward_without_buffer_updates


@torch.no_grad()
def generate(
    generator: nn.Module, latent: Latent, *, batch_size: int, progress: bool = False
) -> Tensor:
    """Return samples (N, *shape) for N rows of noise, on the device of the noise.

    The generator runs in its present mode; its buffers are left as they were. With `progress`, a
    terminal shows a bar.
    """
    chunks, hidden = [], None if progress else True
    slices = fixed_size_slices(len(latent.z), batch_size)
    for rows, seen in tqdm(slices, "samples", leave=False, disable=hidden, delay=1):
        y = None if latent.y is None else latent.y[rows]
        chunks.append(forward_without_buffer_updates(generator, latent.z[rows], y)[seen:])
    return torch.cat(chunks)

"""Contexts and snapshots for metrics and plots: samples by hand instead of a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_runner.core import Batch, Dataset, DataSpec, EvalContext, Latent, Nets, Snapshot


def context_of(
    heldout: Tensor,
    *,
    y: Tensor | None = None,
    train: Batch | None = None,
    spec: DataSpec | None = None,
    batch_size: int = 4,
) -> EvalContext:
    """A scene of held-out samples as players see them; they are the training data as well."""
    batch = Batch(heldout, y)
    spec = spec or DataSpec("samples", tuple(heldout.shape[1:]))
    dataset = Dataset(spec, train or batch, batch)
    return EvalContext(dataset, batch, batch_size, seed=0, device=torch.device("cpu"))


def snapshot_of(
    context: EvalContext,
    fake: Tensor,
    *,
    raw: Tensor | None = None,
    critic: nn.Module | None = None,
    labels: Tensor | None = None,
) -> Snapshot:
    """A view of samples, the same of both generators unless others are given."""
    nets = Nets(nn.Identity(), critic or nn.Identity(), nn.Identity())
    noise = Latent(torch.zeros(len(fake), 2), labels)
    return Snapshot(nets, context.spec, context.heldout, fake if raw is None else raw, fake, noise)

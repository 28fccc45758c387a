"""Output and gradient norm of the critic on held-out data."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, autograd, nn

from gan_runner.core import (
    EvalContext,
    Snapshot,
    ensemble_mean,
    fixed_size_slices,
    forward_without_buffer_updates,
)


class CriticOnHeldOut:
    """`wasserstein/critic_heldout` or `critic/gap_heldout`, and `critic/input_gradient_norm`.

    The first is E f(x) - E f(G(z)) on held-out data and the current (raw) generator, in float32 and
    without input noise. Its tag follows the objective's `critic_tag`, which is the same quantity on
    training batches: the mean over the steps since the last logged point, each step before its
    update. While both networks change slowly, the two differ by the critic's overfitting.
    The second is E |grad f(x_hat)|_2 at x_hat = eps x + (1 - eps) G(z), eps ~ U[0, 1]. The gradient
    penalty of WGAN-GP would hold it at 1.

    The critic sees batches of the training size, because batch norm depends on the size.
    """

    def __init__(self, context: EvalContext) -> None:
        self.tag = f"{context.critic_tag}_heldout"
        self.batch_size, self.seed = context.batch_size, context.seed
        about = {"generator": "raw", "batch": context.batch_size, "seed": context.seed}
        provenance = {**context.reference, **about}
        self.provenance = {
            self.tag: {**provenance, "beside": context.critic_tag},
            "critic/input_gradient_norm": provenance,
        }

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute both metrics for a snapshot."""
        critic, x, y = snapshot.nets.critic, snapshot.heldout.x, snapshot.heldout.y
        fake = snapshot.samples[: len(x)]
        labels = y if snapshot.labels is None else snapshot.labels[: len(x)]
        rows = torch.Generator().manual_seed(self.seed)
        eps = torch.rand(len(x), *[1] * (x.ndim - 1), generator=rows).to(x.device)
        x_hat = eps * x + (1 - eps) * fake[partners(y, labels)]
        size = self.batch_size
        with torch.no_grad():
            r = scores(critic, x, y, batch_size=size).mean()
            f = scores(critic, fake, labels, batch_size=size).mean()
        return {
            self.tag: (r - f).item(),
            "critic/input_gradient_norm": slopes(critic, x_hat, y, batch_size=size).mean().item(),
        }


def partners(y: Tensor | None, labels: Tensor | None) -> Tensor | slice:
    """Return the row of a sample with the same label for each held-out row, (N,).

    Samples of a label are taken in turn. A row whose label no sample has keeps its own row number;
    so do all rows without labels.

    Args:
        y: labels (N,) of the held-out rows.
        labels: labels (M,) of the samples, M at most N.
    """
    if y is None or labels is None or torch.equal(y, labels):
        return slice(None)
    rows = torch.arange(len(y), device=y.device) % len(labels)
    for label in y.unique():
        here, there = (y == label).nonzero()[:, 0], (labels == label).nonzero()[:, 0]
        if len(there):
            rows[here] = there[torch.arange(len(here), device=y.device) % len(there)]
    return rows


def scores(critic: nn.Module, x: Tensor, y: Tensor | None, *, batch_size: int) -> Tensor:
    """Compute f(x) of each row, (N,), in batches of the training size; f is the ensemble mean."""
    return torch.cat(
        [
            ensemble_mean(forward_without_buffer_updates(critic, part, labels), len(part))[seen:]
            for part, labels, seen in _batches(x, y, batch_size)
        ]
    )


def slopes(critic: nn.Module, x: Tensor, y: Tensor | None, *, batch_size: int) -> Tensor:
    """Compute |grad f(x)|_2 of each row, (N,), in batches of the training size.

    f is the ensemble mean.
    """
    norms = []
    for part, labels, seen in _batches(x, y, batch_size):
        rows = part.detach().requires_grad_()
        total = ensemble_mean(forward_without_buffer_updates(critic, rows, labels), len(rows)).sum()
        (gradient,) = autograd.grad(total, rows)
        norms.append(gradient.flatten(1).norm(dim=1)[seen:])
    return torch.cat(norms)


def _batches(x: Tensor, y: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor | None, int]]:
    """Yield `core.fixed_size_slices` batches and their numbers of already processed rows."""
    for rows, seen in fixed_size_slices(len(x), size):
        yield x[rows], None if y is None else y[rows], seen

"""Last layer of every critic: features, optionally with minibatch statistics, to one score."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gan_runner.models.norms import Projection

BatchStatistics = Literal["none", "stddev", "discrimination"]


class MinibatchStddev(nn.Module):
    """Layer that appends the standard deviation over the batch, averaged over features.

    This is one number per batch: Karras et al. 2018 (progressive GAN), section 3, applied to the
    features of the last hidden layer.
    """

    extra = 1

    def forward(self, h: Tensor) -> Tensor:
        """Map (N, d) to (N, d + 1)."""
        spread = (h.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([h, spread.expand(len(h), 1)], dim=1)


class MinibatchDiscrimination(nn.Module):
    """Layer that appends each sample's closeness to the rest of the batch, in B projections.

    o_b(x_i) = sum_j exp(-|M_ib - M_jb|_1) over j != i, with M_i = h_i T of shape (B, C) and learned
    T. Salimans et al. 2016, section 3.2; the sum there includes the constant term j = i.

    Args:
        features: d.
        kernels: B.
        size: C, the dimension of each projection.
    """

    def __init__(self, features: int, *, kernels: int = 50, size: int = 5) -> None:
        super().__init__()
        self.extra, self.size = kernels, size
        self.project = nn.Linear(features, kernels * size, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Map (N, d) to (N, d + B)."""
        m = self.project(h).unflatten(1, (self.extra, self.size))
        distance = (m.unsqueeze(0) - m.unsqueeze(1)).abs().sum(dim=3)  # (N, N, B)
        return torch.cat([h, torch.exp(-distance).sum(dim=1) - 1], dim=1)


class CriticOutput(nn.Module):
    """f = w . [h, o(h)] + b + <v_y, h>; o(h) and <v_y, h> are optional.

    Args:
        features: d, the dimension of the last hidden layer h.
        n_classes: if positive, labels enter by projection (Miyato & Koyama 2018, equation 8).
        batch_statistics: statistics o(h) of the batch that are appended to h.
    """

    def __init__(
        self, features: int, *, n_classes: int = 0, batch_statistics: BatchStatistics = "none"
    ) -> None:
        super().__init__()
        self.statistics: nn.Module = nn.Identity()
        extra = 0
        if batch_statistics != "none":
            layer = (
                MinibatchStddev()
                if batch_statistics == "stddev"
                else MinibatchDiscrimination(features)
            )
            self.statistics, extra = layer, layer.extra
        self.linear = nn.Linear(features + extra, 1)
        self.projection = Projection(n_classes, features) if n_classes else None
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, 0.0, features**-0.5)

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, d) and labels (N,) or None to scores (N,)."""
        score = self.linear(self.statistics(h)).squeeze(1)
        return score if self.projection is None else score + (self.projection(y) * h).sum(dim=1)


def has_batch_statistics(network: nn.Module) -> bool:
    """Return whether any layer compares the samples of a batch with each other."""
    return any(
        isinstance(module, MinibatchStddev | MinibatchDiscrimination)
        for module in network.modules()
    )

"""The end of every critic: from its features to one score, on minibatch statistics if asked."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gan_runner.models.norms import Projection

BatchStatistics = Literal["none", "stddev", "discrimination"]


class MinibatchStddev(nn.Module):
    """Appends the standard deviation over the batch, averaged over the features: one number.

    Karras et al. 2018 (progressive GAN), section 3, on the features of the last hidden layer.
    """

    extra = 1

    def forward(self, h: Tensor) -> Tensor:
        """(N, d) -> (N, d + 1)."""
        spread = (h.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([h, spread.expand(len(h), 1)], dim=1)


class MinibatchDiscrimination(nn.Module):
    """Appends how close each sample is to the others of its batch, in B learned projections.

    o_b(x_i) = sum_j exp(-|M_ib - M_jb|_1) over j != i, with M_i = h_i T of shape (B, C). Salimans
    et al. 2016, section 3.2 (the sum there has the constant j = i as well).

    Args:
        features: d.
        kernels: B.
        size: C, numbers of which each distance is made.
    """

    def __init__(self, features: int, *, kernels: int = 50, size: int = 5) -> None:
        super().__init__()
        self.extra, self.size = kernels, size
        self.project = nn.Linear(features, kernels * size, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """(N, d) -> (N, d + B)."""
        m = self.project(h).unflatten(1, (self.extra, self.size))
        distance = (m.unsqueeze(0) - m.unsqueeze(1)).abs().sum(dim=3)  # (N, N, B)
        return torch.cat([h, torch.exp(-distance).sum(dim=1) - 1], dim=1)


class CriticOutput(nn.Module):
    """f = w . [h, o(h)] + b + <v_y, h>, the last two parts if asked for.

    Args:
        features: d, of the last hidden layer h.
        n_classes: more than 0: labels enter by projection (Miyato & Koyama 2018, equation 8).
        batch_statistics: statistics o(h) of the batch that are appended.
    """

    def __init__(
        self, features: int, *, n_classes: int = 0, batch_statistics: BatchStatistics = "none"
    ) -> None:
        super().__init__()
        self.statistics: nn.Module = nn.Identity()
        extra = 0
        if batch_statistics != "none":
            made = (
                MinibatchStddev()
                if batch_statistics == "stddev"
                else MinibatchDiscrimination(features)
            )
            self.statistics, extra = made, made.extra
        self.linear = nn.Linear(features + extra, 1)
        self.projection = Projection(n_classes, features) if n_classes else None
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, 0.0, features**-0.5)

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, d) and labels (N,) or None -> scores (N,)."""
        score = self.linear(self.statistics(h)).squeeze(1)
        return score if self.projection is None else score + (self.projection(y) * h).sum(dim=1)


def has_batch_statistics(network: nn.Module) -> bool:
    """True if any layer compares the samples of a batch with each other."""
    return any(
        isinstance(module, MinibatchStddev | MinibatchDiscrimination)
        for module in network.modules()
    )

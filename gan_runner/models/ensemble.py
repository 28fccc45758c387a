"""Ensembles as players: the posterior samples of a Bayesian GAN.

Saatci & Wilson 2017 (arXiv 1705.09558): instead of one best generator and critic, a few of each are
sampled from their posteriors by SGHMC. Samples of the mixture come from all generators.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """A mixture of generators: each generates an equal share of the rows of a batch.

    Args:
        members: J generators with equal input and output shapes.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.latent_dim = self.members[0].latent_dim
        self.n_classes = getattr(self.members[0], "n_classes", 0)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map noise (N, latent_dim) and labels (N,) or None to (N, *shape).

        Row i comes from member i mod J.
        """
        count, rows = len(self.members), len(z)
        whole = rows + -rows % count  # equal numbers for all members; the excess is cut off
        z = torch.cat([z] * count)[:whole]
        y = None if y is None else torch.cat([y] * count)[:whole]
        parts = [
            member(z[k::count], None if y is None else y[k::count])
            for k, member in enumerate(self.members)
        ]
        return torch.stack(parts, dim=1).flatten(0, 1)[:rows]


class Critic(nn.Module):
    """An ensemble of critics, which returns the scores of each member in turn.

    A mean over the scores is a mean over samples and critics. So a loss is the mean of the critics'
    losses, as the posterior requires, and not the loss of a mean score.

    Args:
        members: K critics with equal input shapes.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.n_classes = getattr(self.members[0], "n_classes", 0)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Map (N, *shape) and labels (N,) or None to scores (K N,)."""
        return torch.cat([member(x, y) for member in self.members])

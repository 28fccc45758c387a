"""Several networks as one player: the posterior samples of a Bayesian GAN.

Saatci & Wilson 2017 (arXiv 1705.09558): instead of one best generator and critic, a few of each,
sampled from their posteriors by SGHMC; samples of the mixture come from all generators.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """A mixture of generators: each makes an equal share of the rows of a batch.

    Args:
        members: J of them, alike in what they take and give.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.latent_dim = self.members[0].latent_dim
        self.n_classes = getattr(self.members[0], "n_classes", 0)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, latent_dim) noise and labels (N,) or None -> (N, *shape), the first N / J rows ..."""
        count = len(self.members)
        labels = [None] * count if y is None else y.tensor_split(count)
        parts = zip(self.members, z.tensor_split(count), labels, strict=True)
        return torch.cat([member(noise, label) for member, noise, label in parts if len(noise)])


class Critic(nn.Module):
    """Several critics: the scores of all, one critic after the other.

    A mean over the scores is then a mean over samples and critics, so that a loss is the mean of
    the critics' losses, which the posterior asks for; it is not the loss of a mean score.

    Args:
        members: K of them, alike in what they take and give.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.n_classes = getattr(self.members[0], "n_classes", 0)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, *shape) and labels (N,) or None -> scores (K N,)."""
        return torch.cat([member(x, y) for member in self.members])

"""Which networks promise to map each row of a batch by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_runner.core import is_per_sample


class OfRows(nn.Module):
    """Layers behind the signature that networks have."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return self.layers(x)


class SpreadOfBatch(nn.Module):
    """Appends the batch's standard deviation to every row, as minibatch statistics do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x.std(0).mean().expand(len(x), 1)], 1)


@pytest.mark.parametrize(
    ("network", "independent"),
    [
        (OfRows(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)), True),
        (OfRows(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1)), True),
        (OfRows(spectral_norm(nn.Linear(4, 8)), nn.Linear(8, 1)), True),
        (OfRows(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)), False),
        (OfRows(nn.Linear(4, 8), SpreadOfBatch(), nn.Linear(9, 1)), False),
        (OfRows(nn.Linear(4, 64), nn.Dropout(0.5), nn.Linear(64, 1)), False),
    ],
    ids=["plain", "layer norm", "spectral norm", "batch norm", "batch_statistics", "dropout"],
)
def test_rows_are_independent(network: nn.Module, independent: bool) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert is_per_sample(network, torch.randn(8, 4)) is independent
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())

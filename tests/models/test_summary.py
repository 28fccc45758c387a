"""What the summary says of networks, against torch's own counters and numbers by hand."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gan_runner.core import DataSpec
from gan_runner.models import dcgan, mlp, resnet, resnet101
from gan_runner.models.summary import summarise

COLOUR = DataSpec("images", (3, 32, 32), n_classes=4)
POINTS = DataSpec("points", (2,))


@pytest.mark.parametrize("family", [dcgan, resnet, resnet101, mlp])
@pytest.mark.parametrize("norm", ["none", "layer", "spectral"])
def test_flops_are_those_of_torchs_counter(family, norm: str) -> None:
    sizes = {"width": 16} if family is mlp else {"filters": 4}
    labels = "conditional_norm" if norm == "layer" else "embedding"
    generator = family.Generator(COLOUR, norm=norm, labels=labels, **sizes)
    critic = family.Critic(
        COLOUR, norm=norm, labels="projection", batch_statistics="discrimination", **sizes
    )
    y = torch.tensor([0, 1, 2, 3])
    for network, x in ((generator, torch.randn(4, 128)), (critic, torch.randn(4, 3, 32, 32))):
        summary = summarise(network, x, y, batch_size=64)
        network.eval()  # no power iteration, which is no work for a sample
        with FlopCounterMode(display=False) as counter:
            network(x, y)
        assert summary.flops == counter.get_total_flops() / 4
        assert summary.parameters == sum(p.numel() for p in network.parameters())
        assert sum(layer.parameters for layer in summary.layers) == summary.parameters
        assert sum(block.parameters for block in summary.blocks) == summary.parameters


def test_a_small_critic_by_hand() -> None:
    """2 -> 3 -> 1: 9 + 4 parameters, 12 + 6 FLOPs. Kept for the backward pass of a sample: its two
    coordinates, the activation's mask (not what it is applied to, as it is a constant) and output."""
    summary = summarise(mlp.Critic(POINTS, width=3, depth=1), torch.randn(4, 2), batch_size=10)
    assert (summary.parameters, summary.flops) == (13, 18)
    assert summary.step_bytes == 2 * 13 * 4 + 10 * 4 * (2 + 3 + 3)
    assert [
        (b.name, b.kind, b.shape, b.parameters, b.flops) for b in summary.blocks if b.parameters
    ] == [
        ("features.1", "Linear", (3,), 9, 12),
        ("score.linear", "Linear", (1,), 4, 6),
    ]


def test_memory_grows_with_the_batch_alone() -> None:
    network = dcgan.Critic(COLOUR, filters=4, norm="none")
    one, two, three = (
        summarise(network, torch.randn(rows, 3, 32, 32), batch_size=batch).step_bytes
        for rows, batch in ((2, 64), (5, 64), (2, 128))
    )
    assert one == two
    weights = 8 * sum(p.numel() for p in network.parameters())
    assert three - weights == 2 * (one - weights)


def test_looking_changes_nothing() -> None:
    network = dcgan.Generator(COLOUR, filters=4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    summarise(network, torch.randn(4, 128, generator=torch.Generator()), batch_size=64)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training and not any(m._forward_hooks for m in network.modules())


def test_blocks_that_are_alike_share_a_line() -> None:
    network = resnet101.Critic(DataSpec("images", (3, 16, 16)), filters=4)
    summary = summarise(network, torch.randn(2, 3, 16, 16), batch_size=64)
    table = summary.table(whole=False)
    assert table.count("Bottleneck x6") == 2 and table.count("Bottleneck x5") == 1
    assert len(table.splitlines()) < 12 < len(summary.table(whole=True).splitlines())


class Attentive(torch.nn.Module):
    """Attention over 5 tokens of 8 numbers, a matrix of its own, and a layer that it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.matrix = torch.nn.Parameter(torch.randn(8, 3))
        self.unused = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return self.attention(x, x, x)[0] @ self.matrix


def test_parameters_outside_of_plain_layers_are_listed() -> None:
    summary = summarise(Attentive(), torch.randn(2, 5, 8), batch_size=4)
    rows = {layer.name: (layer.kind, layer.parameters, layer.flops) for layer in summary.layers}
    # in_proj 24 x 8 + 24 and out_proj 8 x 8 + 8; 2 * 5 * 4 * 64 for the projections, 4 * 25 * 8 for the products
    assert rows == {
        "attention": ("MultiheadAttention", 288, 2560 + 800),
        "(other)": ("Attentive", 30, 0),
    }
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters == 318
    text = summary.text("critic", whole=True)
    assert "(without Attentive)" in text and "2 for a multiply-add" in text


def test_fast_activations_have_the_names_that_people_know() -> None:
    table = summarise(mlp.Critic(POINTS, width=3), torch.randn(4, 2), batch_size=4).table(
        whole=True
    )
    assert "ReLU" in table and "PiecewiseLinear" not in table

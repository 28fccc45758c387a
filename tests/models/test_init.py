"""Initial scales: the standard deviation before the generator's tanh, computed and measured."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from gan_runner.core import DataSpec
from gan_runner.models import dcgan, mlp


def before_tanh(network: nn.Module, z: torch.Tensor) -> torch.Tensor:
    """Return the inputs of the generator's last layer, a tanh."""
    seen: list[torch.Tensor] = []
    tanh = next(module for module in network.modules() if isinstance(module, nn.Tanh))
    tanh.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        network(z)
    return seen[0]


# Variances by hand: dense 128 * 2 / (128 + n), halved by each ReLU; a transposed convolution of
# kernel 5 and stride 2 times (25/4) in * 4 / (25/4 in + 25 out).
@pytest.mark.parametrize(
    ("shape", "filters", "expected"),
    [
        ((3, 32, 32), 32, 0.28),
        ((3, 32, 32), 64, 0.21),
        pytest.param((3, 32, 32), 128, 0.16, marks=pytest.mark.slow),
        ((1, 16, 16), 4, 0.82),
        ((1, 16, 16), 8, 0.77),
        ((1, 16, 16), 12, 0.71),
    ],
)
def test_glorot_generators_start_with_the_published_scale(
    shape: tuple[int, int, int], filters: int, expected: float
) -> None:
    spec = DataSpec("images", shape)
    stds = []
    for seed in range(20):
        torch.manual_seed(seed)
        network = dcgan.Generator(
            spec, filters=filters, kernel=5, norm="none", bias_before_norm=True, init="glorot"
        )
        values = before_tanh(network, torch.randn(64, 128))
        middle = shape[-1] // 2  # the padding of the borders takes products away
        centre = slice(middle - 2, middle + 2)
        stds.append(values[:, :, centre, centre].square().mean())
    assert sqrt(float(torch.stack(stds).mean())) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("filters", [8, 64, 128])
def test_the_paper_familys_std_follows_the_width(filters: int) -> None:
    network = dcgan.Critic(
        DataSpec("images", (3, 32, 32)), filters=filters, kernel=5, init="dcgan_by_width"
    )
    weights = torch.cat(
        [m.weight.detach().flatten() for m in network.modules() if isinstance(m, nn.Conv2d)]
    )
    assert float(weights.std()) == pytest.approx(0.02 * sqrt(max(1, 64 / filters)), rel=0.03)


def test_at_64_filters_the_paper_familys_bits_are_dcgans() -> None:
    spec = DataSpec("images", (3, 32, 32))
    weights = []
    for init in ("dcgan", "dcgan_by_width"):
        torch.manual_seed(0)
        weights.append(dcgan.Generator(spec, init=init).state_dict())  # type: ignore[arg-type]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_mlp_players_are_he_with_a_glorot_output() -> None:
    spec = DataSpec("points", (2,))
    torch.manual_seed(0)
    for network in (mlp.Generator(spec, init="he"), mlp.Critic(spec, init="he")):
        layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
        for layer in layers[:-1]:
            expected = sqrt(2 / layer.in_features)
            assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.06)
        last = layers[-1]
        expected = sqrt(2 / (last.in_features + last.out_features))
        assert float(last.weight.detach().std()) == pytest.approx(expected, rel=0.1)
        assert all(not m.bias.detach().any() for m in layers)

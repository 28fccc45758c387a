"""Initial scales: the standard deviation before the generator's tanh, computed and measured."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from gan_runner.config.instantiate import instantiate
from gan_runner.config.validate import validate
from gan_runner.core import DataSpec
from gan_runner.models import dcgan, heads, mlp, resnet

Compose = Callable[..., DictConfig]
COLOUR = DataSpec("images", (3, 32, 32))


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


# Variances by hand, from tflib's conv2d.py, deconv2d.py and linear.py: 4 / (fan_in + fan_out) in
# convolutions, 2 / (fan_in + fan_out) in dense layers, shortcuts and outputs (he_init=False). A
# stride of 2 divides fan_out by 4, of a transposed convolution fan_in.
GATED = {  # MultiplicativeDCGANGenerator and -Discriminator: twice the channels before a gate
    "generator.project.0": 2 / (128 + 16384),
    "generator.stages.0": 4 / (512 * 25 / 4 + 512 * 25),
    "generator.to_image.0": 4 / (64 * 25 / 4 + 3 * 25),
    "critic.features.1": 4 / (3 * 25 + 128 * 25 / 4),
    "critic.features.4": 4 / (64 * 25 + 256 * 25 / 4),
    "critic.score.linear": 2 / (8192 + 1),
}
RESNET101 = {  # ResnetGenerator and ResnetDiscriminator
    "generator.project.0": 2 / (128 + 8192),
    "generator.blocks.0.residual.1": 4 / (512 + 256),
    "generator.blocks.6.shortcut.0": 2 / (512 + 4 * 256),
    "generator.blocks.6.residual.3": 4 / (256 * 9 / 4 + 128 * 9),
    "generator.to_image": 2 / (32 + 3),
    "critic.features.0": 2 / (3 + 32),
    "critic.features.1.residual.1": 4 / (32 + 16),
    "critic.features.1.residual.3": 4 / (16 * 9 + 16 * 9),
    "critic.features.6.shortcut": 2 / (32 + 64 / 4),
    "critic.features.6.residual.4": 4 / (16 * 9 + 32 * 9 / 4),
    "critic.score.linear": 2 / (8192 + 1),
}
CIFAR = {  # gan_cifar_resnet.py; OptimizedResBlockDisc1 is the first block of the critic
    "generator.project.0": 2 / (128 + 2048),
    "generator.blocks.0.shortcut.0": 2 / (128 + 128),
    "generator.blocks.0.residual.3": 4 / (128 * 9 + 128 * 9),
    "generator.to_image.2": 2 / (128 * 9 + 3 * 9),
    "critic.features.0.shortcut.1": 2 / (3 + 128),
    "critic.features.0.residual.0": 4 / (3 * 9 + 128 * 9),
    "critic.features.0.residual.2": 4 / (128 * 9 + 128 * 9),
    "critic.features.1.shortcut.1": 2 / (128 + 128),
    "critic.score.linear": 2 / (128 + 1),
}


@pytest.mark.parametrize(
    ("command", "side", "variances"),
    [
        ("model=dcgan_gated", 64, GATED),
        ("model=resnet101", 64, RESNET101),
        ("experiment=wgan_gp_cifar", 32, CIFAR),
        ("experiment=wgan_gp_cifar_labels", 32, CIFAR),
    ],
)
def test_layers_have_the_variances_of_the_public_code(
    config: Compose, command: str, side: int, variances: dict[str, float]
) -> None:
    torch.manual_seed(0)
    model = validate(config(command))["model"]
    spec = DataSpec("images", (3, side, side), n_classes=10)
    players = nn.ModuleDict(
        {name: instantiate(model[name], spec) for name in ("generator", "critic")}
    )
    for name, variance in variances.items():
        layer = players.get_submodule(name)
        weight = layer.weight.detach()  # type: ignore[union-attr, operator]
        error = 4 * sqrt(0.2 / weight.numel())  # four standard errors of a uniform sample's std
        assert float(weight.std()) == pytest.approx(sqrt(variance), rel=error), name
        largest = float(weight.abs().max()) / sqrt(3 * variance)
        assert 1 - 7 / weight.numel() < largest <= 1, name
        assert layer.bias is None or not layer.bias.detach().any()  # type: ignore[operator]


def test_the_first_gated_convolution_starts_with_068() -> None:
    network = dcgan.Critic(
        DataSpec("images", (3, 64, 64)), kernel=5, activation="gated", init="glorot"
    )
    assert float(network.features[1].weight.detach().std()) == pytest.approx(0.068, abs=0.002)


def test_a_classifier_is_torchs_or_glorots() -> None:
    spec = DataSpec("images", (3, 32, 32), n_classes=10)
    torch.manual_seed(0)
    plain = heads.classifier(128, 128, spec)
    torch.manual_seed(0)
    assert torch.equal(plain.weight, nn.Linear(128, 10).weight)  # type: ignore[arg-type]
    drawn = heads.classifier(128, 128, spec, init="glorot")
    std = float(drawn.weight.detach().std())  # type: ignore[operator]
    assert std == pytest.approx(sqrt(2 / 138), rel=0.05)


@pytest.mark.parametrize(("pool", "score"), [("mean", 4.0), ("sum", 256.0)])
def test_pool_of_a_critic_by_hand(pool: resnet.Pool, score: float) -> None:
    """Four channels of ones on a grid of 8x8, and an output of weights 1."""
    network = resnet.Critic(COLOUR, filters=4, pool=pool)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.ones_(network.features[3].residual[5].bias)  # the last convolution before the pool
    nn.init.ones_(network.score.linear.weight)
    assert network(torch.randn(2, 3, 32, 32)).tolist() == [score, score]


def test_sngan_sums_and_the_others_average(config: Compose) -> None:
    def pool(command: str) -> str:
        return str(validate(config(command))["model"]["critic"]["pool"])

    assert pool("experiment=sngan_cifar") == "sum"
    assert pool("experiment=wgan_gp_cifar") == pool("model=resnet") == "mean"

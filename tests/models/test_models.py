"""Architectures: parameter counts by hand, sizes that follow from the data, DCGAN's rules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_runner.core import DataSpec
from gan_runner.models import dcgan, mlp, resnet
from gan_runner.models.blocks import PiecewiseLinear, initialise

POINTS = DataSpec("points", (2,))


def image(channels: int, height: int, width: int | None = None) -> DataSpec:
    return DataSpec("images", (channels, height, width or height))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 9, 15, 16, 28, 30, 32, 33, 63, 64, 100, 128])
def test_dcgan_follows_the_data(channels: int, side: int) -> None:
    spec = image(channels, side)
    generator = dcgan.Generator(spec, latent_dim=5, filters=2)
    critic = dcgan.Critic(spec, filters=2, norm="none")
    x = generator(torch.randn(3, 5))
    assert x.shape == (3, channels, side, side)
    assert x.abs().max() <= 1
    assert critic(x).shape == (3,)


def test_dcgan_on_images_that_are_not_square() -> None:
    spec = image(1, 16, 24)
    x = dcgan.Generator(spec, filters=2)(torch.randn(2, 128))
    assert x.shape == (2, 1, 16, 24) and dcgan.Critic(spec, filters=2)(x).shape == (2,)


def test_dcgan_parameters_by_hand() -> None:
    # 32 pixels: 4 -> 8 -> 16 -> 32, F = 64. The projection and the convolutions before a norm have
    # no bias; a norm has two numbers a channel.
    f = 64
    projection = 100 * (4 * f * 4 * 4) + 2 * 4 * f
    stages = (4 * f * 2 * f * 16 + 2 * 2 * f) + (2 * f * f * 16 + 2 * f)
    generator = projection + stages + (f * 3 * 16 + 3)
    assert count(dcgan.Generator(image(3, 32), latent_dim=100, filters=f)) == generator == 1_068_931
    critic = (
        (3 * f * 16 + f)
        + (f * 2 * f * 16 + 4 * f)
        + (2 * f * 4 * f * 16 + 8 * f)
        + (4 * f * 16 + 1)
    )
    assert count(dcgan.Critic(image(3, 32), filters=f)) == critic


def test_dcgan_norm_is_not_at_the_ends() -> None:
    def norms(network: nn.Module) -> int:
        return sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())

    spec = image(3, 64)  # four stages
    assert norms(dcgan.Generator(spec, filters=2)) == 4  # after the projection and three stages
    assert norms(dcgan.Critic(spec, filters=2)) == 3  # all stages but the first
    assert norms(dcgan.Critic(spec, filters=2, norm="none")) == 0
    assert isinstance(dcgan.Generator(spec, filters=2).to_image[-1], nn.Tanh)


def test_dcgan_initialisation() -> None:
    critic = dcgan.Critic(image(3, 32), filters=64, init="dcgan")
    assert critic.features[2].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert critic.features[3].weight.mean().item() == pytest.approx(1.0, abs=0.01)
    he = dcgan.Critic(image(3, 32), filters=64, init="he")
    assert he.features[2].weight.std().item() == pytest.approx((2 / (64 * 16)) ** 0.5, rel=0.02)
    assert he.features[3].weight.eq(1).all()


def test_he_keeps_the_size_of_activations() -> None:
    """The mean square doubles in a layer and halves in the ReLU after it, up and down alike."""
    up, down = nn.ConvTranspose2d(64, 256, 4, 2, 1), nn.Conv2d(64, 256, 4, 2, 1)
    for layer in (up, down):
        initialise(layer, "he")
        y = layer(torch.randn(4, 64, 16, 16))[:, :, 2:-2, 2:-2]  # away from the padding
        assert y.square().mean().item() == pytest.approx(2.0, rel=0.05)
        assert layer.bias.abs().sum() == 0


@pytest.mark.parametrize("spec", [POINTS, image(1, 7), image(3, 129)])
def test_dcgan_refuses_what_it_cannot_build(spec: DataSpec) -> None:
    with pytest.raises(ValueError, match="use model=mlp"):
        dcgan.Generator(spec)
    with pytest.raises(ValueError, match="use model=mlp"):
        dcgan.Critic(spec)


def test_mlp_of_the_toys() -> None:
    # 2 -> 512 -> 512 -> 512 -> out
    hidden = (2 * 512 + 512) + 2 * (512 * 512 + 512)
    generator, critic = mlp.Generator(POINTS), mlp.Critic(POINTS)
    assert generator.latent_dim == 2
    assert count(generator) == hidden + 512 * 2 + 2
    assert count(critic) == hidden + 512 + 1
    assert [type(m) for m in critic.features] == [nn.Flatten] + [nn.Linear, PiecewiseLinear] * 3
    assert generator(torch.randn(7, 2)).shape == (7, 2)


def test_mlp_on_images() -> None:
    generator = mlp.Generator(image(3, 8), width=16)
    x = 100 * torch.randn(5, 128)
    assert generator.latent_dim == 128
    assert generator(x).shape == (5, 3, 8, 8) and generator(x).abs().max() <= 1
    assert mlp.Critic(image(3, 8), width=16)(generator(x)).shape == (5,)
    # points are not squashed
    assert mlp.Generator(POINTS)(1000 * torch.randn(9, 2)).abs().max() > 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 9, 16, 20, 28, 32, 33, 64, 128])
def test_resnet_follows_the_data(channels: int, side: int) -> None:
    spec = image(channels, side)
    x = resnet.Generator(spec, latent_dim=5, filters=2)(torch.randn(3, 5))
    assert x.shape == (3, channels, side, side) and x.abs().max() <= 1
    assert resnet.Critic(spec, filters=2)(x).shape == (3,)


@pytest.mark.parametrize("upsample", ["first", "second"])
def test_resnet_has_the_parameters_of_the_paper(upsample: resnet.Upsample) -> None:
    # Gulrajani et al. 2017, table 3: 32x32x3, 128 filters
    assert count(resnet.Generator(image(3, 32), upsample=upsample)) == 1_204_483
    assert count(resnet.Critic(image(3, 32))) == 1_053_825


def test_resnet_upsamples_where_it_says() -> None:
    """Before the first convolution both of a block run at the double size, else only the second."""

    def sides(upsample: resnet.Upsample) -> list[int]:
        seen: list[int] = []
        generator = resnet.Generator(image(3, 32), filters=2, upsample=upsample)
        for block in generator.blocks:
            for layer in block.residual:
                if isinstance(layer, nn.Conv2d):
                    layer.register_forward_hook(lambda _, x, y: seen.append(y.shape[-1]))
        generator(torch.randn(1, 128))
        return seen

    assert sides("first") == [8, 8, 16, 16, 32, 32]
    assert sides("second") == [4, 8, 8, 16, 16, 32]


def test_resnet_shortcuts_commute_with_resampling() -> None:
    """The 1x1 convolution is run on the smaller grid; the paper's code runs it on the larger."""
    block = resnet.UpBlock(4, "none", "relu", upsample="first")
    for layer in block.residual:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    x = torch.randn(2, 4, 5, 5)
    conv, double = block.shortcut
    torch.testing.assert_close(block(x), conv(double(x)))


def test_resnet_critic_is_normalised_only_if_asked() -> None:
    norms = [
        sum(isinstance(m, nn.BatchNorm2d) for m in resnet.Critic(image(3, 32), norm=norm).modules())
        for norm in ("none", "batch")
    ]
    assert norms == [0, 6]  # two in each block but the first

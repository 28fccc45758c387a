"""The architectures of Gulrajani et al. 2017: exact parameter counts, TensorFlow's padding, draws."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gan_runner.config.compose import config_dir
from gan_runner.config.instantiate import instantiate
from gan_runner.config.validate import validate
from gan_runner.core import DataSpec
from gan_runner.models import random_architecture, resnet101
from gan_runner.models.blocks import downsample, initialise, upsample
from gan_runner.training.engine import Engine

GAMES = {"point_and_slope"}  # two numbers, of points as of images; see test_orders
MODELS = sorted({path.stem for path in (config_dir() / "model").glob("*.yaml")} - GAMES)
TABLE_1 = {
    "activations": ["relu", "leaky_relu", "softplus_centred", "tanh"],
    "depths": [4, 8, 12, 20],
    "norms": [True, False],
    "filters": [32, 64, 128],
}
Compose = Callable[..., DictConfig]


def image(channels: int, side: int) -> DataSpec:
    return DataSpec("images", (channels, side, side))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def players(config: Compose, spec: DataSpec, *overrides: str) -> tuple[nn.Module, nn.Module]:
    model = validate(config(*overrides))["model"]
    return instantiate(model["generator"], spec), instantiate(model["critic"], spec)


# Section 5.1 of the paper, figure 2: generator and critic at 64x64x3 with 64 filters.
FIGURE_2 = {
    "dcgan_paper": (5_364_739, 4_316_545),
    "dcgan_constant_filters": (444_291, 4_316_545),
    "mlp_generator": (7_157_760, 4_316_545),
    "dcgan_no_norm": (5_362_819, 4_314_753),
    "dcgan_gated": (10_724_675, 8_624_897),
    "dcgan_tanh": (5_364_739, 4_316_545),
    "resnet101": (9_189_587, 7_618_801),
}


@pytest.mark.parametrize("objective", ["wgan_gp", "ns_gan"])
@pytest.mark.parametrize("model", FIGURE_2)
def test_figure_2_has_the_parameters_of_the_paper(
    config: Compose, model: str, objective: str
) -> None:
    built = players(config, image(3, 64), f"model={model}", f"objective={objective}")
    assert tuple(map(count, built)) == FIGURE_2[model]
    kinds = {type(m) for m in built[1].modules()}
    if model != "dcgan_no_norm":  # a critic's norm follows the objective
        assert (nn.GroupNorm in kinds) == (objective == "wgan_gp")
        assert (nn.BatchNorm2d in kinds) == (objective == "ns_gan")
    norms = [m for m in built[1].modules() if isinstance(m, nn.GroupNorm)]
    assert all(norm.num_groups == 1 and norm.weight.shape == (norm.num_channels,) for norm in norms)


@pytest.mark.parametrize(
    ("depth", "parameters"), [(4, 1_558_275), (8, 2_149_635), (12, 2_740_995), (20, 3_923_715)]
)
def test_parameters_of_generators_in_the_space_of_table_1(depth: int, parameters: int) -> None:
    space = TABLE_1 | {"depths": [depth], "norms": [True], "filters": [64]}
    assert count(random_architecture.generator(image(3, 32), seed=0, **space)) == parameters


def test_resnet101_has_101_layers_with_weights() -> None:
    """Shortcuts apart: a dense layer, three a block, a 1x1 convolution at the image."""
    for built in (resnet101.Generator(image(3, 64)), resnet101.Critic(image(3, 64))):
        kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
        weights = [name for name, m in built.named_modules() if isinstance(m, kinds)]
        assert len([name for name in weights if "shortcut" not in name]) == 101


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_at_every_size(config: Compose, model: str, channels: int, side: int) -> None:
    """It builds, and maps noise to images and images to one score each; or says why it cannot."""
    small = "model.filters=[4,6]" if model == "random" else "model.filters=4"
    sizes = [small] if model != "mlp" else ["model.width=8"]
    arguments = (f"model={model}", "objective=wgan_gp", *sizes)
    if model == "random" and side == 64:  # table 1 has architectures that are too shallow for it
        with pytest.raises(ValueError, match=r"model\.depths=.*64x64 pixels need 5 layers"):
            players(config, image(channels, side), *arguments)
        return
    generator, critic = players(config, image(channels, side), *arguments)
    x = generator(torch.randn(3, generator.latent_dim))
    assert x.shape == (3, channels, side, side) and x.abs().max() <= 1
    assert critic(x).shape == (3,)


@pytest.mark.parametrize(
    "sides", [(9, 9), (15, 15), (30, 30), (33, 33), (28, 30), (31, 17), (127, 40)]
)
@pytest.mark.parametrize("model", ["dcgan", "dcgan_paper", "resnet", "resnet101", "mlp_generator"])
def test_sides_that_are_odd_or_unequal(config: Compose, model: str, sides: tuple[int, int]) -> None:
    spec = DataSpec("images", (1, *sides))
    generator, critic = players(config, spec, f"model={model}", "model.filters=4")
    x = generator(torch.randn(2, generator.latent_dim))
    assert x.shape == (2, 1, *sides) and critic(x).shape == (2,)


def test_filters_that_cannot_be_halved_are_refused() -> None:
    for filters, activation in ((6, "relu"), (12, "gated"), (4, "gated")):
        with pytest.raises(ValueError, match=rf"model\.filters={filters}: .* a multiple of [48]"):
            resnet101.Generator(image(1, 8), filters=filters, activation=activation)
    with pytest.raises(ValueError, match=r"set model\.norms=\[true\]"):
        random_architecture.generator(image(1, 32), seed=0, **TABLE_1, labels="conditional_norm")


@pytest.mark.parametrize("model", [m for m in MODELS if m not in {"mlp"}])
def test_points_are_refused(config: Compose, model: str) -> None:
    with pytest.raises(ValueError, match=r"needs images, but the data is points.*use model=mlp"):
        players(config, DataSpec("points", (2,)), f"model={model}")


@pytest.mark.parametrize("model", MODELS)
def test_scores_are_per_sample_under_a_penalty(engine: Callable[..., Engine], model: str) -> None:
    """Changing one sample of a batch leaves the gradients of the others as they were."""
    small = "model.filters=[4,6]" if model == "random" else "model.filters=4"
    sizes = [small] if model != "mlp" else ["model.width=16"]
    critic = engine(f"model={model}", "objective=wgan_gp", *sizes).nets.critic.double()

    def gradients(x: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        return torch.autograd.grad(critic(x).sum(), x)[0]

    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    changed = x.clone()
    changed[2] = torch.randn(1, 8, 8)
    before, after = gradients(x), gradients(changed)
    others = [0, 1, 3, 4]
    assert before[others].abs().max() > 0
    torch.testing.assert_close(after[others], before[others], rtol=0, atol=1e-6)


# TensorFlow's SAME padding of a stride-2 kernel: k - 2 zeros, the odd one after.
@pytest.mark.parametrize(("kernel", "before"), [(3, 0), (4, 1), (5, 1), (6, 2), (7, 2)])
def test_halving_reads_where_tensorflow_does(kernel: int, before: int) -> None:
    layers = nn.Sequential(*downsample(1, 1, kernel=kernel))
    conv = layers[-1]
    nn.init.zeros_(conv.bias)
    x = torch.randn(1, 1, 8, 8)
    y = layers(x)
    assert y.shape == (1, 1, 4, 4)
    padded = torch.zeros(8 + 2 * kernel, 8 + 2 * kernel)
    padded[kernel:-kernel, kernel:-kernel] = x[0, 0]
    for row, column in [(0, 0), (1, 2), (3, 3)]:
        top, left = (kernel + 2 * i - before for i in (row, column))
        window = padded[top : top + kernel, left : left + kernel]
        expected = (window * conv.weight[0, 0]).sum()
        torch.testing.assert_close(y[0, 0, row, column], expected)


@pytest.mark.parametrize("kernel", [3, 4, 5, 6])
def test_doubling_is_the_adjoint_of_halving(kernel: int) -> None:
    """<H x, y> = <x, D y> for the same weights, which is what a transposed convolution is."""
    down = nn.Sequential(*downsample(3, 5, kernel=kernel, bias=False)).double()
    up = nn.Sequential(*upsample(5, 3, kernel=kernel, bias=False)).double()
    conv = next(m for m in down if isinstance(m, nn.Conv2d))
    transposed = next(m for m in up if isinstance(m, nn.ConvTranspose2d))
    transposed.weight.data = conv.weight.data
    x, y = torch.randn(2, 3, 8, 8).double(), torch.randn(2, 5, 4, 4).double()
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize(
    ("resample", "outputs", "side"), [("none", 64, 8), ("up", 32, 16), ("down", 128, 4)]
)
def test_bottlenecks_add_to_their_shortcut(resample: str, outputs: int, side: int) -> None:
    """Shortcut plus 0.3 of the branch; the shortcut keeps the size of values at the start."""
    block = resnet101.Bottleneck(64, outputs, resample, "none", "relu", double_backward=False)
    initialise(block, "he")
    x = torch.randn(16, 64, 8, 8)
    y = block(x)
    assert y.shape == (16, outputs, side, side)
    torch.testing.assert_close(y, block.shortcut(x) + 0.3 * block.residual(x))
    assert block.shortcut(x).std().item() == pytest.approx(1.0, abs=0.1)
    if resample == "none":
        assert torch.equal(block.shortcut(x), x)


def test_seeds_are_different_architectures() -> None:
    drawn = [random_architecture.draw(seed, **TABLE_1) for seed in range(200)]
    assert len(set(drawn)) == 200
    few = TABLE_1 | {"depths": [4], "filters": [32]}
    assert (
        len({random_architecture.draw(seed, **few) for seed in range(64)}) == 64
    )  # (4 x 2)^2: all of them
    # RandomState(42) begins its permutation of 9,216 = 96^2 with 4502 = 46 * 96 + 86. A player's 96
    # are (activation, depth, norm, filters) with strides 24, 6, 3, 1: 46 = 1 * 24 + 3 * 6 + 1 * 3 + 1
    # and 86 = 3 * 24 + 2 * 6 + 0 * 3 + 2.
    assert drawn[0] == (
        random_architecture.Architecture("leaky_relu", 20, False, 64),
        random_architecture.Architecture("tanh", 12, True, 128),
    )


def test_a_draw_is_what_is_built() -> None:
    for seed in range(12):
        its = random_architecture.draw(seed, **TABLE_1 | {"filters": [4, 8]})
        space = TABLE_1 | {"filters": [4, 8]}
        built = (
            random_architecture.generator(image(3, 32), seed=seed, **space),
            random_architecture.critic(image(3, 32), seed=seed, **space, norm="layer"),
        )
        for one, network_, norm in zip(its, built, (nn.BatchNorm2d, nn.GroupNorm), strict=True):
            assert network_.architecture == {
                "activation": one.activation, "depth": one.depth, "norm": one.norm, "filters": one.filters
            }  # fmt: skip
            kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
            assert sum(isinstance(m, kinds) for m in network_.modules()) == one.depth
            assert any(isinstance(m, norm) for m in network_.modules()) == one.norm


def test_spectral_norm_is_of_weights_whatever_is_drawn() -> None:
    """A norm of features is drawn; what SN-GAN is defined by is not."""
    for seed in range(8):
        space = TABLE_1 | {"filters": [4, 8]}
        critic = random_architecture.critic(image(3, 32), seed=seed, **space, norm="spectral")
        weights = [m for m in critic.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        assert all(is_parametrized(m, "weight") for m in weights)


def test_both_objectives_get_the_same_network(engine: Callable[..., Engine]) -> None:
    for seed in range(4):
        arguments = ("model=random", f"model.seed={seed}", "model.filters=[4,6]")
        one, other = (engine(*arguments, f"objective={o}").nets for o in ("wgan_gp", "ns_gan"))
        for player in ("generator", "critic"):
            mine = dict(getattr(one, player).named_parameters())
            its = dict(getattr(other, player).named_parameters())
            assert mine.keys() == its.keys()
            assert all(torch.equal(mine[name], its[name]) for name in mine)


def test_there_are_only_so_many() -> None:
    space = TABLE_1 | {"depths": [4], "filters": [4]}
    random_architecture.draw(63, **space)
    with pytest.raises(ValueError, match=r"model\.seed=64: there are only 64 architectures"):
        random_architecture.draw(64, **space)


@pytest.mark.parametrize(
    "seed", [pytest.param(k, marks=pytest.mark.slow if k % 5 else ()) for k in range(50)]
)
def test_a_random_architecture_takes_a_step(engine: Callable[..., Engine], seed: int) -> None:
    """Of either objective: nothing is infinite, and each weight layer but dead ones has moved."""
    for objective in ("wgan_gp", "ns_gan"):
        built = engine(
            "model=random", f"model.seed={seed}", "model.filters=[4,8,16]", f"objective={objective}",
            "objective.n_critic=1",
        )  # fmt: skip
        built.step = 0
        players = [built.nets.generator, built.nets.critic]
        before = [[p.detach().clone() for p in player.parameters()] for player in players]
        (logs,) = built.train_step()
        assert all(value.isfinite() for value in logs.values())
        for player, weights in zip(players, before, strict=True):
            moved = 0
            for parameter, old in zip(player.parameters(), weights, strict=True):
                assert parameter.isfinite().all() and parameter.grad.isfinite().all()
                steep = parameter.grad.abs() > 1e-5  # Adam's first step is lr g / (|g| + eps)
                assert (parameter != old)[steep].all()
                moved += int(steep.any())
            assert moved > len(weights) / 2

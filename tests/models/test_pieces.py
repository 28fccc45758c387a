"""Norms, activations, labels and minibatch statistics against their formulas."""

from __future__ import annotations

from math import exp, log1p, sqrt, tanh

import pytest
import torch
from torch import nn

from gan_runner.core import DataSpec
from gan_runner.models import dcgan, mlp, resnet, resnet101
from gan_runner.models.activations import Gate, SoftplusCentred, activation_layer, channels_out_of
from gan_runner.models.blocks import PiecewiseLinear
from gan_runner.models.critic_output import CriticOutput, MinibatchDiscrimination, MinibatchStddev
from gan_runner.models.labels import ConcatLabelEmbedding, ConcatLabels
from gan_runner.models.norms import ConditionalNorm, norm_layer, normalise_weights

DIGITS = DataSpec("digits", (1, 8, 8), n_classes=10)
POINTS = DataSpec("points", (2,))
FAMILIES = (dcgan, resnet, resnet101, mlp)


def test_layer_norm_is_over_all_of_a_sample_with_a_scale_a_channel() -> None:
    x = torch.randn(3, 6, 4, 5) * 2 + 1
    norm = norm_layer("layer", 6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    mean = x.mean((1, 2, 3), keepdim=True)
    var = x.var((1, 2, 3), keepdim=True, correction=0)
    plain = (x - mean) / (var + 1e-5).sqrt()
    expected = plain * norm.weight.view(1, 6, 1, 1) + norm.bias.view(1, 6, 1, 1)
    torch.testing.assert_close(norm(x), expected)
    assert norm.weight.shape == (6,)


def test_batch_and_instance_norm_are_over_what_they_say() -> None:
    x = torch.randn(5, 6, 4, 4) * 3 + 2
    for norm, dims in (("batch", (0, 2, 3)), ("instance", (2, 3))):
        y = norm_layer(norm, 6)(x)
        assert y.mean(dims).abs().max() < 1e-5
        torch.testing.assert_close(
            y.var(dims, correction=0), torch.ones(y.mean(dims).shape), rtol=1e-3, atol=0
        )


@pytest.mark.parametrize(
    ("channels", "size"), [(64, 16), (32, 16), (16, 16), (8, 8), (40, 20), (7, 7)]
)
def test_group_norm_has_groups_of_sixteen_or_more(channels: int, size: int) -> None:
    """So that no group is one number, which a norm would make 0."""
    x = torch.randn(3, channels)
    y = norm_layer("group", channels, of_maps=False)(x).view(3, -1, size)
    assert y.mean(2).abs().max() < 1e-5
    torch.testing.assert_close(y.var(2, correction=0), torch.ones(y.shape[:2]), rtol=1e-3, atol=0)


def test_norms_of_vectors() -> None:
    x = torch.randn(64, 10) * 2 + 1
    torch.testing.assert_close(norm_layer("layer", 10, of_maps=False)(x), nn.LayerNorm(10)(x))
    assert norm_layer("batch", 10, of_maps=False)(x).mean(0).abs().max() < 1e-5
    with pytest.raises(
        ValueError, match="norm=instance: the norm needs pixels to normalise each channel over"
    ):
        norm_layer("instance", 10, of_maps=False)


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "group"])
def test_a_conditional_norm_has_the_scale_of_the_label(norm: str) -> None:
    layer = norm_layer(norm, 16, n_classes=3)
    assert isinstance(layer, ConditionalNorm)
    x, y = torch.randn(4, 16, 5, 5), torch.tensor([0, 2, 2, 1])
    plain = norm_layer(norm, 16)(x)
    torch.testing.assert_close(layer(x, y), plain)  # scales begin at 1, shifts at 0
    with torch.no_grad():
        layer.scale.weight[2], layer.shift.weight[2] = 3.0, -1.0
    shifted = layer(x, y)
    torch.testing.assert_close(shifted[[0, 3]], plain[[0, 3]])
    torch.testing.assert_close(shifted[[1, 2]], 3 * plain[[1, 2]] - 1)


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_no_norm_cannot_be_conditional(norm: str) -> None:
    with pytest.raises(ValueError, match=f"needs a norm.*model.generator.norm={norm}"):
        dcgan.Generator(DIGITS, norm=norm, labels="conditional_norm")


@pytest.mark.parametrize("family", FAMILIES)
def test_spectral_norm_against_the_svd(family) -> None:
    """After some passes the largest singular value of every weight is 1."""
    torch.manual_seed(1)
    sizes = {"width": 24} if family is mlp else {"filters": 8}
    critic = family.Critic(DIGITS, norm="spectral", labels="projection", init="he", **sizes)
    x, y = torch.randn(2, 1, 8, 8), torch.tensor([0, 1])
    with torch.no_grad():
        for _ in range(300):  # one power iteration each
            critic(x, y)
        seen = 0
        for module in critic.modules():
            if not isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                continue
            largest = torch.linalg.svdvals(module.weight.flatten(1))[0].item()
            assert largest == pytest.approx(1.0, abs=1e-3)
            seen += 1
    assert seen > 3 and not any(isinstance(m, nn.BatchNorm2d) for m in critic.modules())


def test_spectral_norm_divides_the_weight() -> None:
    layer = nn.Sequential(nn.ConvTranspose2d(3, 5, 4))
    weight = layer[0].weight.detach().clone()
    normalise_weights(layer)
    with torch.no_grad():
        for _ in range(300):
            layer(torch.randn(1, 3, 2, 2))
        # the matrix of a transposed convolution has the outputs as rows, too
        sigma = torch.linalg.svdvals(weight.transpose(0, 1).flatten(1))[0]
        torch.testing.assert_close(layer[0].weight, weight / sigma, rtol=1e-3, atol=1e-5)


def test_activations_by_hand() -> None:
    x = torch.tensor([-2.0, 0.0, 1.5])
    softplus = torch.tensor([log1p(exp(2 * v + 2)) / 2 - 1 for v in (-2.0, 0.0, 1.5)])
    expected = {
        "relu": torch.tensor([0.0, 0.0, 1.5]),
        "leaky_relu": torch.tensor([-0.4, 0.0, 1.5]),
        "tanh": torch.tensor([tanh(-2), 0.0, tanh(1.5)]),
        "softplus_centred": softplus,
        "elu": torch.tensor([exp(-2) - 1, 0.0, 1.5]),
        "silu": torch.tensor([-2 / (1 + exp(2)), 0.0, 1.5 / (1 + exp(-1.5))]),
    }
    for name, values in expected.items():
        for double_backward in (False, True):
            torch.testing.assert_close(
                activation_layer(name, double_backward=double_backward)(x), values
            )
    assert SoftplusCentred()(torch.tensor(-1.0)).item() == pytest.approx(log1p(1) / 2 - 1)
    gate = Gate()(torch.tensor([[1.0, 2.0, -3.0, 0.5]]))  # even channels open, odd ones pass
    by_hand = [tanh(2.0) / (1 + exp(-1.0)), tanh(0.5) / (1 + exp(3.0))]
    torch.testing.assert_close(gate, torch.tensor([by_hand]))


def test_a_gate_in_front_of_a_convolution_needs_an_even_number() -> None:
    assert channels_out_of("gated", 6) == 3 and channels_out_of("tanh", 5) == 5
    with pytest.raises(
        ValueError, match=r"activation=gated: the gate halves the channels.*there are 5"
    ):
        resnet.Critic(DIGITS, filters=5, activation="gated")


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "tanh", "softplus_centred", "elu", "silu", "gated"]
)
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "instance", "group", "spectral"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_norm_with_every_activation(family, norm: str, name: str) -> None:
    """The player's output depends on all of its weights, and nothing of it is infinite."""
    if family is mlp and norm == "instance":
        pytest.skip("vectors have no pixels")
    sizes = {"width": 16} if family is mlp else {"filters": 32 if family is resnet101 else 4}
    generator = family.Generator(DIGITS, norm=norm, activation=name, init="he", **sizes)
    critic = family.Critic(DIGITS, norm=norm, activation=name, init="he", **sizes)
    x = generator(torch.randn(8, generator.latent_dim))
    scores = critic(x)
    assert x.shape == (8, 1, 8, 8) and scores.shape == (8,)
    parameters = [*generator.parameters(), *critic.parameters()]
    gradients = torch.autograd.grad(scores.square().sum(), parameters)
    assert all(g.isfinite().all() for g in gradients)
    assert all(g.abs().max() > 0 for g in gradients if g.ndim > 1)


def test_embedding_stands_beside_the_noise() -> None:
    layer = ConcatLabelEmbedding(3, 4)
    z, y = torch.randn(2, 4), torch.tensor([2, 0])
    torch.testing.assert_close(layer(z, y), torch.cat([z, layer.embedding.weight[[2, 0]]], dim=1))


def test_labels_join_as_one_hot_planes() -> None:
    x, y = torch.randn(2, 1, 3, 3), torch.tensor([1, 0])
    joined = ConcatLabels(2)(x, y)
    assert joined.shape == (2, 3, 3, 3)
    assert torch.equal(joined[:, :1], x)
    assert joined[0, 1].eq(0).all() and joined[0, 2].eq(1).all()
    assert joined[1, 1].eq(1).all() and joined[1, 2].eq(0).all()
    assert ConcatLabels(2)(torch.randn(2, 5), y)[:, 5:].tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_projection_by_hand() -> None:
    """f = w . h + b + <v_y, h>, Miyato & Koyama 2018."""
    head = CriticOutput(2, n_classes=3)
    with torch.no_grad():
        head.linear.weight[:] = torch.tensor([[1.0, -1.0]])
        head.linear.bias[:] = 0.5
        head.projection.weight[:] = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]])
    h = torch.tensor([[2.0, 3.0], [2.0, 3.0], [-1.0, 4.0]])
    scores = head(h, torch.tensor([0, 1, 2]))
    torch.testing.assert_close(scores, torch.tensor([-0.5, -0.5 + 8.0, -4.5 - 7.0]))


def test_minibatch_stddev_by_hand() -> None:
    h = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]])
    spread = (sqrt(8 / 3) + sqrt(8.0)) / 2  # population deviations of (1, 3, 5) and (0, 0, 6)
    expected = torch.tensor([[1.0, 0.0, spread], [3.0, 0.0, spread], [5.0, 6.0, spread]])
    torch.testing.assert_close(MinibatchStddev()(h), expected)


def test_minibatch_discrimination_by_hand() -> None:
    """Two kernels of two numbers each: o_b(i) = sum over j != i of exp(-|M_ib - M_jb|_1)."""
    layer = MinibatchDiscrimination(1, kernels=2, size=2)
    with torch.no_grad():
        layer.project.weight[:] = torch.tensor([[1.0], [2.0], [0.0], [-0.5]])
    h = torch.tensor([[0.0], [1.0], [-2.0]])
    # M = h (1, 2 | 0, -0.5): distances are 3 |dh| and 0.5 |dh|
    distances = {(0, 1): 1, (0, 2): 2, (1, 2): 3}
    expected = torch.zeros(3, 2)
    for (i, j), d in distances.items():
        for b, slope in enumerate((3.0, 0.5)):
            expected[i, b] += exp(-slope * d)
            expected[j, b] += exp(-slope * d)
    torch.testing.assert_close(layer(h)[:, 1:], expected)


@pytest.mark.parametrize("batch_statistics", ["stddev", "discrimination"])
def test_minibatch_statistics_tell_a_collapsed_batch(batch_statistics: str) -> None:
    """A critic without them scores a sample alike whatever else is in the batch."""
    critic = mlp.Critic(POINTS, width=8, batch_statistics=batch_statistics)
    spread = torch.randn(6, 2)
    collapsed = spread[:1].expand(6, 2)
    alone = mlp.Critic(POINTS, width=8)
    assert critic(spread)[0] != critic(collapsed)[0]
    torch.testing.assert_close(alone(spread)[0], alone(collapsed)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_what_the_score_is_made_of(family) -> None:
    sizes = {"width": 16} if family is mlp else {"filters": 4}
    critic = family.Critic(DIGITS, norm="none", labels="concatenation", **sizes)
    x, y = torch.randn(3, 1, 8, 8), torch.tensor([0, 5, 9])
    h = critic.features(x, y)
    assert h.ndim == 2
    scale = 0.2 if family is resnet101 else 1.0
    linear = critic.score.linear
    torch.testing.assert_close(critic(x, y), scale * (h @ linear.weight[0] + linear.bias))


@pytest.mark.parametrize("labels", ["embedding", "conditional_norm"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_generator_listens_to_its_label(family, labels: str) -> None:
    sizes = {"width": 16} if family is mlp else {"filters": 4}
    generator = family.Generator(DIGITS, norm="layer", labels=labels, **sizes)
    assert generator.n_classes == 10
    if labels == "conditional_norm":  # scales begin alike
        for module in generator.modules():
            if isinstance(module, ConditionalNorm):
                nn.init.normal_(module.scale.weight)
    z = torch.randn(1, generator.latent_dim).expand(2, -1)
    one, other = generator(z, torch.tensor([3, 4]))
    assert (one - other).abs().max() > 1e-3
    one, other = generator(z, torch.tensor([3, 3]))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("labels", ["concatenation", "projection"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_critic_listens_to_the_label(family, labels: str) -> None:
    sizes = {"width": 16} if family is mlp else {"filters": 4}
    critic = family.Critic(DIGITS, norm="none", labels=labels, **sizes)
    x = torch.randn(1, 1, 8, 8).expand(2, -1, -1, -1)
    one, other = critic(x, torch.tensor([3, 4]))
    assert one != other


def test_labels_need_data_that_has_them() -> None:
    with pytest.raises(
        ValueError, match=r"model\.generator\.labels=embedding: the network needs data with labels"
    ):
        mlp.Generator(POINTS, labels="embedding")
    with pytest.raises(
        ValueError, match=r"model\.critic\.labels=projection: the network needs data with labels"
    ):
        mlp.Critic(POINTS, labels="projection")


def test_piecewise_linear_has_the_bits_of_torch() -> None:
    x = torch.randn(1000, requires_grad=True)
    for slope in (0.0, 0.2):
        ours, theirs = PiecewiseLinear(slope)(x), nn.functional.leaky_relu(x, slope)
        assert torch.equal(ours, theirs)
        weights = torch.randn(1000)
        grads = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, theirs)]
        assert torch.equal(*grads)
        half = x.detach().bfloat16()
        assert torch.equal(PiecewiseLinear(slope)(half), nn.functional.leaky_relu(half, slope))

"""The family of DCGAN (Radford et al. 2015, arXiv 1511.06434), sized by the data: 8 to 128 pixels.

Strided convolutions down, transposed convolutions up, no pooling and no hidden dense layers; a
norm everywhere but at the generator's output and the critic's input. By default DCGAN itself. With
kernels of 5 and biases these are the networks that Gulrajani et al. 2017 vary: in width, depth,
activation and norm.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.activations import Activation, activation_layer, channels_into
from gan_runner.models.blocks import (
    Init,
    KernelSize,
    PositiveInt,
    crop,
    downsample,
    image_sides,
    init_weights,
    upsample,
)
from gan_runner.models.critic_output import BatchStatistics, CriticOutput
from gan_runner.models.labels import (
    ConditionalSequential,
    CriticLabels,
    GeneratorLabels,
    classes_used,
    noise_input,
    sample_input,
)
from gan_runner.models.norms import Norm, norm_layer

Depth = Annotated[int, Ge(3)] | Literal["auto"]


class Generator(nn.Module):
    """Noise to images: a projection to the smallest grid, then one doubling of the sides a stage.

    Linear latent_dim -> F_k x s x s, norm, activation; transposed convolutions of stride 2, F_k ->
    ... -> F, each norm and activation; the last one F -> channels, tanh. Sides that are no multiple
    of the stride's power are cropped from the centre.

    Args:
        spec: facts about the images.
        latent_dim: size of the noise.
        filters: F, of the layer next to the image.
        growth: factor from each stage to the next smaller grid: 2, or 1 for constant filters.
        kernel: size of the strided kernels.
        depth: layers with weights; those beyond one a stage and the dense one are 3x3 convolutions
            with norm and activation on the second smallest grid. "auto": none beyond.
        norm: see `norms.norm_layer`.
        activation: see `activations`; "gated" doubles the channels before each gate.
        bias_before_norm: as well as in front of no norm; a norm's own shift makes it redundant.
        labels: how the label enters; see `labels` and `norms.ConditionalNorm`.
        init: of the weights; see `blocks.initialise`.

    Raises:
        ValueError: the data or the depth does not allow it.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: PositiveInt = 128,
        filters: PositiveInt = 64,
        growth: PositiveInt = 2,
        kernel: KernelSize = 4,
        depth: Depth = "auto",
        norm: Norm = "batch",
        activation: Activation = "relu",
        bias_before_norm: bool = False,
        labels: GeneratorLabels = "none",
        init: Init = "dcgan",
    ) -> None:
        super().__init__()
        channels, *self.sides = image_sides(spec)
        widths = stage_widths(self.sides, filters, growth)[::-1]
        more = extra_layers(depth, stages=len(widths))
        grid = [-(-side // 2 ** len(widths)) for side in self.sides]
        self.latent_dim = latent_dim
        self.n_classes = classes_used(spec, labels, "generator")
        layer = _Layers(
            norm,
            activation,
            always_bias=bias_before_norm,
            n_classes=self.n_classes if labels == "conditional_norm" else 0,
            double_backward=False,
        )
        first, inputs = noise_input(spec, labels, latent_dim)
        wide = channels_into(activation, widths[0])
        self.project = ConditionalSequential(
            *first,
            nn.Linear(inputs, wide * grid[0] * grid[1], bias=layer.bias),
            nn.Unflatten(1, (wide, *grid)),
            *layer.after(widths[0]),
        )
        self.stages = ConditionalSequential()
        for stage, (wide, narrow) in enumerate(pairwise(widths)):
            out = channels_into(activation, narrow)
            self.stages.extend(upsample(wide, out, kernel=kernel, bias=layer.bias))
            self.stages.extend(layer.after(narrow))
            if stage == 0:
                self.stages.extend(layer.same_size(narrow, more))
        self.to_image = nn.Sequential(*upsample(widths[-1], channels, kernel=kernel), nn.Tanh())
        init_weights(self, init=init, norm=norm, filters=filters)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, latent_dim) noise and labels (N,) or None -> (N, C, H, W) in [-1, 1]."""
        return crop(self.to_image(self.stages(self.project(z, y), y)), self.sides)


class Critic(nn.Module):
    """Images to one score: one halving of the sides a stage, then a dense layer.

    Convolutions of stride 2, channels -> F -> F_2 -> ..., each with an activation, all but the
    first with a norm; Linear -> 1. There is no sigmoid: an objective that wants a probability
    applies it to the score.

    Args: as of `Generator`, and
        labels: how the label enters; see `labels` and `head`.
        batch_statistics: statistics of the batch that the score sees; see `critic_output`.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        filters: PositiveInt = 64,
        growth: PositiveInt = 2,
        kernel: KernelSize = 4,
        depth: Depth = "auto",
        norm: Norm = "batch",
        activation: Activation = "leaky_relu",
        bias_before_norm: bool = False,
        labels: CriticLabels = "none",
        batch_statistics: BatchStatistics = "none",
        init: Init = "dcgan",
    ) -> None:
        super().__init__()
        channels, *sides = image_sides(spec)
        widths = stage_widths(sides, filters, growth)
        more = extra_layers(depth, stages=len(widths))
        self.n_classes = classes_used(spec, labels, "critic")
        layer = _Layers(
            norm, activation, always_bias=bias_before_norm, n_classes=0, double_backward=True
        )
        first, inputs = sample_input(spec, labels, channels)
        self.features = ConditionalSequential(
            *first,
            *downsample(inputs, channels_into(activation, widths[0]), kernel=kernel),
            layer.activation(),
        )
        for stage, (narrow, wide) in enumerate(pairwise(widths), start=2):
            if stage == len(widths):
                self.features.extend(layer.same_size(narrow, more))
            out = channels_into(activation, wide)
            self.features.extend(downsample(narrow, out, kernel=kernel, bias=layer.bias))
            self.features.extend(layer.after(wide))
        self.features.append(nn.Flatten())
        height, width = (side // 2 ** len(widths) for side in sides)
        projected = self.n_classes if labels == "projection" else 0
        size = widths[-1] * height * width
        self.score = CriticOutput(size, n_classes=projected, batch_statistics=batch_statistics)
        init_weights(self, init=init, norm=norm, filters=filters)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N, C, H, W) and labels (N,) or None -> scores (N,)."""
        return self.score(self.features(x, y), y)


class _Layers:
    """What follows every weight layer of a network, and layers that keep the sides."""

    def __init__(
        self,
        norm: Norm,
        name: Activation,
        *,
        always_bias: bool,
        n_classes: int,
        double_backward: bool,
    ) -> None:
        self.norm, self.name, self.n_classes, self.double_backward = (
            norm,
            name,
            n_classes,
            double_backward,
        )
        self.bias = always_bias or norm in {"none", "spectral"}

    def activation(self) -> nn.Module:
        return activation_layer(self.name, double_backward=self.double_backward)

    def after(self, channels: int) -> list[nn.Module]:
        """Norm and activation that give the number of channels."""
        given = channels_into(self.name, channels)
        return [norm_layer(self.norm, given, n_classes=self.n_classes), self.activation()]

    def same_size(self, channels: int, count: int) -> list[nn.Module]:
        """Convolutions 3x3, each with norm and activation."""
        layers: list[nn.Module] = []
        for _ in range(count):
            out = channels_into(self.name, channels)
            layers += [nn.Conv2d(channels, out, 3, 1, 1, bias=self.bias), *self.after(channels)]
        return layers


def stage_widths(sides: list[int], filters: int, growth: int) -> list[int]:
    """Channels a stage from the image inwards, down to a grid of 4 to 7; two stages at least."""
    stages = max(2, (min(sides) // 4).bit_length() - 1)
    return [filters * growth**stage for stage in range(stages)]


def extra_layers(depth: Depth, *, stages: int) -> int:
    """Layers beyond one a stage and the dense one.

    Raises:
        ValueError: there are fewer than those.
    """
    least = stages + 1
    if depth == "auto":
        return 0
    if depth < least:
        raise ValueError(
            f"depth={depth} is too small: images of this size need {least} layers, one for each"
            f" halving of the sides and a dense one; use {least} or more"
        )
    return depth - least

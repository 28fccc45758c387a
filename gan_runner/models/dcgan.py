"""The DCGAN family (Radford et al. 2015, arXiv 1511.06434) for images of 8 to 128 pixels.

Strided convolutions down, transposed convolutions up, no pooling and no hidden dense layers. All
layers have a norm, except for the generator's output and the critic's input. The defaults are
DCGAN. With kernels of 5 and biases these are the networks of Gulrajani et al. 2017, who vary width,
depth, activation and norm.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import DataSpec
from gan_runner.models.activations import Activation, activation_layer, channels_into
from gan_runner.models.blocks import (
    ConditionalSequential,
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
    CriticLabels,
    GeneratorLabels,
    classes_used,
    noise_input,
    sample_input,
)
from gan_runner.models.norms import Norm, norm_layer

Depth = Annotated[int, Ge(3)] | Literal["auto"]


class Generator(nn.Module):
    """Generator: a projection to the smallest grid, then stages that each double the sides.

    Linear latent_dim -> F_k x s x s, norm, activation. Transposed convolutions of stride 2,
    F_k -> ... -> F, each with norm and activation; the last one F -> channels, tanh. Sides that are
    not a multiple of 2^stages are cropped from the centre.

    Args:
        spec: facts about the images.
        latent_dim: dimension of the noise.
        filters: F, channels of the layer next to the image.
        growth: factor of channels from a stage to the next smaller grid: 2; 1 for constant filters.
        kernel: size of the strided kernels.
        depth: layers with weights; "auto": the dense layer and one per stage. Extra layers are 3x3
            convolutions with norm and activation on the second smallest grid.
        norm: see `norms.norm_layer`.
        activation: see `activations`; "gated" doubles the channels before each gate.
        bias_before_norm: add a bias even before a norm, whose shift makes it redundant.
        labels: conditioning on the label; see `labels` and `norms.ConditionalNorm`.
        init: initialization of the weights; see `blocks.initialise`.

    Raises:
        ValueError: the data is not images of a supported size, or the depth is too small.
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
        """Map noise (N, latent_dim) and labels (N,) or None to (N, C, H, W) in [-1, 1]."""
        return crop(self.to_image(self.stages(self.project(z, y), y)), self.sides)


class Critic(nn.Module):
    """Critic: stages that each halve the sides, then a dense layer to one score.

    Convolutions of stride 2, channels -> F -> F_2 -> ..., each with an activation, all but the
    first with a norm; Linear -> 1. There is no sigmoid: objectives that need a probability apply it
    to the score.

    Args: those of `Generator`, and
        labels: conditioning on the label; see `labels` and `critic_output`.
        batch_statistics: statistics of the batch that the score depends on; see `critic_output`.
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
        """Map (N, C, H, W) and labels (N,) or None to scores (N,)."""
        return self.score(self.features(x, y), y)


class _Layers:
    """Factory of the layers after each weight layer, and of layers that keep the sides."""

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
        """Build norm and activation with the given number of output channels."""
        inputs = channels_into(self.name, channels)
        return [norm_layer(self.norm, inputs, n_classes=self.n_classes), self.activation()]

    def same_size(self, channels: int, count: int) -> list[nn.Module]:
        """Build `count` 3x3 convolutions, each with norm and activation."""
        layers: list[nn.Module] = []
        for _ in range(count):
            out = channels_into(self.name, channels)
            layers += [nn.Conv2d(channels, out, 3, 1, 1, bias=self.bias), *self.after(channels)]
        return layers


def stage_widths(sides: list[int], filters: int, growth: int) -> list[int]:
    """Return channels per stage, from the image to a grid of 4 to 7; at least two stages."""
    stages = max(2, (min(sides) // 4).bit_length() - 1)
    return [filters * growth**stage for stage in range(stages)]


def extra_layers(depth: Depth, *, stages: int) -> int:
    """Return the number of layers beyond the dense layer and one per stage.

    Raises:
        ValueError: the depth is too small for these.
    """
    least = stages + 1
    if depth == "auto":
        return 0
    if depth < least:
        raise ValueError(
            f"depth={depth}: images of this size need {least} layers, one for each halving of the"
            f" sides and a dense layer; set {least} or more"
        )
    return depth - least

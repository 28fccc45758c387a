"""Random architectures of Gulrajani et al. 2017 (section 5.1, table 1): one a number.

A generator and a critic are drawn independently from the product of a few properties, without
replacement: all combinations are listed, shuffled once, and the seed is the place in that list. So
200 seeds in a row are 200 different architectures. They are not those of the paper: its code and
list were not published, and the uniform draw is inferred from its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, MinLen

from gan_runner.core import DataSpec
from gan_runner.models import dcgan
from gan_runner.models.activations import Activation
from gan_runner.models.blocks import Init, KernelSize, PositiveInt, image_sides
from gan_runner.models.critic_output import BatchStatistics
from gan_runner.models.labels import CriticLabels, GeneratorLabels
from gan_runner.models.norms import Norm

Seed = Annotated[int, Ge(0)] | None
Activations = Annotated[list[Activation], MinLen(1)]
Depths = Annotated[list[PositiveInt], MinLen(1)]
Norms = Annotated[list[bool], MinLen(1)]
Filters = Annotated[list[PositiveInt], MinLen(1)]

_SHUFFLE = 42  # arbitrary; the authors' seed is not public


@dataclass(frozen=True)
class Architecture:
    """One drawn architecture of a player.

    Attributes:
        activation: see `activations`.
        depth: layers with weights.
        norm: whether there is one.
        filters: of the layer next to the image.
    """

    activation: Activation
    depth: int
    norm: bool
    filters: int


def draw(
    seed: int | None,
    *,
    activations: Sequence[Activation],
    depths: Sequence[int],
    norms: Sequence[bool],
    filters: Sequence[int],
) -> tuple[Architecture, Architecture]:
    """Return the architectures of generator and critic at a place in the shuffled list.

    None is the DCGAN of the family (Radford et al. 2015), which studies compare with: ReLU and
    LeakyReLU, as shallow as any, of the middle width, normalised.

    Raises:
        ValueError: there are not so many.
    """
    if seed is None:
        width = sorted(filters)[len(filters) // 2]
        depth = min(depths)
        return Architecture("relu", depth, True, width), Architecture(
            "leaky_relu", depth, True, width
        )
    space = (activations, depths, norms, filters)
    sizes = [len(values) for values in space] * 2
    count = int(np.prod(sizes))
    if seed >= count:
        raise ValueError(
            f"model.seed={seed}: there are only {count:,} architectures, 0 to {count - 1:,};"
            " use a smaller number, or more model.activations, depths, norms or filters"
        )
    shuffle = np.random.RandomState(_SHUFFLE)  # numpy has promised never to change its stream
    place = np.unravel_index(shuffle.permutation(count)[seed], sizes)
    chosen = [values[i] for values, i in zip(space * 2, place, strict=True)]
    return Architecture(*chosen[:4]), Architecture(*chosen[4:])


def generator(
    spec: DataSpec,
    *,
    seed: Seed,
    activations: Activations,
    depths: Depths,
    norms: Norms,
    filters: Filters,
    norm: Norm = "batch",
    latent_dim: PositiveInt = 128,
    kernel: KernelSize = 5,
    labels: GeneratorLabels = "none",
    init: Init = "glorot",
) -> dcgan.Generator:
    """Build the generator at a place in the list, a `dcgan.Generator` with an `architecture`.

    Args:
        spec: facts about the images.
        seed: the place; None: the DCGAN of the family.
        activations: to draw from.
        depths: to draw from; of all layers with weights.
        norms: to draw from: whether there is a norm.
        filters: to draw from; of the layer next to the image.
        norm: the norm, where there is one; "spectral", which is of weights, is everywhere.
        latent_dim: size of the noise.
        kernel: of the strided convolutions.
        labels: as of `dcgan.Generator`.
        init: of the weights.

    Raises:
        ValueError: there are not so many architectures, or the images need more layers.
    """
    _check_depths(spec, depths)
    if labels == "conditional_norm" and not all(norms):
        raise ValueError(
            "model.generator.labels=conditional_norm needs a norm, but some architectures are drawn"
            " without; set model.norms=[true] or model.generator.labels=embedding"
        )
    drawn, _ = draw(seed, activations=activations, depths=depths, norms=norms, filters=filters)
    arguments = _arguments(drawn, norm) | {"kernel": kernel, "labels": labels, "init": init}
    network = dcgan.Generator(spec, latent_dim=latent_dim, **arguments)
    network.architecture = asdict(drawn)  # type: ignore[assignment]
    return network


def critic(
    spec: DataSpec,
    *,
    seed: Seed,
    activations: Activations,
    depths: Depths,
    norms: Norms,
    filters: Filters,
    norm: Norm = "batch",
    kernel: KernelSize = 5,
    labels: CriticLabels = "none",
    batch_statistics: BatchStatistics = "none",
    init: Init = "glorot",
) -> dcgan.Critic:
    """Build the critic at a place in the list, like `generator`."""
    _check_depths(spec, depths)
    _, drawn = draw(seed, activations=activations, depths=depths, norms=norms, filters=filters)
    arguments = _arguments(drawn, norm) | {"kernel": kernel, "labels": labels, "init": init}
    network = dcgan.Critic(spec, batch_statistics=batch_statistics, **arguments)
    network.architecture = asdict(drawn)  # type: ignore[assignment]
    return network


def _arguments(drawn: Architecture, norm: Norm) -> dict[str, Any]:
    return {
        "activation": drawn.activation,
        "depth": drawn.depth,
        "norm": norm if drawn.norm or norm == "spectral" else "none",
        "filters": drawn.filters,
        "bias_before_norm": True,
    }


def _check_depths(spec: DataSpec, depths: Sequence[int]) -> None:
    """Every depth must be possible, so that no draw of a study fails after others have run."""
    _, *sides = image_sides(spec)
    least = len(dcgan.stage_widths(sides, 1, 1)) + 1
    if min(depths) < least:
        raise ValueError(
            f"model.depths={list(depths)}: images of {sides[0]}x{sides[1]} pixels need {least}"
            f" layers, one for each halving of the sides and a dense one; use {least} or more"
        )

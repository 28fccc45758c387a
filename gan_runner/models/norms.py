"""Normalisation by name: of feature maps and vectors, by the label, and of weights."""

from __future__ import annotations

from math import gcd
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

from gan_runner.private_apis import AnyBatchNorm, AnyNorm

Norm = Literal["none", "batch", "layer", "instance", "group", "spectral"]

_GROUP = 16  # channels of a group, Wu & He 2018, table 3


def norm_layer(norm: Norm, channels: int, *, n_classes: int = 0, of_maps: bool = True) -> nn.Module:
    """Normalisation of (N, channels, H, W) feature maps or of (N, channels) vectors.

    "layer" is the layer norm of Gulrajani et al. 2017: statistics over (C, H, W) of a sample, a
    scale and a shift a channel. "spectral" normalises weights, not features: see
    `normalise_weights`; here it is the identity, as "none" is.

    Args:
        norm: which.
        channels: C.
        n_classes: more than 0: scale and shift depend on the label, see `ConditionalNorm`.
        of_maps: feature maps, not vectors.

    Raises:
        ValueError: there is no such norm of vectors, or none whose scale a label could be.
    """
    if norm in {"none", "spectral"}:
        if n_classes:
            raise ValueError(
                f"model.generator.labels=conditional_norm needs a norm whose scale depends on the"
                f" label, but model.generator.norm={norm}; use batch, layer, instance or group"
            )
        return nn.Identity()
    if norm == "instance" and not of_maps:
        raise ValueError(
            "norm=instance normalises each channel over its pixels, which vectors do not have;"
            " use layer, group or batch"
        )
    plain = _norm(norm, channels, affine=not n_classes, of_maps=of_maps)
    return ConditionalNorm(plain, channels, n_classes) if n_classes else plain


def _norm(norm: Norm, channels: int, *, affine: bool, of_maps: bool) -> nn.Module:
    if norm == "batch":
        kind = nn.BatchNorm2d if of_maps else nn.BatchNorm1d
        return kind(channels, affine=affine)
    if norm == "instance":
        return nn.InstanceNorm2d(channels, affine=affine)
    groups = 1 if norm == "layer" else gcd(channels, max(1, channels // _GROUP))
    return nn.GroupNorm(groups, channels, affine=affine)


class ConditionalNorm(nn.Module):
    """A norm whose scale and shift belong to the label: gamma_y norm(x) + beta_y.

    Dumoulin et al. 2017, equation 5; de Vries et al. 2017. They begin at 1 and 0.

    Args:
        plain: the norm, without scale and shift.
        channels: C.
        n_classes: labels are 0..n_classes-1.
    """

    takes_labels = True

    def __init__(self, plain: nn.Module, channels: int, n_classes: int) -> None:
        super().__init__()
        self.plain = plain
        self.scale, self.shift = (nn.Embedding(n_classes, channels) for _ in range(2))
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(N, C, ...) and labels (N,) -> (N, C, ...)."""
        scale, shift = self.scale(y), self.shift(y)
        spread = (*scale.shape, *[1] * (x.ndim - 2))
        return scale.view(spread) * self.plain(x) + shift.view(spread)


class Projection(nn.Embedding):
    """A vector v_y for each label, of which a critic's score has <v_y, h>."""


def normalise_weights(network: nn.Module) -> None:
    """Divide every weight matrix by its largest singular value, found by power iteration.

    Miyato et al. 2018 (SN-GAN), Algorithm 1: one iteration a pass in training, with the kernel of a
    convolution as a matrix (outputs, inputs x height x width). Norms' scales and a generator's
    label tables are left alone.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | Projection):
            of_inputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0  # where outputs are
            register_parametrization(module, "weight", SpectralNorm(module.weight, dim=of_inputs))


class SpectralNorm(_SpectralNorm):
    """torch's parametrization, in float32 also where the layer computes in half precision."""

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by its spectral norm; in training after one more power iteration."""
        with torch.autocast(weight.device.type, enabled=False):
            return super().forward(weight)


def has_feature_norm(network: nn.Module) -> bool:
    """True if any layer divides features by their size."""
    kinds = (AnyNorm, nn.GroupNorm, nn.LayerNorm)
    return any(isinstance(m, kinds) for m in network.modules())


def has_batch_norm(network: nn.Module) -> bool:
    """True if any layer mixes the samples of a batch by batch normalisation."""
    return any(isinstance(m, AnyBatchNorm) for m in network.modules())


def has_spectral_norm(network: nn.Module) -> bool:
    """True if any weight is divided by its spectral norm (torch's parametrization)."""
    return any(isinstance(m, _SpectralNorm) for m in network.modules())

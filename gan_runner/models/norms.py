"""Normalisation by name: of features, conditional on labels, and of weights."""

from __future__ import annotations

from math import gcd
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from gan_runner.private_apis import AnyBatchNorm, AnyNorm, TorchSpectralNorm

Norm = Literal["none", "batch", "layer", "instance", "group", "spectral"]

_GROUP = 16  # channels per group, Wu & He 2018, table 3


def norm_layer(norm: Norm, channels: int, *, n_classes: int = 0, of_maps: bool = True) -> nn.Module:
    """Build the norm of (N, channels, H, W) feature maps or of (N, channels) vectors.

    "layer" is the layer norm of Gulrajani et al. 2017: statistics over (C, H, W) of a sample, and
    one scale and shift per channel. "spectral" normalises weights, not features: see
    `normalise_weights`. Here it is the identity, like "none".

    Args:
        norm: name of the norm.
        channels: C.
        n_classes: if positive, scale and shift depend on the label; see `ConditionalNorm`.
        of_maps: True for feature maps, False for vectors.

    Raises:
        ValueError: the norm does not exist for vectors, or has no scale that can depend on labels.
    """
    if norm in {"none", "spectral"}:
        if n_classes:
            raise ValueError(
                "model.generator.labels=conditional_norm: the network needs a norm with a scale,"
                f" but model.generator.norm={norm}; set it to batch, layer, instance or group"
            )
        return nn.Identity()
    if norm == "instance" and not of_maps:
        raise ValueError(
            "norm=instance: the norm needs pixels to normalise each channel over, and vectors have"
            " none; set norm to layer, group or batch"
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
    """A norm whose scale and shift depend on the label: gamma_y norm(x) + beta_y.

    Dumoulin et al. 2017, equation 5; de Vries et al. 2017. Initially gamma_y = 1 and beta_y = 0.

    Args:
        plain: norm without scale and shift.
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
        """Map (N, C, ...) and labels (N,) to (N, C, ...)."""
        scale, shift = self.scale(y), self.shift(y)
        spread = (*scale.shape, *[1] * (x.ndim - 2))
        return scale.view(spread) * self.plain(x) + shift.view(spread)


class Projection(nn.Embedding):
    """A vector v_y for each label; a critic's score contains <v_y, h>."""


def normalise_weights(network: nn.Module) -> None:
    """Divide every weight matrix by its largest singular value, found by power iteration.

    Miyato et al. 2018 (SN-GAN), Algorithm 1: one iteration per forward pass in training. The kernel
    of a convolution is a matrix (outputs, inputs x height x width). Scales of norms and label
    tables of a generator are not normalised.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | Projection):
            of_inputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0  # axis of outputs
            register_parametrization(module, "weight", SpectralNorm(module.weight, dim=of_inputs))


class SpectralNorm(TorchSpectralNorm):
    """Spectral norm of torch, always in float32, even if the layer runs in half precision."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return weight / spectral norm; in training, run one more power iteration first."""
        with torch.autocast(weight.device.type, enabled=False):
            return super().forward(weight)


def has_feature_norm(network: nn.Module) -> bool:
    """Return whether any layer normalises features."""
    kinds = (AnyNorm, nn.GroupNorm, nn.LayerNorm)
    return any(isinstance(m, kinds) for m in network.modules())


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether any layer mixes the samples of a batch by batch normalisation."""
    return any(isinstance(m, AnyBatchNorm) for m in network.modules())


def has_spectral_norm(network: nn.Module) -> bool:
    """Return whether any weight is divided by its spectral norm (torch's parametrization)."""
    return any(isinstance(m, TorchSpectralNorm) for m in network.modules())

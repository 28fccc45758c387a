"""Pieces that the architectures share: normalisation by name, initialisation, sizes."""

from __future__ import annotations

from typing import Literal

from torch import nn

from gan_runner.core import DataSpec

Norm = Literal["none", "batch"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Normalisation of (N, channels, H, W) feature maps; the identity for "none"."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def init_normal(network: nn.Module, std: float | None) -> None:
    """Draw all weights from N(0, std^2), norm scales from N(1, std^2), and zero all biases.

    The initialisation of DCGAN (Radford et al. 2015, section 4) with std = 0.02. None leaves
    torch's own.
    """
    if std is None:
        return
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def has_batch_norm(network: nn.Module) -> bool:
    """True if any layer mixes the samples of a batch by batch normalisation."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


def image_sides(spec: DataSpec, *, model: str, smallest: int, largest: int) -> tuple[int, int, int]:
    """Channels, height and width of the data, for a model that needs images of some sizes.

    Raises:
        ValueError: the data is not images, or not of such a size.
    """
    if not spec.is_image:
        raise ValueError(f"model={model} needs images, but the data is {spec}; use model=mlp")
    channels, height, width = spec.shape
    if not smallest <= min(height, width) <= max(height, width) <= largest:
        raise ValueError(
            f"model={model} works for {smallest} to {largest} pixels, but the data is {spec};"
            " resize it (dataset.image_size of an image folder) or use model=mlp"
        )
    return channels, height, width

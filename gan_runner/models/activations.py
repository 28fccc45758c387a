"""Activations by name, and their effect on the number of channels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_runner.models.blocks import PiecewiseLinear

Activation = Literal["relu", "leaky_relu", "tanh", "softplus_centred", "elu", "silu", "gated"]


class SoftplusCentred(nn.Module):
    """softplus(2 x + 2) / 2 - 1: smooth, about -1 for x << 0, about x for x >> 0.

    It replaces ELU in Gulrajani et al. 2017, section 5.1: the derivative of ELU has a kink, which a
    gradient penalty would differentiate.
    """

    lipschitz = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to a tensor of any shape."""
        return softplus(2 * x + 2) / 2 - 1


class Gate(nn.Module):
    """sigmoid(a) tanh(b), where a and b are the even and odd channels; halves their number.

    These are the "gated multiplicative nonlinearities" of Gulrajani et al. 2017, figure 2, and of
    van den Oord et al. 2016 (PixelCNN), equation 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2 C, ...) -> (N, C, ...)."""
        return torch.sigmoid(x[:, ::2]) * torch.tanh(x[:, 1::2])


def activation_layer(name: Activation, *, double_backward: bool) -> nn.Module:
    """Build the layer of that name; LeakyReLU has the slope 0.2.

    Args:
        name: name of the activation.
        double_backward: build it for a network that is differentiated twice, like a critic under a
            gradient penalty; see `PiecewiseLinear`.
    """
    if name == "relu":
        return PiecewiseLinear() if double_backward else nn.ReLU()
    if name == "leaky_relu":
        return PiecewiseLinear(0.2) if double_backward else nn.LeakyReLU(0.2)
    if name == "tanh":
        return nn.Tanh()
    if name == "softplus_centred":
        return SoftplusCentred()
    if name == "elu":
        return nn.ELU()
    return nn.SiLU() if name == "silu" else Gate()


def channels_into(name: Activation, wanted: int) -> int:
    """Return the number of input channels that an activation needs for `wanted` outputs."""
    return 2 * wanted if name == "gated" else wanted


def channels_out_of(name: Activation, inputs: int) -> int:
    """Return the number of output channels of an activation for `inputs` channels.

    Raises:
        ValueError: a gate gets an odd number.
    """
    if name != "gated":
        return inputs
    if inputs % 2:
        raise ValueError(
            f"activation=gated: the gate halves the channels of a residual block, but there are"
            f" {inputs}; set an even number of model.filters"
        )
    return inputs // 2

"""Activations by name, and what they do to the number of channels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

Activation = Literal["relu", "leaky_relu", "tanh", "softplus_centred", "elu", "silu", "gated"]


class PiecewiseLinear(nn.Module):
    """x for x > 0, slope x elsewhere: ReLU (slope 0) and LeakyReLU, with the bits of torch's.

    Written as a product with a mask that is constant to autograd, because its second derivative is
    zero: under a gradient penalty torch's own layers send those zeros back through the network.
    """

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope, self.lipschitz = slope, max(1.0, abs(slope))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * x.detach().sign().clamp(min=self.slope)

    def extra_repr(self) -> str:
        """For printing."""
        return f"slope={self.slope}"


class SoftplusCentred(nn.Module):
    """softplus(2 x + 2) / 2 - 1: smooth, near -1 far below, near x far above.

    Gulrajani et al. 2017, section 5.1: in place of ELU, whose derivative has a kink that a gradient
    penalty differentiates.
    """

    lipschitz = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return softplus(2 * x + 2) / 2 - 1


class Gate(nn.Module):
    """sigmoid(a) tanh(b), a and b the even and the odd channels: half as many come out.

    The "gated multiplicative nonlinearities" of Gulrajani et al. 2017, figure 2; van den Oord et
    al. 2016 (PixelCNN), equation 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2 C, ...) -> (N, C, ...)."""
        return torch.sigmoid(x[:, ::2]) * torch.tanh(x[:, 1::2])


def activation_layer(name: Activation, *, double_backward: bool) -> nn.Module:
    """The layer of that name; LeakyReLU has the slope 0.2.

    Args:
        name: of the activation.
        double_backward: made for a network that is differentiated twice, as a critic is under a
            penalty on its gradient; see `PiecewiseLinear`.
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
    """Channels that an activation needs to give the `wanted` number."""
    return 2 * wanted if name == "gated" else wanted


def channels_out_of(name: Activation, given: int) -> int:
    """Channels that an activation makes of the `given` ones.

    Raises:
        ValueError: a gate needs an even number.
    """
    if name != "gated":
        return given
    if given % 2:
        raise ValueError(
            f"activation=gated halves the channels of a residual block, but there are {given};"
            " use an even number of model.filters"
        )
    return given // 2

"""f-GAN: critics that bound an f-divergence between data and samples from below.

For a convex f with f(1) = 0, D_f(P || Q) = E_Q f(p(x) / q(x)), with P of the data and Q of the
samples, is at least

    F = E_P T(x) - E_Q f*(T(x)),    f*(t) = sup_u (u t - f(u)),

for any T with values in the domain of f*, and equal to it for T = f'(p / q) (Nguyen et al. 2010;
Nowozin et al. 2016, section 2.2). T = g_f(v) of the critic's raw scores v: the activation g_f
maps the real line into that domain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

Name = Literal[
    "kl", "reverse_kl", "pearson", "squared_hellinger", "jensen_shannon", "gan"
]  # fmt: skip


@dataclass(frozen=True)
class Divergence:
    """A row of tables 1, 2 and 6 of Nowozin et al. 2016.

    Attributes:
        generator: f(u), u > 0.
        activation: g_f(v), any real v.
        conjugate: f*(t), t < bound.
        bound: where the domain of f* ends.
        penalty: f*(g_f(v)), in a form that neither overflows nor cancels where the two, one after
            the other, would.
        multiple: how many times the divergence that the row is named after D_f is.
    """

    generator: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    bound: float
    penalty: Callable[[Tensor], Tensor]
    multiple: float = 1.0


TABLE: dict[Name, Divergence] = {
    # int p log(p / q)
    "kl": Divergence(
        generator=lambda u: u * u.log(),
        activation=lambda v: v,
        conjugate=lambda t: (t - 1).exp(),
        bound=inf,
        penalty=lambda v: (v - 1).exp(),
    ),
    # int q log(q / p)
    "reverse_kl": Divergence(
        generator=lambda u: -u.log(),
        activation=lambda v: -(-v).exp(),
        conjugate=lambda t: -1 - (-t).log(),
        bound=0.0,
        penalty=lambda v: v - 1,
    ),
    # int (p - q)^2 / q. Table 1 has p in the denominator, which its own f does not yield. The
    # conjugate is the table's, with f on the whole line. With u > 0 it is -1 below t = -2, which is
    # less: F stays a lower bound, and T = f'(p / q) = 2 (p / q - 1) > -2 still attains D_f.
    "pearson": Divergence(
        generator=lambda u: (u - 1).square(),
        activation=lambda v: v,
        conjugate=lambda t: t.square() / 4 + t,
        bound=inf,
        penalty=lambda v: v.square() / 4 + v,
    ),
    # int (sqrt p - sqrt q)^2
    "squared_hellinger": Divergence(
        generator=lambda u: (u.sqrt() - 1).square(),
        activation=lambda v: 1 - (-v).exp(),
        conjugate=lambda t: t / (1 - t),
        bound=1.0,
        penalty=lambda v: v.exp() - 1,
    ),
    # 1/2 int p log(2 p / (p + q)) + q log(2 q / (p + q)). The table's f yields twice as much.
    "jensen_shannon": Divergence(
        generator=lambda u: -(u + 1) * ((1 + u) / 2).log() + u * u.log(),
        activation=lambda v: log(2) + logsigmoid(v),
        conjugate=lambda t: -(2 - t.exp()).log(),
        bound=log(2),
        penalty=lambda v: softplus(v) - log(2),
        multiple=2.0,
    ),
    # 2 JS - log 4: the game of Goodfellow et al. 2014 with D = sigmoid(v)
    "gan": Divergence(
        generator=lambda u: u * u.log() - (u + 1) * (u + 1).log(),
        activation=logsigmoid,
        conjugate=lambda t: -torch.log1p(-t.exp()),
        bound=0.0,
        penalty=softplus,
    ),
}


def variational_critic(r: Tensor, f: Tensor, *, divergence: Name) -> Tensor:
    """-F = E f*(g_f(v(G(z)))) - E g_f(v(x)). Nowozin et al. 2016, section 2.2, minus the bound.

    Args:
        r: raw scores v of data, (N,).
        f: raw scores v of samples, (N,).
        divergence: row of the table.
    """
    row = TABLE[divergence]
    return row.penalty(f).mean() - row.activation(r).mean()


def variational_generator(f: Tensor, *, divergence: Name, nonsaturating: bool = False) -> Tensor:
    """-E f*(g_f(v(G(z)))): what of F depends on the generator. Nowozin et al. 2016, Algorithm 1.

    Where samples are told apart with ease this is flat for some divergences, as in `gan`. The
    alternative of section 3.2, `nonsaturating`, is -E g_f(v(G(z))).

    Args:
        f: raw scores v of samples, (N,).
        divergence: row of the table.
        nonsaturating: the alternative.
    """
    row = TABLE[divergence]
    return -(row.activation(f) if nonsaturating else row.penalty(f)).mean()


def variational_bound(r: Tensor, f: Tensor, *, divergence: Name) -> Tensor:
    """F over the row's multiple: a lower bound on the divergence that the row is named after.

    With the reservations of `losses.jensen_shannon`.
    """
    return -variational_critic(r, f, divergence=divergence) / TABLE[divergence].multiple

"""Curvature without a matrix: Hessian and Gauss-Newton products, and conjugate gradients.

A product differentiates a graph that was built once, so each costs about one backward pass through
the loss and its gradient. Forward-mode products would evaluate the loss again for each vector.
Vectors are flat: all parameters of a player in the order of its optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, autograd

Product = Callable[[Tensor], Tensor]
"""A symmetric matrix A as a function v -> A v of flat vectors (n,)."""

_MEMORY = 10  # iterations over which the progress of conjugate gradients is measured, at least
_GROWTH = 1.3  # ratio of the iterations whose iterates are kept


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors into one vector (n,)."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Split a vector (n,) into views with the shapes of `like`."""
    parts = vector.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


class Hessian:
    """The Hessian H of a loss, v -> H v: lecture "Hessian vector products", Pearlmutter 1994.

    H v is the gradient of g . v, where g is the gradient of the loss.

    Args:
        loss: 0-d, with its graph.
        parameters: tensors that the loss is differentiated in.

    Attributes:
        gradient: g, (n,), without a graph.
    """

    def __init__(self, loss: Tensor, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.slopes = _gradients([loss], self.parameters, create_graph=True)
        self.gradient = flatten(self.slopes).detach()

    def __call__(self, vector: Tensor) -> Tensor:
        """Return H v, (n,)."""
        weights = unflatten(vector, self.parameters)
        return flatten(_gradients(self.slopes, self.parameters, weights))


class GaussNewton:
    """The Gauss-Newton matrix B = J' H_z J of a loss rho(z(theta)), v -> B v: Schraudolph 2002.

    z are the outputs of a network, J is their Jacobian, and H_z is the Hessian of rho. B is
    positive semi-definite where rho is convex. J v is the derivative of v'J' u in u.

    Args:
        loss: rho(z), 0-d, with its graph; it must depend on the parameters through z alone.
        outputs: z, with their graph.
        parameters: theta.

    Attributes:
        gradient: of the loss in the parameters, (n,), without a graph.
    """

    def __init__(
        self, loss: Tensor, outputs: Sequence[Tensor], parameters: Sequence[Tensor]
    ) -> None:
        self.parameters, self.outputs = list(parameters), list(outputs)
        self.slopes = _gradients([loss], self.outputs, create_graph=True)
        self.gradient = flatten(self._transposed([slope.detach() for slope in self.slopes]))
        self.probes = [torch.zeros_like(z, requires_grad=True) for z in self.outputs]
        self.pulled = self._transposed(self.probes, create_graph=True)

    def __call__(self, vector: Tensor) -> Tensor:
        """Return B v, (n,)."""
        weights = unflatten(vector, self.parameters)
        pushed = _gradients(self.pulled, self.probes, weights)  # J v
        curved = _gradients(self.slopes, self.outputs, pushed)  # H_z J v
        return flatten(self._transposed(curved))

    def _transposed(self, weights: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
        """Return J' u, in the shapes of the parameters."""
        return _gradients(self.outputs, self.parameters, weights, create_graph=create_graph)


def _gradients(
    values: Sequence[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor] | None = None,
    *,
    create_graph: bool = False,
) -> list[Tensor]:
    """Differentiate weights . values and keep the graph; 0 where a value does not depend on it."""
    terms = [(v, None if weights is None else weights[i]) for i, v in enumerate(values)]
    varying = [(v, weight) for v, weight in terms if v.requires_grad]
    if not varying:  # linear: the derivative is constant
        return [torch.zeros_like(tensor) for tensor in inputs]
    outputs, factors = zip(*varying, strict=True)
    return list(
        autograd.grad(
            outputs, inputs, factors, retain_graph=True, create_graph=create_graph,
            materialize_grads=True,
        )
    )  # fmt: skip


class Iterate(NamedTuple):
    """An approximate solution x (n,), and the value 1/2 x'Ax - b'x that it reaches."""

    x: Tensor
    value: float


class Solution(NamedTuple):
    """The iterates of conjugate gradients that were kept, and how the iteration ended.

    Attributes:
        iterates: with geometrically growing gaps, the last one last; never empty.
        products: number of products with the matrix.
        is_concave: True if a direction of nonpositive curvature ended the iteration.
    """

    iterates: list[Iterate]
    products: int
    is_concave: bool


def conjugate_gradients(
    product: Product,
    b: Tensor,
    *,
    start: Tensor | None = None,
    max_iterations: int,
    tolerance: float = 5e-4,
) -> Solution:
    """Minimise 1/2 x'Ax - b'x, which solves Ax = b for a positive definite A.

    In exact arithmetic an n x n matrix takes n iterations. The iteration stops earlier by Martens
    2010, section 4.4: once the value improves over the last k = max(10, i / 10) iterations by less
    than k * tolerance of itself. It also stops at a zero residual, and at a direction p with
    p'Ap <= 0. If that direction is the first and there is no start, the solution is p.

    Args:
        product: v -> A v for a symmetric A.
        b: right-hand side, (n,).
        start: first x; None is 0 and saves a product.
        max_iterations: largest number of iterations.
        tolerance: relative progress per iteration; 0 disables the criterion.
    """
    state = _Iteration(product, b, start)
    values, kept, next_kept = [state.value], list[Iterate](), 1.0
    while len(values) <= max_iterations and not state.is_solved and state.advance():
        values.append(state.value)
        if len(values) - 1 >= next_kept:
            kept.append(Iterate(state.x.clone(), values[-1]))
            next_kept *= _GROWTH
        if _has_converged(values, tolerance):
            break
    if state.is_concave and len(values) == 1 and start is None:
        steepest = Iterate(state.p, state.curvature / 2 - float(b @ state.p))
        return Solution([steepest], state.products, True)
    if not kept or kept[-1].value != values[-1]:
        kept.append(Iterate(state.x, values[-1]))
    return Solution(kept, state.products, state.is_concave)


class _Iteration:
    """State of conjugate gradients: iterate x, residual r = b - Ax, direction p."""

    def __init__(self, product: Product, b: Tensor, start: Tensor | None) -> None:
        self.product, self.b = product, b
        self.x = torch.zeros_like(b) if start is None else start.clone()
        self.r = b.clone() if start is None else b - product(start)
        self.p, self.squared = self.r.clone(), float(self.r @ self.r)
        self.products, self.curvature, self.is_concave = int(start is not None), 0.0, False
        self.smallest = torch.finfo(b.dtype).eps ** 2 * float(b @ b)

    @property
    def value(self) -> float:
        """Return 1/2 x'Ax - b'x."""
        return -0.5 * float(self.x @ (self.b + self.r))

    @property
    def is_solved(self) -> bool:
        """Return True if the residual is 0 up to rounding."""
        return self.squared <= self.smallest

    def advance(self) -> bool:
        """Take one iteration; return False where p'Ap is not positive."""
        image = self.product(self.p)
        self.products += 1
        self.curvature = float(self.p @ image)
        self.is_concave = not self.curvature > 0  # NaN too
        if self.is_concave:
            return False
        self.x.add_(self.p, alpha=self.squared / self.curvature)
        self.r.sub_(image, alpha=self.squared / self.curvature)
        before, self.squared = self.squared, float(self.r @ self.r)
        self.p.mul_(self.squared / before).add_(self.r)
        return True


def _has_converged(values: Sequence[float], tolerance: float) -> bool:
    """Apply Martens' criterion to the values at iterations 0, 1, ..., i."""
    iteration = len(values) - 1
    memory = max(_MEMORY, iteration // 10)
    if iteration <= memory or values[-1] >= 0:
        return False
    progress = (values[-1] - values[-1 - memory]) / values[-1]
    return progress < memory * tolerance

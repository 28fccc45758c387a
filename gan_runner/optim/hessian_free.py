"""Hessian-free optimisation: Newton steps by conjugate gradients (Martens 2010)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite
from time import perf_counter
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from gan_runner.optim.curvature import (
    GaussNewton,
    Hessian,
    Iterate,
    conjugate_gradients,
    flatten,
    unflatten,
)

Curvature = Literal["auto", "gauss_newton", "hessian"]
Closure = Callable[[], tuple[Tensor, Sequence[Tensor]]]
"""Evaluates the loss at the present parameters: the loss, and the network's outputs."""

_ARMIJO = 1e-2  # share of the linear prediction that a step must gain
_SHRINK, _TRIALS = 0.8, 60  # backtracking of the line search
_GROW_BELOW, _SHRINK_ABOVE = 1 / 4, 3 / 4  # reduction ratios that change the damping
_DAMPING_FACTOR = 3 / 2
_LEAST, _MOST = 1e-12, 1e12  # bounds of the damping: from 0 it could not grow again
_REPEATED = 1e-5  # relative difference between two evaluations that rounding explains


class HessianFree(Optimizer):
    """Truncated Newton steps: solve (B + lambda I) delta = -g by conjugate gradients.

    B is the Gauss-Newton matrix, or the Hessian, of the batch's loss; neither is ever formed. The
    next iteration starts from the last delta. The damping lambda follows the Levenberg-Marquardt
    rule of Martens 2010, section 4.1. Let rho be the true reduction over that of the quadratic
    model with damping: lambda grows by 3/2 where rho < 1/4, and shrinks by 2/3 where rho > 3/4.
    Going back through the iterates of conjugate gradients, delta is the first whose predecessor has
    a higher loss (section 4.6). A line search follows; a step that raises the loss is not taken.

    `step` takes a closure, and gives the same loss for the same parameters. It reads numbers from
    the device, so it cannot be captured in a CUDA graph.

    Args:
        params: parameters of one player, in one group.
        lr: length of the first trial step, in units of delta.
        damping: initial lambda.
        curvature: "gauss_newton" needs a loss that is a convex function of the outputs alone;
            "hessian" stops at negative curvature; "auto" is the Hessian unless the builder, which
            knows the loss, replaces it.
        cg_iterations: largest number of iterations of conjugate gradients.
        cg_tolerance: see `curvature.conjugate_gradients`.
        warm_start: factor of the last delta that the iteration starts from; 0 starts from 0.

    Attributes:
        costs: of the last step, by name: "products" with the curvature, "evaluations" of the loss,
            "damping" and "reduction_ratio" after it, "seconds", "grad_norm".
    """

    takes_closure = True

    def __init__(
        self,
        params: Iterable[Parameter],
        *,
        lr: Annotated[float, Gt(0)] = 1.0,
        damping: Annotated[float, Gt(0)] = 1.0,
        curvature: Curvature = "auto",
        cg_iterations: Annotated[int, Ge(1)] = 50,
        cg_tolerance: Annotated[float, Ge(0)] = 5e-4,
        warm_start: Annotated[float, Ge(0), Le(1)] = 0.95,
    ) -> None:
        defaults = {
            "lr": lr, "damping": damping, "curvature": curvature, "cg_iterations": cg_iterations,
            "cg_tolerance": cg_tolerance, "warm_start": warm_start,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) > 1:
            raise ValueError("HessianFree takes one parameter group: its steps are joint")
        self.costs: dict[str, float] = {}
        self._is_checked = False

    def step(self, closure: Closure) -> float:  # type: ignore[override]
        """Take one step; return the loss before it.

        Args:
            closure: returns the loss with its graph, and the outputs that it is a function of. An
                optimizer with `curvature="hessian"` ignores the outputs.

        Raises:
            ValueError: two evaluations at the same parameters differ.
        """
        start = perf_counter()
        group, parameters = self.param_groups[0], self.param_groups[0]["params"]
        search = _Search(closure, parameters)
        curvature = self._curvature(search)
        gradient, damping = curvature.gradient, group["damping"]
        self.costs = {
            "products": 0.0, "evaluations": 0.0, "damping": damping, "reduction_ratio": 1.0,
            "grad_norm": float(gradient.norm()),
        }  # fmt: skip
        if isfinite(search.loss) and 0 < self.costs["grad_norm"] < inf:
            solution = conjugate_gradients(
                lambda v: curvature(v) + damping * v, -gradient, start=self._warm_start(),
                max_iterations=group["cg_iterations"], tolerance=group["cg_tolerance"],
            )  # fmt: skip
            del curvature  # the graph of its products
            self._check_repeats(search)
            self._move(search, solution.iterates, gradient)
            self.costs["products"] = float(solution.products)
        self.costs["evaluations"] = float(search.evaluations)
        self.costs["seconds"] = perf_counter() - start
        return search.loss

    def _curvature(self, search: _Search) -> Hessian | GaussNewton:
        if self.param_groups[0]["curvature"] == "gauss_newton":
            return GaussNewton(search.value, search.outputs, search.parameters)
        return Hessian(search.value, search.parameters)

    def _warm_start(self) -> Tensor | None:
        """Return the scaled last delta, (n,); None at the first step or where it is 0."""
        parameters, factor = self.param_groups[0]["params"], self.param_groups[0]["warm_start"]
        if factor == 0 or any("delta" not in self.state[p] for p in parameters):
            return None
        last = flatten([self.state[p]["delta"] for p in parameters])
        return factor * last if last.any() else None

    def _move(self, search: _Search, iterates: Sequence[Iterate], gradient: Tensor) -> None:
        """Choose an iterate, adapt the damping, search along it, and write the parameters."""
        group = self.param_groups[0]
        chosen, after = _backtrack(search, iterates, group["lr"])
        slope = group["lr"] * float(gradient @ chosen.x)
        ratio = _reduction_ratio(search.loss, after, _model(chosen, slope, group["lr"]))
        group["damping"] = adapted(group["damping"], ratio)
        length = search.line(chosen.x, group["lr"], after, slope)
        delta = chosen.x if length > 0 else torch.zeros_like(chosen.x)
        for parameter, part in zip(group["params"], unflatten(delta, group["params"]), strict=True):
            self.state[parameter]["delta"] = part.clone()
        self.costs["damping"] = group["damping"]
        self.costs["reduction_ratio"] = max(-1.0, min(ratio, 10.0))  # finite, for a mean

    def _check_repeats(self, search: _Search) -> None:
        """Evaluate the loss again at the first step: a step compares losses.

        Raises:
            ValueError: the loss depends on more than the parameters.
        """
        if self._is_checked:
            return
        again = search.at(None, 0.0)
        if abs(again - search.loss) > _REPEATED * max(1.0, abs(search.loss)):
            raise ValueError(
                f"optimizer: hessian_free compares losses at several weights, but this loss is"
                f" {search.loss:.6g} and then {again:.6g} at the same ones; set optimizer=adam"
            )
        self._is_checked = True


class _Search:
    """The loss along directions from the parameters as they are; an evaluation moves them."""

    def __init__(self, closure: Closure, parameters: Sequence[Tensor]) -> None:
        self.closure, self.parameters = closure, parameters
        with torch.enable_grad():
            self.value, self.outputs = closure()
        self.loss, self.evaluations = float(self.value.detach()), 1
        self.origin = flatten(parameters).detach().clone()

    @torch.no_grad()
    def at(self, direction: Tensor | None, length: float) -> float:
        """Move to origin + length * direction; return the loss there, inf where not finite."""
        self.move(direction, length)
        loss = float(self.closure()[0])
        self.evaluations += 1
        return loss if isfinite(loss) else inf

    @torch.no_grad()
    def move(self, direction: Tensor | None, length: float) -> None:
        """Write origin + length * direction into the parameters; None is the origin itself."""
        place = self.origin if direction is None else self.origin.add(direction, alpha=length)
        parts = unflatten(place, self.parameters)
        for parameter, part in zip(self.parameters, parts, strict=True):
            parameter.copy_(part)

    def line(self, direction: Tensor, length: float, after: float, slope: float) -> float:
        """Shrink a step until it gains enough (Armijo's rule); return its length, or 0.

        Args:
            direction: delta, (n,).
            length: of the first trial.
            after: the loss there.
            slope: of the loss along the first trial, negative for a descent.
        """
        first = length
        for _ in range(_TRIALS):
            if after <= self.loss + min(0.0, _ARMIJO * slope * length / first):
                self.move(direction, length)
                return length
            length *= _SHRINK
            after = self.at(direction, length)
        self.move(None, 0.0)
        return 0.0


def adapted(damping: float, ratio: float) -> float:
    """Return the next lambda by the Levenberg-Marquardt rule: Martens 2010, section 4.1."""
    if ratio < _GROW_BELOW:
        return min(damping * _DAMPING_FACTOR, _MOST)
    return max(damping / _DAMPING_FACTOR, _LEAST) if ratio > _SHRINK_ABOVE else damping


def _backtrack(
    search: _Search, iterates: Sequence[Iterate], length: float
) -> tuple[Iterate, float]:
    """Return the iterate before which the loss rises, going back from the last, and its loss."""
    best, after = iterates[-1], search.at(iterates[-1].x, length)
    for candidate in reversed(iterates[:-1]):
        loss = search.at(candidate.x, length)
        if loss >= after and isfinite(after):
            break
        best, after = candidate, loss
    return best, after


def _model(iterate: Iterate, slope: float, length: float) -> float:
    """Return the change that the damped quadratic predicts for a step of some length.

    With q(d) = g.d + 1/2 d'Ad, q(s d) = s g.d + s^2 (q(d) - g.d).
    """
    return slope + length**2 * (iterate.value - slope / length)


def _reduction_ratio(before: float, after: float, predicted: float) -> float:
    """Return (f(theta + delta) - f(theta)) / q(delta); -inf where no reduction is predicted."""
    return (after - before) / predicted if predicted < 0 and isfinite(after) else -inf

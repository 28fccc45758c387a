"""Products against explicit matrices, and conjugate gradients against linear algebra."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call
from torch.nn.functional import softplus

from gan_runner.core import Batch
from gan_runner.objectives.penalties import gradient_penalty
from gan_runner.optim.curvature import (
    GaussNewton,
    Hessian,
    _has_converged,
    conjugate_gradients,
    flatten,
    unflatten,
)

F64 = torch.float64


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def of_flat(net: nn.Module, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of the outputs as a function of the flat parameters."""
    names, values = zip(*net.named_parameters(), strict=True)

    def evaluate(flat: Tensor) -> Tensor:
        weights = dict(zip(names, unflatten(flat, values), strict=True))
        return function(functional_call(net, weights, (X,)))

    return evaluate


X = torch.linspace(-1, 2, 15, dtype=F64).view(5, 3).sin()


def rho(z: Tensor) -> Tensor:
    return softplus(-z).mean() + 0.5 * z[:, 0].square().mean()


def test_products_equal_the_explicit_matrices() -> None:
    net = network()
    parameters = list(net.parameters())
    flat = flatten(parameters).detach()
    matrix = hessian(of_flat(net, rho), flat)
    j = jacobian(of_flat(net, lambda z: z), flat).flatten(0, 1)
    z = net(X)
    inner = hessian(rho, z.detach()).reshape(z.numel(), z.numel())
    columns = torch.eye(len(flat), dtype=F64)
    full = Hessian(rho(z), parameters)
    gauss_newton = GaussNewton(rho(z), [z], parameters)
    h = torch.stack([full(column) for column in columns])
    b = torch.stack([gauss_newton(column) for column in columns])
    torch.testing.assert_close(h, matrix, rtol=0, atol=1e-12)
    torch.testing.assert_close(b, j.T @ inner @ j, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(matrix).min() < -1e-3  # the Hessian is indefinite here,
    assert torch.linalg.eigvalsh(b).min() > -1e-12  # the Gauss-Newton matrix never
    (slope,) = torch.autograd.functional.vjp(of_flat(net, rho), flat)[1:]
    for operator in (full, gauss_newton):
        torch.testing.assert_close(operator.gradient, slope, rtol=0, atol=1e-12)


def test_the_hessian_of_a_gradient_penalty() -> None:
    """The loss holds derivatives in the inputs already: the product is a third derivative."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0)).double()
    names, values = zip(*net.named_parameters(), strict=True)

    def penalty(*weights: Tensor) -> Tensor:
        torch.manual_seed(0)
        own = dict(zip(names, weights, strict=True))
        critic = lambda x, y: functional_call(net, own, (x,))  # noqa: E731
        return gradient_penalty(critic, Batch(X), Batch(X.flip(0)), weight=1.0)

    flat = flatten(values).detach()
    v = torch.randn(len(flat), dtype=F64)
    product = Hessian(penalty(*values), values)(v)
    step = 1e-5
    after, before = (
        flatten(torch.autograd.grad(penalty(*moved), moved, materialize_grads=True))
        for sign in (1, -1)
        for moved in [
            [p.detach().requires_grad_() for p in unflatten(flat + sign * step * v, values)]
        ]
    )
    torch.testing.assert_close(product, (after - before) / (2 * step), rtol=0, atol=1e-6)


def test_what_a_loss_does_not_depend_on_has_no_curvature() -> None:
    used, unused = (nn.Parameter(torch.ones(2, dtype=F64)) for _ in range(2))
    z = used.square()
    loss = z.square().sum()
    v = torch.tensor([1.0, 2.0, 5.0, 5.0], dtype=F64)
    # f = sum theta^4: H = 12 theta^2; B = (2 theta)^2 * 2 = 8 theta^2
    assert Hessian(loss, [used, unused])(v).tolist() == [12.0, 24.0, 0.0, 0.0]
    assert GaussNewton(loss, [z], [used, unused])(v).tolist() == [8.0, 16.0, 0.0, 0.0]
    linear = used.sum()
    assert Hessian(linear, [used, unused])(v).tolist() == [0.0] * 4
    assert Hessian(linear, [used, unused]).gradient.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert GaussNewton(z.sum(), [z], [used, unused])(v).tolist() == [0.0] * 4


def spd(n: int, *, condition: float) -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(n, n, dtype=F64))
    return (
        q @ torch.diag(torch.logspace(0, -torch.log10(torch.tensor(condition)), n, dtype=F64)) @ q.T
    )


def test_conjugate_gradients_are_exact_in_n_steps() -> None:
    n = 12
    a, b = spd(n, condition=30), torch.randn(n, dtype=F64)
    exact = torch.linalg.solve(a, b)
    for start in (None, torch.randn(n, dtype=F64)):
        done = conjugate_gradients(a.mv, b, start=start, max_iterations=n, tolerance=0)
        torch.testing.assert_close(done.iterates[-1].x, exact, rtol=0, atol=1e-8)
        assert done.products == n + (start is not None) and not done.is_concave
        early = conjugate_gradients(a.mv, b, start=start, max_iterations=n - 2, tolerance=0)
        assert (early.iterates[-1].x - exact).norm() > 1e-5
    for x, value in done.iterates:
        assert value == pytest.approx(float(0.5 * x @ a @ x - b @ x), abs=1e-9)
    values = [value for _, value in done.iterates]
    assert values == sorted(values, reverse=True)


def test_as_many_steps_as_there_are_eigenvalues() -> None:
    b = torch.randn(50, dtype=F64)
    eigenvalues = torch.tensor([1.0, 3.0, 10.0], dtype=F64).repeat(17)[:50]
    done = conjugate_gradients(lambda v: eigenvalues * v, b, max_iterations=50, tolerance=0)
    assert 3 <= done.products <= 5
    torch.testing.assert_close(done.iterates[-1].x, b / eigenvalues, rtol=0, atol=1e-10)


def test_negative_curvature_stops_the_iteration() -> None:
    b = torch.tensor([1.0, 0.5], dtype=F64)
    eigenvalues = torch.tensor([2.0, -1.0], dtype=F64)
    done = conjugate_gradients(lambda v: eigenvalues * v, b, max_iterations=9)
    # p = b has p'Ap = 2 - 1/4; the next direction is concave, as a 2 x 2 indefinite matrix demands
    assert done.is_concave and done.products == 2
    torch.testing.assert_close(done.iterates[-1].x, b * 1.25 / 1.75)
    concave = conjugate_gradients(lambda v: -v, b, max_iterations=9)
    assert concave.is_concave and concave.products == 1
    assert torch.equal(concave.iterates[-1].x, b)  # steepest descent
    assert concave.iterates[-1].value == pytest.approx(-1.5 * 1.25)


def test_it_stops_by_relative_progress() -> None:
    # after 10 iterations: progress over the last 10, relative to the value, below 10 * tolerance
    slow = [0.0, *(-1.0 - 0.0004 * i for i in range(11))]
    assert not _has_converged(slow[:11], 5e-4)
    assert _has_converged(slow, 5e-4)  # .004 of 1.004 < .005
    assert not _has_converged([0.0, *(-1.0 - 0.0006 * i for i in range(11))], 5e-4)
    a, b = spd(200, condition=1e6), torch.randn(200, dtype=F64)
    loose, tight = (
        conjugate_gradients(a.mv, b, max_iterations=200, tolerance=t) for t in (1e-2, 1e-4)
    )
    assert 10 < loose.products < tight.products <= 200


def test_a_start_at_the_solution_costs_one_product() -> None:
    a = spd(6, condition=10)
    x = torch.randn(6, dtype=F64)
    done = conjugate_gradients(a.mv, a @ x, start=x, max_iterations=6)
    assert done.products <= 2
    torch.testing.assert_close(done.iterates[-1].x, x)

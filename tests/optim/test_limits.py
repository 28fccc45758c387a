"""Clipped gradients and projected parameters, by hand and under every optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_runner.config.compose import config_dir
from gan_runner.config.signature import check
from gan_runner.config.updates import limit
from gan_runner.optim.limits import Limits, clip_by_norm, project_onto_ball, total_norm

TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "objective=gan")
OPTIMIZERS = sorted(path.stem for path in (config_dir() / "optimizer").glob("*.yaml"))


def parameters(*values: list[float]) -> list[nn.Parameter]:
    return [nn.Parameter(torch.tensor(value)) for value in values]


def stepped(limits: Limits, gradients: list[Tensor], *values: list[float]) -> list[Tensor]:
    """Return the parameters after one step of SGD with a rate of 1."""
    weights = parameters(*values)
    optimizer = torch.optim.SGD(weights, lr=1.0)
    limits.attach(optimizer)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    optimizer.step()
    return [weight.detach() for weight in weights]


def test_the_norm_of_all_parameters_is_clipped() -> None:
    # |(3, 0, 4)| = 5, so that the gradient is scaled by 2 / 5
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]
    a, b = stepped(Limits(max_grad_norm=2.0), gradients, [1.0, 1.0], [1.0])
    torch.testing.assert_close(a, torch.tensor([1 - 1.2, 1.0]))
    torch.testing.assert_close(b, torch.tensor([1 - 1.6]))


def test_a_small_gradient_is_left_alone() -> None:
    gradients = [torch.tensor([0.3, 0.0]), torch.tensor([0.4])]
    assert torch.equal(clip_by_norm(gradients, 2.0)[0], gradients[0])


def test_clipping_by_norm_is_that_of_torch() -> None:
    gradients = [torch.randn(4, 3), torch.randn(5), torch.randn(())]
    weights = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    nn.utils.clip_grad_norm_(weights, 0.7)
    for weight, clipped in zip(weights, clip_by_norm(gradients, 0.7), strict=True):
        torch.testing.assert_close(weight.grad, clipped)


def test_values_are_clipped_before_the_norm() -> None:
    gradients = [torch.tensor([-9.0, 0.5]), torch.tensor([4.0])]
    a, b = stepped(Limits(max_grad_value=1.0), gradients, [0.0, 0.0], [0.0])
    assert a.tolist() == [1.0, -0.5] and b.tolist() == [-1.0]
    # (-1, .5, 1) has the norm 1.5
    a, b = stepped(Limits(max_grad_value=1.0, max_grad_norm=0.75), gradients, [0.0, 0.0], [0.0])
    torch.testing.assert_close(a, torch.tensor([0.5, -0.25]))
    torch.testing.assert_close(b, torch.tensor([-0.5]))


def test_a_gradient_that_two_parameters_share_is_scaled_once() -> None:
    shared = torch.tensor([3.0])
    a, b = stepped(Limits(max_grad_norm=1.0), [shared, shared], [0.0], [0.0])
    torch.testing.assert_close(a, torch.tensor([-1 / 2**0.5]))
    torch.testing.assert_close(a, b)


def test_the_projection_by_hand() -> None:
    a, b = parameters([3.0, 0.0], [4.0])
    project_onto_ball([a, b], 1.0)
    torch.testing.assert_close(a.detach(), torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(b.detach(), torch.tensor([0.8]))
    inside = parameters([0.3, -0.1], [0.2])
    before = [p.detach().clone() for p in inside]
    project_onto_ball(inside, 1.0)
    assert all(map(torch.equal, before, inside))


def test_projected_descent_ends_at_the_nearest_point_of_the_ball() -> None:
    """min (|theta - (3, 4)|^2) / 2 over |theta| <= 1 is attained at (.6, .8)."""
    (theta,) = parameters([0.0, 0.0])
    optimizer = torch.optim.SGD([theta], lr=0.1)
    Limits(radius=1.0).attach(optimizer)
    for _ in range(100):
        theta.grad = theta.detach() - torch.tensor([3.0, 4.0])
        optimizer.step()
    torch.testing.assert_close(theta.detach(), torch.tensor([0.6, 0.8]))


def test_each_replica_has_the_limits_for_itself() -> None:
    stacked = nn.Parameter(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    scalar = nn.Parameter(torch.tensor([0.0, 0.0]))
    optimizer = torch.optim.SGD([stacked, scalar], lr=0.0)
    Limits(radius=1.0, max_grad_norm=1.0).attach(optimizer, batch_dims=1)
    stacked.grad, scalar.grad = stacked.detach().clone(), scalar.detach().clone()
    optimizer.step()
    expected = torch.tensor([[0.6, 0.8], [0.3, 0.4]])
    torch.testing.assert_close(stacked.detach(), expected)
    torch.testing.assert_close(stacked.grad, expected)


@pytest.mark.parametrize("optimizer", sorted({*OPTIMIZERS} - {"hessian_free"}))
def test_every_optimizer_can_be_limited(engine: Callable[..., Any], optimizer: str) -> None:
    built = engine(*TOY, f"optimizer={optimizer}", "limits.critic.radius=0.5",
                   "limits.generator.max_grad_norm=1e-3", "limits.generator.max_grad_value=1e-4")  # fmt: skip
    norms = []
    for _ in range(3):
        built.train_step()
        critic, generator = ([*n.parameters()] for n in (built.nets.critic, built.nets.generator))
        norms.append(total_norm(critic).item())
        gradients = [p.grad for p in generator]
        assert total_norm(gradients) <= 1e-3 * (1 + 1e-5)
        assert max(g.abs().max() for g in gradients) <= 1e-4
    assert norms[0] == pytest.approx(0.5, rel=1e-5)  # it starts outside
    assert max(norms) <= 0.5 * (1 + 1e-5)


def test_without_limits_nothing_is_limited(engine: Callable[..., Any]) -> None:
    """SGD with a rate of 1 moves by a huge gradient, to the bit, and leaves it as it was."""
    built = engine(*TOY, "optimizer=sgd", "optimizer.lr=1")
    for optimizer in built.optimizers.values():
        (parameters,) = (group["params"] for group in optimizer.param_groups)
        before = [p.detach().clone() for p in parameters]
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, 1e9)
        gradients = [p.grad for p in parameters]
        optimizer.step()
        for parameter, start, gradient in zip(parameters, before, gradients, strict=True):
            assert torch.equal(parameter, start - 1e9)
            assert parameter.grad is gradient and (gradient == 1e9).all()


def test_replicas_are_limited_each(engine: Callable[..., Any]) -> None:
    pack = engine(*TOY, "trainer.replicas=3", "limits.radius=0.5")
    pack.train_step()
    for one in pack.engines:
        for network in (one.nets.critic, one.nets.generator):
            assert total_norm([*network.parameters()]).item() == pytest.approx(0.5, rel=1e-5)


def test_refusals(engine: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"limits\.radius=-1.*greater than 0"):
        engine(*TOY, "limits.radius=-1")
    own = "{_target_: gan_runner.optim.limits.Limits}"
    with pytest.raises(ValueError, match=r"limits\.critc: no such key; did you mean limits.critic"):
        engine(*TOY, f"+limits.critc={own}")
    with pytest.raises(ValueError, match=r"limits\.critic: should name gan_runner.optim.limits"):
        node = check({"_target_": "gan_runner.training.ema.Uniform"}, prefix="averages")[0]
        limit({"critic": node}, {})
    with pytest.raises(ValueError, match=r"HessianFree computes its gradients within a step"):
        engine(*TOY, "optimizer=hessian_free", "limits.generator.max_grad_norm=1")

"""Hessian-free steps against Newton's, its damping rule, and an ill-conditioned fit in the runner."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from gan_runner.builder import build
from gan_runner.config.closures import check_closures
from gan_runner.objectives import losses
from gan_runner.objectives.objective import Objective
from gan_runner.optim.hessian_free import HessianFree, adapted
from gan_runner.runs.checkpoint import fingerprint
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit
from gan_runner.training.replay import copied
from gan_runner.training.settings import Settings

F64 = torch.float64
TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "model.depth=1")
HF = "optimizer=hessian_free"


def closure_of(function: Callable[[Tensor], Tensor], theta: nn.Parameter) -> Any:
    return lambda: (function(theta), [])


def test_a_step_is_the_damped_newton_step() -> None:
    a = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=F64)
    theta = nn.Parameter(torch.tensor([1.0, -2.0], dtype=F64))
    start = theta.detach().clone()
    optimizer = HessianFree([theta], damping=0.5, cg_tolerance=0.0)
    before = optimizer.step(closure_of(lambda t: 0.5 * t @ a @ t, theta))
    assert before == pytest.approx(float(0.5 * start @ a @ start))
    delta = -torch.linalg.solve(a + 0.5 * torch.eye(2, dtype=F64), a @ start)
    torch.testing.assert_close(theta.detach(), start + delta, rtol=0, atol=1e-9)
    # f falls by more than the model with damping predicts: the ratio is above 1
    g, d = a @ start, delta
    ratio = float(g @ d + 0.5 * d @ a @ d) / float(g @ d + 0.5 * d @ (a @ d + 0.5 * d))
    assert optimizer.costs["reduction_ratio"] == pytest.approx(ratio) and ratio > 1
    assert optimizer.param_groups[0]["damping"] == pytest.approx(0.5 * 2 / 3)
    assert optimizer.costs["products"] == 2


@pytest.mark.parametrize(
    ("ratio", "factor"), [(-1.0, 3 / 2), (0.2, 3 / 2), (0.3, 1), (0.7, 1), (0.8, 2 / 3), (2, 2 / 3)]
)
def test_the_damping_follows_the_ratio(ratio: float, factor: float) -> None:
    assert adapted(6.0, ratio) == pytest.approx(6.0 * factor)


def test_damping_grows_where_newton_overshoots() -> None:
    """f = sqrt(1 + t^2): Newton's step from 3 is -t (1 + t^2) = -30, to a higher value."""
    theta = nn.Parameter(torch.tensor([3.0], dtype=F64))
    optimizer = HessianFree([theta], damping=1e-3)
    function = lambda t: (1 + t.square()).sqrt().sum()  # noqa: E731
    optimizer.step(closure_of(function, theta))
    assert optimizer.param_groups[0]["damping"] == pytest.approx(1.5e-3)
    assert optimizer.costs["reduction_ratio"] < 0
    assert function(theta).item() < 10**0.5  # the line search takes a part of it
    dampings = []
    for _ in range(30):
        optimizer.step(closure_of(function, theta))
        dampings.append(optimizer.param_groups[0]["damping"])
    assert abs(theta.item()) < 1e-5
    # nearer to the minimum the model is right, and it shrinks
    assert any(after < before for before, after in pairwise(dampings))


def test_it_leaves_a_saddle() -> None:
    """f = x^2 - y^2 + y^4: the Hessian has an eigenvalue of -2 at the start; minima at y^2 = 1/2."""
    theta = nn.Parameter(torch.tensor([1.0, 0.01], dtype=F64))
    optimizer = HessianFree([theta], curvature="hessian")
    function = lambda t: t[0] ** 2 - t[1] ** 2 + t[1] ** 4  # noqa: E731
    values = [optimizer.step(closure_of(function, theta)) for _ in range(40)]
    assert values == sorted(values, reverse=True)
    assert float(function(theta)) == pytest.approx(-0.25, abs=1e-6)


def test_a_loss_that_does_not_repeat_is_refused() -> None:
    theta = nn.Parameter(torch.ones(2))
    optimizer = HessianFree([theta])
    with pytest.raises(ValueError, match=r"^optimizer: hessian_free compares losses .*; set optim"):
        optimizer.step(closure_of(lambda t: (t * torch.randn(2)).square().sum(), theta))


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    theta = nn.Parameter(torch.tensor([-1.0]))
    HessianFree([theta]).step(closure_of(lambda t: t.log().sum(), theta))
    assert theta.item() == -1.0


def test_its_state_survives_bit_for_bit() -> None:
    def run(steps: int, state: Any = None, start: Any = None) -> tuple[Any, Tensor]:
        theta = nn.Parameter(torch.linspace(-2, 2, 6) if start is None else start.clone())
        optimizer = HessianFree([theta], cg_iterations=3)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            optimizer.step(
                closure_of(lambda t: (t[1:] - t[:-1] ** 2).square().sum() + t.square().sum(), theta)
            )
        return copied(optimizer.state_dict()), theta.detach().clone()

    state, half = run(3)
    assert torch.equal(run(3, state, half)[1], run(6)[1])
    assert not torch.equal(run(3, None, half)[1], run(6)[1])  # lambda and delta are part of it


# In the runner


def minimum(engine: Engine) -> float:
    """The least squares solution of experiment=hessian_free: targets 1 on the data, 0 at G."""
    x = engine.stream.table.x.double()
    rows = torch.cat([x, torch.ones(len(x), 1, dtype=F64)], dim=1)
    matrix = rows.T @ rows / len(x)
    matrix[-1, -1] += 1  # the point at 0, whose score is the bias
    slope = rows.mean(dim=0)
    assert torch.linalg.cond(matrix) > 1e6
    return float(0.5 * (1 - slope @ torch.linalg.solve(matrix, slope)))


@pytest.fixture
def run(config: Callable[..., DictConfig]) -> Callable[..., Any]:
    """Build the engine of a command line as it is."""
    return lambda *overrides: build(config("device=cpu", *overrides))


def test_twenty_steps_against_two_thousand(run: Callable[..., Any]) -> None:
    newton = run("experiment=hessian_free")
    least = minimum(newton)
    excesses = [newton.train_step()[0]["loss/critic"].item() - least for _ in range(21)]
    assert excesses[0] == pytest.approx(0.5 - least)
    assert abs(excesses[20]) < 1e-6  # the loss after 20 steps, to the rounding of float32
    assert newton.optimizers["critic"].param_groups[0]["curvature"] == "gauss_newton"

    sgd = run("experiment=hessian_free", "optimizer=sgd", "optimizer.lr=0.5")
    for _ in range(2001):
        (logs,) = sgd.train_step()
    assert 0.02 < logs["loss/critic"].item() - least < 0.03


def test_the_experiment_logs_what_a_step_costs(run: Callable[..., Any], tmp_path: Path) -> None:
    fit(run("experiment=hessian_free"), tmp_path)
    points = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == list(range(1, 21))
    for point in points:
        assert 1 <= point["optimizer/critic_products"] <= 52
        assert point["optimizer/critic_evaluations"] >= 2
        assert point["speed/critic_step_seconds"] > 0
    assert points[0]["optimizer/critic_damping"] == pytest.approx(1e-4 * 2 / 3)


def test_adam_for_the_generator_hessian_free_for_the_critic(engine: Callable[..., Engine]) -> None:
    built = engine(
        *TOY, "objective=ns_gan", "optimizer=adam",
        "optimizer.critic._target_=gan_runner.optim.hessian_free.HessianFree", "optimizer.critic.lr=1",
        "~optimizer.critic.betas", "~optimizer.critic.eps", "~optimizer.critic.weight_decay",
        "~optimizer.critic.flavor",
    )  # fmt: skip
    (logs,) = built.train_step()
    assert isinstance(built.optimizers["critic"], HessianFree)
    assert isinstance(built.optimizers["generator"], torch.optim.Adam)
    assert "optimizer/critic_products" in logs and "optimizer/generator_products" not in logs


@pytest.mark.parametrize(
    "command",
    [
        (*TOY, "objective=ns_gan"),
        (*TOY, "objective=wgan_gp", "objective.n_critic=2"),  # eps is drawn inside the loss
        ("dataset=digits", "model.filters=2", "objective=sn_gan"),  # batch and spectral norm
    ],
)
def test_resume_is_bit_identical(engine: Callable[..., Engine], command: tuple[str, ...]) -> None:
    whole, resumed = (engine(*command, HF) for _ in range(2))
    for _ in range(2):
        whole.train_step()
    half = copied(whole.state_dicts())
    for _ in range(2):
        whole.train_step()
    expected = fingerprint(whole.state_dicts()[0])
    torch.manual_seed(1)
    resumed.load_state_dicts(half)
    for _ in range(2):
        resumed.train_step()
    assert fingerprint(resumed.state_dicts()[0]) == expected


REFUSED = {
    ("trainer.replicas=2",): r"trainer\.replicas=2: not supported by HessianFree, because",
    ("trainer.accelerate=compile",): r"trainer\.accelerate=compile: contradicts .*HessianFree",
    ("trainer.precision=bf16",): r"trainer\.precision=bf16: contradicts optimizer\.critic=HessianF",
    (
        "optimizer.curvature=gauss_newton",
        "objective=wgan_gp",
    ): "critic_terms.gradient_penalty is not",
    ("optimizer.curvature=gauss_newton", "objective=wgan"): "critic_loss is linear in the scores",
    (
        "optimizer.curvature=gauss_newton",
        "objective=gan",
    ): "generator_loss is not a convex function",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_contradictions(engine: Callable[..., Engine], overrides: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=REFUSED[overrides]):
        engine(*TOY, "objective=ns_gan", HF, *overrides)


def test_a_captured_step_is_refused() -> None:
    objective = Objective(
        critic_loss=losses.logistic_critic, generator_loss=losses.nonsaturating_generator
    )
    optimizers = {"critic": HessianFree([nn.Parameter(torch.ones(1))])}
    with pytest.raises(ValueError, match=r"cuda_graph: contradicts .*reads losses from the device"):
        check_closures(optimizers, objective, Settings(accelerate="cuda_graph"))
    settings = check_closures(optimizers, objective, Settings())
    assert settings.precision == "fp32"
    assert optimizers["critic"].param_groups[0]["curvature"] == "gauss_newton"


def test_auto_is_eager(engine: Callable[..., Engine]) -> None:
    built: Any = engine(*TOY, "objective=ns_gan", HF)
    built.iteration.candidates = ["cuda_graph", "eager"]  # as on a GPU, which could not capture it
    built.train_step()
    assert built.mode.selected == "eager"

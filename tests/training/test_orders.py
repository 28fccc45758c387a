"""Orders of updates on games with known dynamics, through the real engine and command."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from math import atan2, hypot, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zygote
from covering import covering
from PIL import Image

from gan_runner.builder import build
from gan_runner.config.compose import config_dir
from gan_runner.config.update_order import check_update_order, order_of
from gan_runner.runs.checkpoint import fingerprint, load_checkpoint
from gan_runner.training.accelerate import CompiledStep
from gan_runner.training.engine import Engine
from gan_runner.training.orders import ORDERS, Lookahead, Unrolled
from gan_runner.training.replicas import StackedEngine

Build = Callable[..., Any]
GAME = ("device=cpu", "experiment=bilinear_game")
SGD = (*GAME, "optimizer=sgd")


@pytest.fixture
def play(config: Build) -> Callable[..., list[tuple[float, float]]]:
    """Play a game; return (x, y) at the start and after each step."""

    def played(*overrides: str, steps: int) -> list[tuple[float, float]]:
        engine = build(config(*overrides))
        path = [point_of(engine)]
        for _ in range(steps):
            engine.train_step()
            path.append(point_of(engine))
        return path

    return played


def point_of(engine: Engine) -> tuple[float, float]:
    x, y = (w.item() for w in engine.nets.weights.values())
    return x, y


RADIUS = {
    ("sgd",): 1.4537,
    ("sgd", "optimizer.order=generator_first"): 1.3775,
    ("sgd", "optimizer.order=simultaneous"): 10.3464,
    ("extragradient",): 0.1933,
    ("optimistic",): 0.1885,
}  # after 400 steps from (1, 1)


@pytest.mark.parametrize("choice", RADIUS, ids=" ".join)
def test_the_radius_after_400_steps(
    zygote: Zygote, tmp_path: Path, choice: tuple[str, ...]
) -> None:
    optimizer, *order = choice
    command = ("experiment=bilinear_game", f"optimizer={optimizer}", *order, "device=cpu")
    code, out = zygote.run(tmp_path, *command, "hydra.run.dir=run")
    assert code == 0, out
    points = [json.loads(p) for p in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert points[-1]["step"] == 400
    assert points[-1]["game/radius"] == pytest.approx(RADIUS[choice], abs=1e-3)
    assert hypot(points[-1]["game/x"], points[-1]["game/y"]) == pytest.approx(
        points[-1]["game/radius"]
    )
    assert [p["step"] for p in points] == list(range(4, 401, 4))
    with Image.open(tmp_path / "run" / "trajectory" / "step_000400.png") as picture:
        assert picture.size == (600, 500)


def test_a_closed_form_of_simultaneous_steps(play: Build) -> None:
    """From (1, 0): y2 = 2 eta, x3 = 1 - 3 eta^2, y3 = 3 eta - eta^3."""
    for eta in (0.05, 0.3, 1.0):
        path = play(
            *SGD, "optimizer.order=simultaneous", "model.y=0", f"optimizer.lr={eta}", steps=3
        )
        expected = [(1, 0), (1, eta), (1 - eta**2, 2 * eta), (1 - 3 * eta**2, 3 * eta - eta**3)]
        for point, wanted in zip(path, expected, strict=True):
            assert point == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("eta", [0.01, 0.1, 0.5, 2.0])
def test_simultaneous_steps_grow_and_turn_by_one_eigenvalue(play: Build, eta: float) -> None:
    """lambda = 1 + i eta: each step scales by sqrt(1 + eta^2) > 1 and turns by atan(eta)."""
    path = play(*SGD, "optimizer.order=simultaneous", f"optimizer.lr={eta}", steps=5)
    points = [complex(*point) for point in path]
    ratios = [after / before for before, after in pairwise(points)]
    assert [abs(r) for r in ratios] == pytest.approx([sqrt(1 + eta**2)] * 5, rel=1e-6)
    angles = [atan2(r.imag, r.real) for r in ratios]
    assert angles == pytest.approx([atan2(eta, 1)] * 5, rel=1e-5)
    assert all(abs(r) > 1 for r in ratios)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (("sgd",), (1 - 0.1 * 1.1, 1.1)),  # y' = y + lr x, then x' = x - lr y'
        (("sgd", "optimizer.order=generator_first"), (0.9, 1 + 0.1 * 0.9)),
        (("sgd", "optimizer.order=simultaneous"), (0.9, 1.1)),
        (("extragradient",), (1 - 0.1 * 1.1, 1 + 0.1 * 0.9)),  # gradients at (.9, 1.1)
        (("optimistic",), (1 - 2 * 0.1, 1 + 2 * 0.1)),  # the gradient before the first is 0
    ],
)
def test_one_step_by_hand(
    play: Build, choice: tuple[str, ...], expected: tuple[float, float]
) -> None:
    path = play(*GAME, f"optimizer={choice[0]}", *choice[1:], steps=1)
    assert path[-1] == pytest.approx(expected, abs=1e-6)


def test_one_unrolled_step_by_hand(play: Build) -> None:
    """Inner steps w <- w + r x on L_critic = -x w; then x w_k(x) has the slope y' + 2 k r x."""
    node = "{_target_: gan_runner.training.orders.Unrolled, steps: 3, lr: 0.2}"
    path = play(*SGD, f"optimizer.order={node}", steps=1)
    y = 1 + 0.1 * 1  # the critic's own step
    slope = (y + 3 * 0.2 * 1) + 1 * (3 * 0.2)  # w_3 = y + 3 r x, and x dw_3/dx = x 3 r
    assert path[-1] == pytest.approx((1 - 0.1 * slope, y), abs=1e-6)


def test_one_unrolled_step_of_a_quadratic_game_by_hand(play: Build) -> None:
    """L_critic = -b x w + c/2 w^2: w_1 = w + r (b x - c w); f = a/2 x^2 + b x w_1(x)."""
    a = c = 0.1
    b, r, lr = 2.0, 0.2, 0.1
    node = f"{{_target_: gan_runner.training.orders.Unrolled, steps: 1, lr: {r}}}"
    path = play(
        "device=cpu", "experiment=quadratic_game", f"optimizer.order={node}",
        f"model.critic.scale={b}", steps=1,
    )  # fmt: skip
    y = 1 + lr * (b - c)
    w = y + r * (b - c * y)
    slope = a + b * w + b * (r * b)
    assert path[-1] == pytest.approx((1 - lr * slope, y), abs=1e-6)


def test_lookahead_by_hand(play: Build) -> None:
    """k = 2, alpha = 1/4: after two alternating steps both players go back three quarters."""
    node = "{_target_: gan_runner.training.orders.Lookahead, every: 2, alpha: 0.25}"
    path = play(*SGD, f"optimizer.order={node}", steps=5)

    def step(x: float, y: float) -> tuple[float, float]:
        y = y + 0.1 * x
        return x - 0.1 * y, y

    slow = expected = (1.0, 1.0)
    for k, point in enumerate(path):
        assert point == pytest.approx(expected, abs=1e-6), k
        expected = step(*expected)
        if k % 2 == 1:  # the step that comes is the second since the last average
            slow = tuple(s + 0.25 * (w - s) for s, w in zip(slow, expected, strict=True))
            expected = slow


def test_the_quadratic_game_has_the_eigenvalues_of_its_matrix(play: Build) -> None:
    """Simultaneous steps: I - lr [[a, b], [-b, a]] has |lambda|^2 = (1 - lr a)^2 + (lr b)^2."""
    for lr in (0.1, 0.19, 0.21):  # the threshold is 2 a / (a^2 + b^2) = 0.198
        command = ("device=cpu", "experiment=quadratic_game", "optimizer.order=simultaneous")
        path = play(*command, f"optimizer.lr={lr}", steps=50)
        modulus = sqrt((1 - lr * 0.1) ** 2 + lr**2)
        assert hypot(*path[-1]) == pytest.approx(sqrt(2) * modulus**50, rel=1e-4)
        assert (modulus < 1) == (lr < 0.198)


def test_critic_updates_come_before_the_joint_step(play: Build) -> None:
    """Three critic steps: two alone at x = 1, then both at the same point (1, 1.2)."""
    path = play(*SGD, "optimizer.order=simultaneous", "objective.n_critic=3", steps=1)
    assert path[-1] == pytest.approx((1 - 0.1 * 1.2, 1 + 3 * 0.1), abs=1e-6)


def test_a_projection_follows_each_move(play: Build) -> None:
    """|y| <= 1.05 also holds at the point that extragradient looks at."""
    clip = "{_target_: gan_runner.objectives.constraints.clip_weights, _partial_: true, c: 1.05}"
    path = play(*GAME, "optimizer=extragradient", f"objective.constraint={clip}", steps=1)
    assert path[-1] == pytest.approx((1 - 0.1 * 1.05, 1.05), abs=1e-6)  # 1 + .1 * .9 = 1.09


TINY = ("dataset=gaussians8", "model=mlp", "model.width=16", "model.depth=2")
CARDS = sorted(path.stem for path in (config_dir() / "optimizer").glob("*.yaml"))
OF_ORDERS = (
    "extra_adam",
    "extragradient",
    "lookahead",
    "optimistic",
    "optimistic_adam",
    "unrolled",
)


@pytest.mark.parametrize("objective", ["ns_gan", "wgan_gp"])
def test_unrolled_gradients_are_those_of_autograd(engine: Build, objective: str) -> None:
    """The slope of the generator's loss along a direction, against a difference of two losses."""
    built = engine(
        *TINY, f"objective={objective}", "optimizer=unrolled", "model.critic.activation=tanh"
    )
    game, order = built.game, Unrolled(steps=3, lr=0.05)
    for network in (built.nets.generator, built.nets.critic):
        network.double()
    real = game.to_batch(*built.stream.next())
    real = real._replace(x=real.x.double())
    latent = game.prior(len(real.x))
    latent = latent._replace(z=latent.z.double())

    def loss() -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(1)  # of the penalty's points
        logs, gradients = game.gradients(order.generator_loss, "generator", real, latent)
        return logs["loss/generator"].item(), list(gradients)

    _, gradients = loss()
    norm = sqrt(sum(g.square().sum().item() for g in gradients))
    values, size = [], 1e-5
    for sign in (1, -2):  # to the one side, then to the other
        with torch.no_grad():
            for weight, gradient in zip(game.generator.parameters, gradients, strict=True):
                weight.add_(gradient, alpha=sign * size / norm)
        values.append(loss()[0])
    assert (values[0] - values[1]) / (2 * size) == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("optimizer", OF_ORDERS)
def test_a_replica_takes_the_steps_of_a_run(engine: Build, optimizer: str) -> None:
    """Both runs draw the same noise, so that they differ in the rounding of float32 alone."""
    command = (*TINY, "objective=ns_gan", f"optimizer={optimizer}", "optimizer.lr=1e-3")
    command += ("model.init=he",)  # whose gradients are large enough for this
    pack = engine(*command, "trainer.replicas=2")
    assert isinstance(pack, StackedEngine)
    alone = [engine(*command, f"seed={k}") for k in range(2)]
    noise = torch.Generator().manual_seed(3)
    table = [torch.randn(2, 64, 2, generator=noise) for _ in range(20)]
    draws: dict[str, Any] = {key: iter(table) for key in ("pack", 0, 1)}
    latent = pack.game.prior(1)
    object.__setattr__(pack.game, "prior", lambda n: latent._replace(z=next(draws["pack"])[:, :n]))
    for k, run in enumerate(alone):
        prior = lambda n, k=k: latent._replace(z=next(draws[k])[k, :n])  # noqa: E731
        object.__setattr__(run.game, "prior", prior)
    start = [run.nets.generator.layers[0].weight.detach().clone() for run in alone]
    for _ in range(6):  # beyond lookahead's fifth
        for run in (pack, *alone):
            run.train_step()
    for first, one, other in zip(start, pack.engines, alone, strict=True):
        expected = other.nets.generator.layers[0].weight
        found = one.nets.generator.layers[0].weight
        assert (expected - first).norm() > 1e-4
        assert (found - expected).norm() < 2e-3 * (expected - first).norm()


@pytest.mark.parametrize(("optimizer", "replicas"), covering(CARDS, [1, 2], one_in=2), ids=str)
def test_resumed_equals_uninterrupted(engine: Build, optimizer: str, replicas: int) -> None:
    """The state after 3 + 4 steps is that of 7, bit for bit, slow weights and counters included."""
    command = (*TINY, "objective=ns_gan", f"optimizer={optimizer}", f"trainer.replicas={replicas}")
    try:
        whole = engine(*command)
    except ValueError as error:
        assert replicas > 1 and "replicas" in str(error)
        return
    for _ in range(3):
        whole.train_step()
    saved = [clone(state) for state in whole.state_dicts()]
    for _ in range(4):
        whole.train_step()
    resumed = engine(*command)
    resumed.train_step()  # whatever it did before must not matter
    resumed.load_state_dicts(saved)
    for _ in range(4):
        resumed.train_step()
    states = [[fingerprint(s) for s in run.state_dicts()] for run in (whole, resumed)]
    assert states[0] == states[1]
    if optimizer == "lookahead":
        entries = whole.state_dicts()[0]["critic_optimizer"]["state"][0]
        assert entries["since_average"].item() == 7 % 5 and "slow" in entries


def clone(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    return [clone(item) for item in value] if isinstance(value, list) else value


def test_lookahead_resumes_from_a_file(zygote: Zygote, tmp_path: Path) -> None:
    command = (*GAME, "optimizer=lookahead", "trainer.checkpoint_every=1")
    for run_dir, steps in (("whole", 13), ("parts", 8)):
        code, out = zygote.run(
            tmp_path, *command, f"trainer.steps={steps}", f"hydra.run.dir={run_dir}"
        )
        assert code == 0, out
    code, out = zygote.run(tmp_path, "resume=parts", "trainer.steps=13")
    assert code == 0, out
    ends = [
        fingerprint(load_checkpoint(tmp_path / d / "checkpoints" / "step_00000013.pt"))
        for d in ("whole", "parts")
    ]
    assert ends[0] == ends[1]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OF_ORDERS)
def test_compiled_takes_the_same_steps(engine: Build, optimizer: str) -> None:
    command = (*TINY, "objective=ns_gan", f"optimizer={optimizer}")
    weights = []
    for compiled in (False, True):
        run = engine(*command)
        order = run.iteration.order
        step = CompiledStep(order) if compiled else order
        torch.manual_seed(0)
        for _ in range(2):
            step(run.game, run.next_batches())
        weights.append(torch.cat([w.detach().flatten() for w in run.nets.weights.values()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-5)


OBJECTIVES = sorted(path.stem for path in (config_dir() / "objective").glob("*.yaml"))
NEEDS_IMAGES = {"cgan", "acgan"}  # labels


REFUSED = {
    ("unrolled", "wgan"), ("unrolled", "wgan_frobenius"),
    ("extragradient", "r3gan"), ("optimistic", "r3gan"),  # its schedule is of Adam's beta2
}  # fmt: skip


@pytest.mark.parametrize(
    ("optimizer", "objective"),
    covering(CARDS, [o for o in OBJECTIVES if o not in NEEDS_IMAGES], one_in=6, always=REFUSED),
)
def test_every_optimizer_steps_under_every_objective(
    engine: Build, optimizer: str, objective: str
) -> None:
    """Both players move and stay finite, or the pair is refused in one line that says why."""
    sizes = ["model.latent_dim=14"] if objective == "infogan" else []
    command = (*TINY, f"objective={objective}", f"optimizer={optimizer}", *sizes)
    try:
        built = engine(*command, "objective.n_critic=2")
    except ValueError as error:
        assert (optimizer, objective) in REFUSED or optimizer not in OF_ORDERS
        assert "set " in str(error) and "\n" not in str(error)
        return
    assert (optimizer, objective) not in REFUSED
    before = {name: w.detach().clone() for name, w in built.nets.weights.items()}
    (logs,) = built.train_step()
    assert all(v.isfinite() for v in logs.values())
    moved = {
        name.partition("/")[0]
        for name, w in built.nets.weights.items()
        if not w.equal(before[name])
    }
    assert moved == {"critic", "generator"}


PAIRS = {
    ("sgd", "extragradient"): r"optimizer\.critic=SGD cannot look ahead; set optimizer=extragrad",
    ("extra_adam", "alternating"): r"ExtraAdam looks ahead .*; set optimizer\.order=extragradient",
    ("extragradient", "simultaneous"): r"ExtraSGD looks ahead before each step",
    ("extragradient", "lookahead"): r"order\.base=alternating: .* optimizer\.order\.base=extragrad",
    ("optimistic", "extragradient"): r"OptimisticSGD cannot look ahead",
    ("sghmc", "lookahead"): r"order=lookahead: .*SGHMC samples weights",
}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_wrong_pair_is_refused(engine: Build, pair: tuple[str, str]) -> None:
    optimizer, order = pair
    with pytest.raises(ValueError, match=PAIRS[pair]) as error:
        engine(*TINY, f"optimizer={optimizer}", f"optimizer.order={order}")
    assert str(error.value).startswith("optimizer.order") and "\n" not in str(error.value)


def test_names_and_nodes_of_orders(config: Build) -> None:
    assert order_of("lookahead") == Lookahead() and order_of("unrolled") == Unrolled()
    assert set(ORDERS) == {
        "alternating", "generator_first", "simultaneous", "extragradient", "unrolled", "lookahead"
    }  # fmt: skip
    built = build(config(*GAME, "optimizer=lookahead", "optimizer.order.every=7"))
    assert built.iteration.order == Lookahead(every=7)
    with pytest.raises(
        ValueError, match=r"optimizer\.order\.alpha=1\.5: .*less than or equal to 1"
    ):
        build(config(*GAME, "optimizer=lookahead", "optimizer.order.alpha=1.5"))
    with pytest.raises(ValueError, match=r"optimizer\.order=alternatin: should be 'alternating'"):
        build(config(*GAME, "optimizer.order=alternatin"))
    node = "{_target_: gan_runner.optim.standard.LearningRate}"
    with pytest.raises(ValueError, match=r"optimizer\.order\._target_"):
        build(config(*GAME, f"optimizer.order={node}"))


def test_an_optimizer_with_a_closure_needs_an_order_of_one_player_at_a_time(engine: Build) -> None:
    built = engine(*TINY)
    optimizers = {"critic": torch.optim.LBFGS([torch.nn.Parameter(torch.ones(1))])}
    for order in ("alternating", "generator_first", "unrolled"):
        if order != "unrolled":
            check_update_order(order_of(order), built.game.objective, optimizers)
    for order in ("simultaneous", "unrolled"):
        with pytest.raises(ValueError, match=rf"order={order}: .*LBFGS evaluates its loss"):
            check_update_order(order_of(order), built.game.objective, optimizers)

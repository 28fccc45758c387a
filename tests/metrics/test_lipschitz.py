"""Bounds on the critic's Lipschitz constant against networks whose constant is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from eval_contexts import context_of, snapshot_of
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_runner.core import DataSpec, Snapshot
from gan_runner.metrics.lipschitz import LipschitzOfCritic, lipschitz_bound, operator_norm
from gan_runner.models import dcgan, mlp, resnet
from gan_runner.training.engine import Engine

SPEC = DataSpec("images", (3, 16, 16))
BOTH = {
    "lipschitz/lower", "lipschitz/slope_q99", "wasserstein/per_slope", "wasserstein/per_slope_q99",
}  # fmt: skip
ALL = BOTH | {"lipschitz/upper", "wasserstein/bound"}


class Scores(nn.Module):
    """A critic of given layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(x).squeeze(1)


def measure(critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor | None = None) -> dict:
    context = context_of(real, y=y, batch_size=16)
    metric = LipschitzOfCritic(context)
    return metric(snapshot_of(context, fake, critic=critic)) if metric.provenance else {}


def test_a_linear_critic() -> None:
    """Lip(f) = |w|: both bounds meet, and both quotients are the distance of the means along w."""
    critic = Scores(nn.Linear(2, 1))
    with torch.no_grad():
        critic.layers[0].weight.copy_(torch.tensor([[3.0, 4.0]]))
    x = torch.randn(40, 2)
    values = measure(critic, x + torch.tensor([0.6, 0.8]), x)
    assert values == pytest.approx({
        "lipschitz/lower": 5.0, "lipschitz/upper": 5.0, "wasserstein/per_slope": 1.0,
        "lipschitz/slope_q99": 5.0, "wasserstein/per_slope_q99": 1.0, "wasserstein/bound": 1.0,
    }, rel=1e-5)  # fmt: skip


class Square(nn.Module):
    """f(x) = |x|^2 / 2, with slope |x|."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return 0.5 * x.square().sum(1)


def test_a_quantile_of_the_slopes_ignores_one_steep_spot() -> None:
    x = torch.ones(400, 1)
    spot = x.clone()
    spot[0] = 100.0
    values = measure(Square(), spot, x)
    assert values["lipschitz/lower"] == pytest.approx(100)
    assert values["lipschitz/slope_q99"] == pytest.approx(1, rel=1e-3)
    gap = (100**2 - 1) / 2 / 400
    assert values["wasserstein/per_slope"] == pytest.approx(gap / 100, rel=1e-4)
    assert values["wasserstein/per_slope_q99"] == pytest.approx(gap, rel=1e-3)


def test_the_upper_bound_is_the_product_of_the_layers_norms() -> None:
    critic = mlp.Critic(DataSpec("points", (2,)), width=32, depth=2)
    x = torch.randn(64, 2)
    values = measure(critic, x + 1, x)
    weights = [m.weight for m in critic.modules() if isinstance(m, nn.Linear)]
    product = torch.stack([torch.linalg.matrix_norm(w.detach(), 2) for w in weights]).prod()
    assert set(values) == ALL
    assert values["lipschitz/upper"] == pytest.approx(product.item(), rel=1e-5)
    assert values["lipschitz/lower"] < values["lipschitz/upper"]
    assert 0 < values["wasserstein/bound"] / values["wasserstein/per_slope"] < 1


LAYERS = {
    "same": nn.Conv2d(2, 3, 3, 1, 1),
    "strided": nn.Conv2d(2, 3, 4, 2, 1),
    "grouped": nn.Conv2d(2, 4, 3, padding=1, groups=2, padding_mode="circular"),
    "transposed": nn.ConvTranspose2d(2, 3, 4, 2, 1),
    "pooling": nn.AvgPool2d(2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_norm_of_a_convolution_is_that_of_its_operator(name: str) -> None:
    """Compared with the whole matrix; from above, and by little."""
    layer, x = LAYERS[name].double(), torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    matrix = torch.func.jacrev(lambda v: layer(v).flatten())(x).flatten(1)
    truth = torch.linalg.matrix_norm(matrix, 2).item()
    norm = operator_norm(layer, x, seed=0)
    assert truth <= norm <= 1.02 * truth
    if isinstance(layer, nn.Conv2d):  # and the norm of the reshaped kernel is another number
        kernel = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        assert abs(kernel / truth - 1) > 0.05


def test_a_convolutional_critic() -> None:
    critic = dcgan.Critic(SPEC, filters=4, norm="none", init="he")
    x = torch.rand(20, *SPEC.shape) * 2 - 1
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    values = measure(critic, x, -x, torch.arange(20))
    assert set(values) == ALL
    assert values["lipschitz/lower"] < values["lipschitz/upper"]
    # the same chain without activations is one matrix, whose norm the product bounds
    *convolutions, score = (m for m in critic.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    chain = nn.Sequential(*convolutions, nn.Flatten(), score)
    matrix = torch.func.jacrev(lambda v: chain(v).flatten())(x[:1])
    assert matrix.norm().item() <= values["lipschitz/upper"]
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())


def test_spectral_norm_makes_the_bound_one_and_is_left_alone() -> None:
    critic = Scores(
        spectral_norm(nn.Linear(4, 16), n_power_iterations=50), nn.LeakyReLU(0.2),
        spectral_norm(nn.Linear(16, 1), n_power_iterations=50),
    )  # fmt: skip
    buffers = [b.clone() for b in critic.buffers()]
    values = measure(critic, torch.randn(8, 4), torch.randn(8, 4))
    assert values["lipschitz/upper"] == pytest.approx(1.0, abs=1e-3)
    assert all(map(torch.equal, critic.buffers(), buffers)) and critic.training


class Branches(nn.Module):
    """x + relu(x): steeper than the product of its parts, 1."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.score = nn.ReLU(), nn.Linear(4, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(x + self.relu(x)).squeeze(1)


class Scaled(Scores):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return 5 * super().forward(x)


class OfLabels(Scores):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(x) if y is None else super().forward(x) * y


NOT_CHAINS = {
    "branches": Branches,
    "scaled": lambda: Scaled(nn.Linear(4, 1)),
    "labels": lambda: OfLabels(nn.Linear(4, 1)),
    "unknown activation": lambda: Scores(nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 1)),
    "layer norm": lambda: Scores(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 1)),
}


@pytest.mark.parametrize("name", NOT_CHAINS)
def test_no_upper_bound_where_none_is_proven(name: str) -> None:
    critic = NOT_CHAINS[name]()
    assert lipschitz_bound(critic.eval(), torch.randn(1, 4), seed=0) is None
    assert set(measure(critic, torch.randn(8, 4), torch.randn(8, 4), torch.ones(8))) == BOTH


def test_a_residual_critic_has_a_lower_bound_alone() -> None:
    critic = resnet.Critic(SPEC, filters=4)
    x = torch.rand(8, *SPEC.shape)
    assert set(measure(critic, x, 1 - x)) == BOTH


def test_batch_norm_is_no_function_of_a_sample() -> None:
    critic = dcgan.Critic(SPEC, filters=4, norm="batch")
    x = torch.rand(8, *SPEC.shape)
    assert measure(critic, x, 1 - x) == {}
    assert measure(mlp.Critic(SPEC, width=4), x[:3], x[:3]) == {}  # too few to tell
    diverged = mlp.Critic(SPEC, width=4)
    nn.init.constant_(next(diverged.parameters()), float("nan"))
    assert measure(diverged, x, 1 - x) == {}


def test_a_module_may_tell_its_constant() -> None:
    class Triple(nn.Module):
        lipschitz = 3.0

        def forward(self, x: Tensor) -> Tensor:
            return 3 * x.abs()

    critic = Scores(nn.Linear(4, 1, bias=False), Triple()).eval()
    bound = lipschitz_bound(critic, torch.randn(1, 4), seed=0)
    assert bound == pytest.approx(3 * critic.layers[0].weight.norm().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("command", "tags"),
    [(("model=mlp", "model.width=16"), ALL), (("model.filters=4",), ALL),
     (("model.filters=4", "objective=ns_gan"), set())],
    ids=["mlp", "dcgan", "batch norm"],
)  # fmt: skip
def test_in_a_run(engine: Callable[..., Engine], command: tuple[str, ...], tags: set) -> None:
    built = engine(*command)
    fake = built.nets.generator(built.runs[0].noise.z).detach()
    snapshot = Snapshot(
        built.nets, built.runs[0].spec, built.runs[0].heldout, fake, fake, built.runs[0].noise
    )
    found = {
        t for e in built.runs[0].metrics if isinstance(e, LipschitzOfCritic) for t in e(snapshot)
    }
    assert found == tags

"""Bounds on the critic's Lipschitz constant, and Wasserstein estimates normalized by them.

E f(x) - E f(G(z)) is at most Lip(f) * W1. Divided by an upper bound on Lip(f) it is a lower bound
on W1. Divided by the steepest slope that is observed it is a ratio without a guarantee, because
the steepest observed slope is below Lip(f). The ratio falls as more slopes are observed.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from math import log, sqrt
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import grad
from torch.nn.utils.parametrize import type_before_parametrizations

from gan_runner.core import EvalContext, Snapshot, is_per_sample
from gan_runner.metrics.critic import partners, scores, slopes

_FEWEST = 4  # held-out samples that a test of per-sample critics needs
_STEPS = 60  # steps of the Lanczos iteration
_RISK = 1e-6  # probability that the bound on a norm does not hold

_QUANTILE = 0.99  # of the slopes, beside the maximum, which one steep spot decides
_TAGS = (
    "lipschitz/lower", "lipschitz/slope_q99", "lipschitz/upper", "wasserstein/per_slope",
    "wasserstein/per_slope_q99", "wasserstein/bound",
)  # fmt: skip

_LINEAR = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip
_ONE_LIPSCHITZ = (
    nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Identity, nn.Flatten,
    nn.Unflatten, nn.ZeroPad2d,
)  # fmt: skip
_RESHAPES = ("flatten", "squeeze", "unsqueeze", "reshape", "view")
_FUNCTIONS = (torch.flatten, torch.squeeze, torch.relu, torch.tanh, nn.functional.relu)


class LipschitzOfCritic:
    """Bounds on the critic's Lipschitz constant, and the held-out Wasserstein estimate over each.

    lipschitz/lower: the largest |grad f(x)|_2 at held-out data, at samples and between them.
    lipschitz/upper: the product of the layers' Lipschitz constants (Miyato et al. 2018, section
        2.1), which are spectral norms; for a convolution, of the operator on maps of that size.
    lipschitz/slope_q99: the 99% quantile of the same slopes.
    wasserstein/per_slope: (E f(x) - E f(G(z))) / lower, a ratio that bounds W1 on neither side.
    wasserstein/per_slope_q99: the ratio to the 99% quantile, which one steep spot does not decide.
    wasserstein/bound: (E f(x) - E f(G(z))) / upper, a lower bound on W1(data, samples).

    A critic that is not per-sample (batch norm) gets no value. An upper bound needs a chain of
    layers and activations with known constants; other networks, such as residual ones, get none. A
    module that is not torch's states its constant in an attribute `lipschitz`.
    """

    def __init__(self, context: EvalContext) -> None:
        self.batch_size, self.seed = context.batch_size, context.seed
        provenance = {**context.reference, "generator": "raw", "seed": context.seed}
        self.provenance = (
            dict.fromkeys(_TAGS, provenance) if len(context.heldout.x) >= _FEWEST else {}
        )

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute the bounds and estimates for a snapshot."""
        x, y = snapshot.heldout.x, snapshot.heldout.y
        fake = snapshot.samples[: len(x)]
        labels = y if snapshot.labels is None else snapshot.labels[: len(x)]
        probe = (x[:8], None if y is None else y[:8])
        finite = all(w.isfinite().all() for w in snapshot.nets.critic.parameters())
        if not finite or not is_per_sample(snapshot.nets.critic, *probe):
            return {}
        critic = deepcopy(snapshot.nets.critic).eval()  # spectral norm iterates whenever it trains
        rows = torch.Generator().manual_seed(self.seed)
        eps = torch.rand(len(x), *[1] * (x.ndim - 1), generator=rows).to(x.device)
        places = ((x, y), (fake, labels), (eps * x + (1 - eps) * fake[partners(y, labels)], y))
        size = self.batch_size
        found = torch.cat([slopes(critic, *place, batch_size=size) for place in places])
        with torch.no_grad():
            r, f = (scores(critic, *place, batch_size=size).mean() for place in places[:2])
        estimate, lower = (r - f).item(), found.max().item()
        most = found.quantile(_QUANTILE).item()
        upper = lipschitz_bound(critic, x[:1], seed=self.seed)
        values = {
            "lipschitz/lower": lower, "lipschitz/slope_q99": most, "lipschitz/upper": upper,
        }  # fmt: skip
        if lower > 0:
            values["wasserstein/per_slope"] = estimate / lower
        if most > 0:
            values["wasserstein/per_slope_q99"] = estimate / most
        if upper:
            values["wasserstein/bound"] = estimate / upper
        return {tag: value for tag, value in values.items() if value is not None}


def lipschitz_bound(network: nn.Module, x: Tensor, *, seed: int) -> float | None:
    """Return an upper bound on a network's Lipschitz constant, or None if none can be proved.

    The bound comes from a symbolic trace. Each step must be a layer, an activation or a reshaping
    whose only input is the output of the previous step.

    Args:
        network: network in evaluation mode; it is not changed.
        x: one sample (1, *shape), for the sizes.
        seed: seed of the search for the norms of convolutions.
    """
    network = deepcopy(network).double().requires_grad_(False)
    try:
        graph = _Tracer().trace(network)
    except (fx.proxy.TraceError, AttributeError, RuntimeError, TypeError, ValueError):
        return None  # a forward pass that cannot be traced is not a chain
    inputs, bound = x.double(), 1.0
    nodes = [node for node in graph.nodes if node.op != "placeholder" or node.users]
    for before, node in pairwise(nodes):
        if node.all_input_nodes != [before] or len(before.users) != 1:
            return None
        if node.op == "output":
            return bound
        step = _step(network, node)
        if step is None:
            return None
        outputs = step(inputs)
        bound *= _constant(step, inputs, seed) if isinstance(step, nn.Module) else 1.0
        inputs = outputs
    return None


class _Tracer(fx.Tracer):
    """Tracer that treats each module without children, torch's or not, as a leaf."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(m.children()) or super().is_leaf_module(m, module_qualified_name)


def _step(network: nn.Module, node: fx.Node) -> Any:
    """Return the module of known constant, or the 1-Lipschitz function, that a node calls."""
    _, *args = node.args or (None,)
    if node.op == "call_method" and node.target in _RESHAPES:
        return lambda x: getattr(x, str(node.target))(*args, **node.kwargs)
    if node.op == "call_function" and node.target in _FUNCTIONS:
        return lambda x: node.target(x, *args, **node.kwargs)
    if node.op != "call_module":
        return None
    module = network.get_submodule(str(node.target))
    kind = type_before_parametrizations(module)
    supported = (nn.Linear, nn.LeakyReLU, nn.ELU, *_LINEAR, *_ONE_LIPSCHITZ)
    return module if kind in supported or hasattr(module, "lipschitz") else None


def _constant(module: Any, x: Tensor, seed: int) -> float:
    """Return the Lipschitz constant of a module on inputs of the shape of x."""
    kind = type_before_parametrizations(module)
    if hasattr(module, "lipschitz"):
        return float(module.lipschitz)
    if kind is nn.Linear:
        return _spectral_norm(module.weight)
    if kind in _LINEAR:
        return operator_norm(module, x, seed=seed)
    if kind is nn.LeakyReLU:
        return max(1.0, abs(module.negative_slope))
    return max(1.0, module.alpha) if kind is nn.ELU else 1.0


def _spectral_norm(matrix: Tensor) -> float:
    """Compute the largest singular value from the smaller of the two Gram matrices."""
    flat = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return sqrt(max(0.0, torch.linalg.eigvalsh(flat @ flat.T)[-1].item()))


def operator_norm(layer: nn.Module, x: Tensor, *, seed: int) -> float:
    """Return an upper bound on the spectral norm of an affine layer's linear part.

    The layer acts on inputs of the shape of x. Lanczos iteration on A^T A from a random start
    approaches the largest eigenvalue from below. Let n be the numbers in an input and k the steps.
    A shortfall by a share eps or more has a probability of at most
    1.648 sqrt(n) exp(-sqrt(eps) (2k - 1)) (Kuczynski & Wozniakowski 1992, theorem 4.2). The result
    is enlarged by the share whose probability is one in a million: about one percent.

    Args:
        layer: affine layer.
        x: one input, for the size.
        seed: seed of the start vector.
    """
    zero = torch.zeros_like(x)

    def energy(v: Tensor) -> Tensor:
        return 0.5 * (layer(v) - layer(zero)).square().sum()

    start = torch.randn(x.numel(), generator=torch.Generator().manual_seed(seed))
    basis = [start.to(x) / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(_STEPS, x.numel())):
        image = grad(energy)(basis[-1].view_as(x)).flatten()  # A^T A v
        diagonal.append((image @ basis[-1]).item())
        directions = torch.stack(basis)
        for _ in range(2):  # one pass leaves a rounding error that grows with the steps
            image = image - (directions @ image) @ directions
        beside.append(image.norm().item())
        if beside[-1] <= 1e-12 * max(diagonal):
            break
        basis.append(image / beside[-1])
    off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    projected = torch.tensor(diagonal, dtype=torch.float64).diag() + off.diag(1) + off.diag(-1)
    largest = torch.linalg.eigvalsh(projected)[-1].item()
    short = (log(1.648 * sqrt(x.numel()) / _RISK) / (2 * _STEPS - 1)) ** 2
    return sqrt(max(0.0, largest) / (1 - short))

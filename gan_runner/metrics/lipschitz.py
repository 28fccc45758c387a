"""How steep the critic is at least and at most, and what its Wasserstein estimate is worth.

E f(x) - E f(G(z)) is at most Lip(f) * W1. Divided by a bound on Lip(f) from above it is a bound on
W1 from below; divided by the steepest slope that is found it is an estimate that can be compared
over objectives, however steep they let their critics become.
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
from gan_runner.metrics.critic import scores, slopes

_FEWEST = 4  # held-out samples: fewer do not show whether rows are independent
_STEPS = 60  # of the Lanczos iteration
_RISK = 1e-6  # probability that the bound on a norm is none

_TAGS = ("lipschitz/lower", "lipschitz/upper", "wasserstein/per_slope", "wasserstein/bound")

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
    """Bounds on the critic's Lipschitz constant, and its held-out Wasserstein estimate over each.

    lipschitz/lower: the largest |grad f(x)|_2 at held-out data, at samples and between them.
    lipschitz/upper: the product of the layers' Lipschitz constants (Miyato et al. 2018, section
        2.1); spectral norms, for convolutions those of the operator on maps of that size.
    wasserstein/per_slope: (E f(x) - E f(G(z))) / lower, an estimate of W1.
    wasserstein/bound: (E f(x) - E f(G(z))) / upper, at most the W1 between data and samples.

    A critic that scores a row by the other rows of its batch too (batch norm) is no function of a
    sample and gets no value. An upper bound needs a chain of layers and activations whose constants
    are known; other networks, such as residual ones, get none. A module that is none of torch's
    tells its constant in an attribute `lipschitz`.
    """

    def __init__(self, context: EvalContext) -> None:
        self.batch_size, self.seed = context.batch_size, context.seed
        provenance = {**context.reference, "generator": "raw", "seed": context.seed}
        self.provenance = (
            dict.fromkeys(_TAGS, provenance) if len(context.heldout.x) >= _FEWEST else {}
        )

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Measure a view."""
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
        places = ((x, y), (fake, labels), (eps * x + (1 - eps) * fake, y))
        size = self.batch_size
        found = [slopes(critic, *place, batch_size=size).max() for place in places]
        with torch.no_grad():
            r, f = (scores(critic, *place, batch_size=size).mean() for place in places[:2])
        estimate, lower = (r - f).item(), torch.stack(found).max().item()
        upper = lipschitz_bound(critic, x[:1], seed=self.seed)
        values = {"lipschitz/lower": lower, "lipschitz/upper": upper}
        if lower > 0:
            values["wasserstein/per_slope"] = estimate / lower
        if upper:
            values["wasserstein/bound"] = estimate / upper
        return {tag: value for tag, value in values.items() if value is not None}


def lipschitz_bound(network: nn.Module, x: Tensor, *, seed: int) -> float | None:
    """An upper bound on a network's Lipschitz constant; None if its structure proves none.

    The network is traced, not tried: each step must be a layer, an activation or a reshaping of
    what the step before it made, and of nothing else.

    Args:
        network: in evaluation mode; it is left as it is.
        x: one sample (1, *shape), for the sizes.
        seed: of the search for the norms of convolutions.
    """
    network = deepcopy(network).double().requires_grad_(False)
    try:
        graph = _Tracer().trace(network)
    except (fx.proxy.TraceError, AttributeError, RuntimeError, TypeError, ValueError):
        return None  # whatever its forward does, it is no chain
    at, bound = x.double(), 1.0
    nodes = [node for node in graph.nodes if node.op != "placeholder" or node.users]
    for before, node in pairwise(nodes):
        if node.all_input_nodes != [before] or len(before.users) != 1:
            return None
        if node.op == "output":
            return bound
        step = _step(network, node)
        if step is None:
            return None
        after = step(at)
        bound *= _constant(step, at, seed) if isinstance(step, nn.Module) else 1.0
        at = after
    return None


class _Tracer(fx.Tracer):
    """Stops at modules that have no modules of their own, whoever wrote them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(m.children()) or super().is_leaf_module(m, module_qualified_name)


def _step(network: nn.Module, node: fx.Node) -> Any:
    """The module of a known constant, or the function that stretches nothing, that a node calls."""
    _, *args = node.args or (None,)
    if node.op == "call_method" and node.target in _RESHAPES:
        return lambda x: getattr(x, str(node.target))(*args, **node.kwargs)
    if node.op == "call_function" and node.target in _FUNCTIONS:
        return lambda x: node.target(x, *args, **node.kwargs)
    if node.op != "call_module":
        return None
    module = network.get_submodule(str(node.target))
    kind = type_before_parametrizations(module)
    known = (nn.Linear, nn.LeakyReLU, nn.ELU, *_LINEAR, *_ONE_LIPSCHITZ)
    return module if kind in known or hasattr(module, "lipschitz") else None


def _constant(module: Any, x: Tensor, seed: int) -> float:
    """Lipschitz constant of a module on inputs of the shape of x."""
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
    """Largest singular value, from the smaller of the two Gram matrices."""
    flat = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return sqrt(max(0.0, torch.linalg.eigvalsh(flat @ flat.T)[-1].item()))


def operator_norm(layer: nn.Module, x: Tensor, *, seed: int) -> float:
    """Spectral norm of an affine layer's linear part on inputs of the shape of x, from above.

    Lanczos iteration on A^T A from a random start. It finds the largest eigenvalue from below;
    with n numbers in an input and k steps it falls short by a share eps or more with a probability
    of at most 1.648 sqrt(n) exp(-sqrt(eps) (2k - 1)) (Kuczynski & Wozniakowski 1992, theorem 4.2).
    The result is enlarged by the share whose probability is one in a million: about one percent.

    Args:
        layer: affine.
        x: one input, for the size.
        seed: of the start.
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
        made = torch.stack(basis)
        for _ in range(2):  # once leaves a rounding error that grows with the steps
            image = image - (made @ image) @ made
        beside.append(image.norm().item())
        if beside[-1] <= 1e-12 * max(diagonal):
            break
        basis.append(image / beside[-1])
    off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    projected = torch.tensor(diagonal, dtype=torch.float64).diag() + off.diag(1) + off.diag(-1)
    largest = torch.linalg.eigvalsh(projected)[-1].item()
    short = (log(1.648 * sqrt(x.numel()) / _RISK) / (2 * _STEPS - 1)) ** 2
    return sqrt(max(0.0, largest) / (1 - short))

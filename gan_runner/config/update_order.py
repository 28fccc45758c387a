"""The order of updates that an optimizer card names, and checks of what it is combined with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from gan_runner.config.instantiate import instantiate
from gan_runner.objectives.objective import Objective
from gan_runner.optim.sghmc import SGHMC
from gan_runner.training.orders import BASES, ORDERS, Lookahead, Unrolled
from gan_runner.training.step import Iteration, extragradient, simultaneous
from gan_runner.training.update import needs_closure


def order_of(node: Any) -> Iteration:
    """Return the order of a name or of a checked node with keys, such as lookahead's.

    Raises:
        ValueError: the node names something else.
    """
    order = ORDERS[node] if isinstance(node, str) else instantiate(node)
    if order not in ORDERS.values() and not isinstance(order, Lookahead | Unrolled):
        raise ValueError(
            f"optimizer.order._target_={node['_target_']}: is not an order of updates; set"
            f" optimizer.order to one of: {', '.join(ORDERS)}"
        )
    checked: Iteration = order
    return checked


def check_update_order(
    order: Iteration, objective: Objective, optimizers: Mapping[str, Optimizer]
) -> None:
    """Check that an order of updates fits both optimizers and the objective.

    Raises:
        ValueError: it does not; the message names the keys, the reason and the fix.
    """
    base = BASES[order.base] if isinstance(order, Lookahead) else order
    looks = base is extragradient
    key = f"optimizer.order={_name_of(order)}"
    base_key = f"optimizer.order.base={_name_of(base)}" if isinstance(order, Lookahead) else key
    for player, optimizer in optimizers.items():
        name = f"optimizer.{player}={type(optimizer).__name__}"
        _check_look_ahead(base_key, looks, name, optimizer)
        _check_closure(base_key, base, name, optimizer)
        if isinstance(order, Lookahead) and isinstance(optimizer, SGHMC):
            raise ValueError(
                f"{key}: {name} samples weights, and an average of samples is not a sample; set"
                " optimizer.order=alternating"
            )
    if base in (simultaneous, extragradient) and objective.n_generator > 1:
        raise ValueError(
            f"objective.n_generator={objective.n_generator}: {base_key} moves both players at once;"
            " set objective.n_generator=1 or optimizer.order=alternating"
        )
    if isinstance(order, Unrolled) and objective.constraint is not None:
        raise ValueError(
            f"{key}: the inner steps of the critic have no projection, which objective.constraint"
            " needs after each step; set objective.constraint=null or optimizer.order=alternating"
        )


def _check_look_ahead(key: str, looks: bool, name: str, optimizer: Optimizer) -> None:
    can = hasattr(optimizer, "extrapolate")
    if looks and not can:
        raise ValueError(
            f"{key}: {name} cannot look ahead; set optimizer=extragradient or extra_adam, or their"
            " targets in both players' nodes"
        )
    if can and not looks:
        raise ValueError(
            f"{key}: {name} looks ahead before each step, which this order does not; set"
            f" {key.partition('=')[0]}=extragradient, or optimizer=sgd or adam"
        )


def _check_closure(key: str, base: Iteration, name: str, optimizer: Optimizer) -> None:
    """Refuse an optimizer that evaluates the loss itself where both players move at once."""
    if needs_closure(optimizer) and base not in (BASES["alternating"], BASES["generator_first"]):
        raise ValueError(
            f"{key}: {name} evaluates its loss during a step, but this order gives it one gradient;"
            " set optimizer.order=alternating"
        )


def _name_of(order: Any) -> str:
    """Return the name of an order, also of one whose keys were set."""
    names = {value: name for name, value in ORDERS.items()}
    return names.get(order) or type(order).__name__.lower()

"""Schedules, limits and averages of a run from the nodes `schedule`, `limits` and `averages`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, MutableMapping

from torch.optim import Optimizer

from gan_runner.config.instantiate import instantiate
from gan_runner.config.signature import ConfigTree
from gan_runner.config.words import suggestion
from gan_runner.objectives.objective import Objective
from gan_runner.optim.adam import with_tensor_betas
from gan_runner.optim.limits import Limits
from gan_runner.optim.schedules import (
    LearningRateSchedule,
    Schedule,
    Scheduled,
    Schedules,
    SecondMomentSchedule,
    WeightSchedule,
    constant,
)
from gan_runner.training.ema import AveragingRule
from gan_runner.training.replicas import StackedEngine
from gan_runner.training.update import takes_closure

_PLAYERS = ("critic", "generator")
_TERMS = ("critic_terms", "generator_terms")
_FAR = 10**9  # a step after the end of every schedule


def schedule_and_limit(
    config: ConfigTree,
    objective: Objective,
    optimizers: MutableMapping[str, Optimizer],
    *,
    steps: int,
) -> Schedules | None:
    """Build the schedules of a run, then attach its limits to the optimizers."""
    schedules = schedules_of(config["schedule"], objective, optimizers, steps=steps)
    limit(config["limits"], optimizers)
    return schedules


def schedules_of(
    nodes: ConfigTree,
    objective: Objective,
    optimizers: MutableMapping[str, Optimizer],
    *,
    steps: int,
) -> Schedules | None:
    """Build everything that follows a schedule; None where nothing does.

    Args:
        nodes: `critic` and `generator` for the learning rates, `beta2` for both players' Adam,
            `critic_terms` and `generator_terms` for the weights of terms by name.
        objective: has the weights.
        optimizers: by player; an Adam on a GPU whose beta2 follows a schedule is replaced.
        steps: iterations of the run.

    Raises:
        ValueError: an unknown key, a schedule that has no value, or nothing that could follow it.
    """
    schedules = Schedules()
    for key, node in _leaves(nodes):
        try:
            schedule = _schedule(node, steps, is_rate=key in _PLAYERS)
            if getattr(schedule, "func", schedule) is not constant or key not in _PLAYERS:
                schedules.parts |= _parts(key, schedule, objective, optimizers)
        except ValueError as error:
            raise ValueError(_schedule_fault(key, nodes, str(error))) from error
    return schedules if schedules.parts else None


def limit(nodes: ConfigTree, optimizers: Mapping[str, Optimizer], *, batch_dims: int = 0) -> None:
    """Attach the limits of the nodes `critic` and `generator` to the players' optimizers.

    Raises:
        ValueError: an unknown key, or a node that is not `optim.limits.Limits`.
    """
    _check_keys(nodes, "limits", _PLAYERS)
    for player, node in nodes.items():
        limits = instantiate(node)
        if not isinstance(limits, Limits):
            raise ValueError(f"limits.{player}: should name gan_runner.optim.limits.Limits")
        clips = limits.max_grad_norm is not None or limits.max_grad_value is not None
        if clips and takes_closure(optimizers[player]):
            name = type(optimizers[player]).__name__
            raise ValueError(
                f"limits.{player}: {name} computes its gradients within a step, where nothing clips"
                " them; set max_grad_norm and max_grad_value to null"
            )
        limits.attach(optimizers[player], batch_dims=batch_dims)


def limit_stacked(nodes: ConfigTree, engine: StackedEngine) -> StackedEngine:
    """Attach the limits to the stacked optimizers of replicas, each replica for itself."""
    stacked = (optimizer.stacked for optimizer in engine.optimizers)
    limit(nodes, dict(zip(_PLAYERS, stacked, strict=True)), batch_dims=1)
    return engine


def averages_of(nodes: ConfigTree) -> dict[str, AveragingRule]:
    """Build the rules of the generator's averages by name; the first is that of the metrics.

    Raises:
        ValueError: a node that is not a rule.
    """
    rules = {name: instantiate(node) for name, node in nodes.items()}
    for name, rule in rules.items():
        if not callable(rule):
            raise ValueError(f"averages.{name}: should name a rule of gan_runner.training.ema")
    return rules


def _schedule_fault(key: str, nodes: ConfigTree, message: str) -> str:
    """Return a schedule's error with its key: the shared one where both players have the value.

    Args:
        key: of the schedule, such as "critic".
        nodes: of all schedules.
        message: of the error; `NAME=VALUE: ...` where it is about an argument.
    """
    name = message.partition("=")[0]
    if not name.isidentifier():
        return f"schedule.{key}: {message}"
    values = [(nodes.get(player) or {}).get(name) for player in _PLAYERS]
    shared = key in _PLAYERS and values[0] == values[1]
    return f"schedule.{message}" if shared else f"schedule.{key}.{message}"


def _leaves(nodes: ConfigTree) -> Iterator[tuple[str, ConfigTree]]:
    """Yield the schedules by key; those of terms have keys such as "critic_terms.r1"."""
    _check_keys(nodes, "schedule", (*_PLAYERS, "beta2", *_TERMS))
    for key, node in nodes.items():
        if key in _TERMS:
            yield from ((f"{key}.{name}", child) for name, child in node.items())
        else:
            yield key, node


def _check_keys(nodes: ConfigTree, group: str, valid: tuple[str, ...]) -> None:
    for key in nodes:
        if key not in valid:
            raise ValueError(f"{group}.{key}: no such key{suggestion(key, valid, group)}")


def _schedule(node: ConfigTree, steps: int, *, is_rate: bool) -> Schedule:
    """Build a schedule and evaluate it at the first and the last iteration."""
    schedule: Schedule = instantiate(node)
    if not callable(schedule):
        raise ValueError("its node lacks _partial_: true")
    schedule(0)
    if is_rate and steps and schedule(steps - 1) == 0:
        warnings.warn(
            f"the learning rate is 0 before trainer.steps={steps}; set schedule.steps={steps}",
            stacklevel=2,
        )
    return schedule


def _parts(
    key: str,
    schedule: Schedule,
    objective: Objective,
    optimizers: MutableMapping[str, Optimizer],
) -> dict[str, Scheduled]:
    """Return what follows the schedule of a key, by the tag of its curve."""
    if key in _PLAYERS:
        return {f"lr/{key}": LearningRateSchedule(optimizers[key], schedule)}
    if key == "beta2":
        if not all(0 <= schedule(step) < 1 for step in (0, _FAR)):
            raise ValueError("should have values in [0, 1); set `first` and `last`")
        for player in _PLAYERS:
            optimizers[player] = with_tensor_betas(optimizers[player])
        return {f"beta2/{p}": SecondMomentSchedule(optimizers[p], schedule) for p in _PLAYERS}
    group, _, name = key.partition(".")
    player = group.removesuffix("_terms")
    device = optimizers[player].param_groups[0]["params"][0].device
    weight = objective.schedule_weight(name, player=player, device=device)
    prefix = {"critic": "weight", "generator": "weight/generator"}[player]
    return {f"{prefix}/{name}": WeightSchedule(weight, schedule)}

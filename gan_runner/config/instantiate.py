"""Networks from the nodes of a model, with the heads that the objective adds.

This is the only module that instantiates configuration nodes; `signature.check` has checked them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import nn

from gan_runner.config import compatibility
from gan_runner.config.signature import ConfigTree
from gan_runner.core import DataSpec, Nets, forward_without_buffer_updates
from gan_runner.models import ensemble
from gan_runner.models.norms import has_spectral_norm
from gan_runner.objectives.objective import Objective

_DIRECTIVES = ("_target_", "_partial_")


def instantiate(node: ConfigTree, *args: Any) -> Any:
    """Call the target of a checked node with its arguments, in which nodes are instantiated first.

    Values are taken as they stand: nothing is imported, interpolated or converted here.

    Args:
        node: from `signature.check`; with `_partial_: true`, the call is left to the caller.
        args: positional arguments of the target.

    Raises:
        ValueError: the target lacks a positional argument.
    """
    function = node["_target_"].function
    arguments = {key: _argument(v) for key, v in node.items() if key not in _DIRECTIVES}
    if node.get("_partial_"):
        return partial(function, *args, **arguments)
    try:
        inspect.signature(function).bind(*args, **arguments)
    except TypeError as error:
        raise ValueError(
            f"{node['_target_']} cannot be called ({error}); is _partial_: true missing?"
        ) from error
    return function(*args, **arguments)


def _argument(value: Any) -> Any:
    if isinstance(value, dict):
        if "_target_" in value:
            return instantiate(value)
        return {key: _argument(child) for key, child in value.items()}
    return [_argument(child) for child in value] if isinstance(value, list) else value


def networks(
    model: ConfigTree, objective: Objective, spec: DataSpec, seeds: Mapping[str, int]
) -> Nets:
    """Build both players and the generator's EMA from the nodes `generator` and `critic`."""
    torch.manual_seed(seeds["generator"])  # a seed each: sizes do not affect other networks
    generator = generator_of(model["generator"], objective, spec)
    torch.manual_seed(seeds["critic"])
    critic = critic_of(model["critic"], objective, spec)
    if has_spectral_norm(critic):
        objective.note_lipschitz_critic()
    torch.manual_seed(seeds["heads"])
    add_heads(critic, objective, latent_dim=latent_dim_of(generator), spec=spec)
    average = deepcopy(generator).eval().requires_grad_(False)
    return Nets(generator, critic, average)


def generator_of(node: ConfigTree, objective: Objective, spec: DataSpec) -> nn.Module:
    """Build a generator, or a mixture of generators, for samples as in `spec`."""
    members = [instantiate(node, spec) for _ in range(objective.generators)]
    return members[0] if len(members) == 1 else ensemble.Generator(members)


def critic_of(node: ConfigTree, objective: Objective, spec: DataSpec) -> nn.Module:
    """Build a critic, or an ensemble of critics, for samples as in `spec`."""
    members = [instantiate(node, spec) for _ in range(objective.critics)]
    return members[0] if len(members) == 1 else ensemble.Critic(members)


def add_heads(critic: nn.Module, objective: Objective, *, latent_dim: int, spec: DataSpec) -> None:
    """Add an objective's heads on the critic's last hidden layer.

    Raises:
        ValueError: the critic has no module `features`, or has a module with the name of a head.
    """
    compatibility.check_features(objective, critic)
    if not objective.heads:
        return
    x, y = torch.zeros(2, *spec.shape), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        width = forward_without_buffer_updates(critic.get_submodule("features"), x, y).shape[1]
    for name, make in objective.heads.items():
        if hasattr(critic, name):
            raise ValueError(
                f"objective.heads.{name}: the critic has a module of that name; rename the head"
            )
        critic.add_module(name, make(width, latent_dim, spec))


def latent_dim_of(generator: nn.Module) -> int:
    """Return the size of the noise that a generator takes."""
    return int(generator.latent_dim)  # type: ignore[arg-type]  # every generator has one


def set_memory_format(nets: Nets, device: torch.device, dtype: torch.dtype | None) -> None:
    """Set channels-last memory format, except for a float32 critic on a CPU.

    Convolutions are fastest with channels last. In float32 on a CPU, weight gradients, above all
    those of a penalty, are faster with channels first.
    """
    first = device.type == "cpu" and dtype is None
    nets.critic.to(memory_format=torch.contiguous_format if first else torch.channels_last)
    for network in (nets.generator, nets.generator_ema):
        network.to(memory_format=torch.channels_last)

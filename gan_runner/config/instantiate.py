"""From the nodes of a model to its networks, with what the objective adds to them.

The only place that instantiates a node of a configuration, which by then has been checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import hydra.utils
import torch
from hydra.errors import InstantiationException
from torch import nn

from gan_runner.config import compatibility
from gan_runner.config.signature import ConfigTree
from gan_runner.core import DataSpec, Nets, forward_without_buffer_updates
from gan_runner.models import ensemble
from gan_runner.objectives.objective import Objective


def instantiate(node: ConfigTree, *args: Any) -> Any:
    """Instantiate a checked node; errors of the target come as they were raised."""
    try:
        return hydra.utils.instantiate(node, *args, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, TypeError):  # the node lacks what its target takes by position
            raise ValueError(
                f"{node['_target_']} cannot be called ({cause}); is _partial_: true missing?"
            ) from error
        raise cause from error


def networks(
    model: ConfigTree, objective: Objective, spec: DataSpec, seeds: Mapping[str, int]
) -> Nets:
    """Both players and the generator's average, from the nodes `generator` and `critic`."""
    torch.manual_seed(seeds["generator"])  # apart: one's size leaves the other's weights be
    generator = generator_of(model["generator"], objective, spec)
    torch.manual_seed(seeds["critic"])
    critic = critic_of(model["critic"], objective, spec)
    torch.manual_seed(seeds["heads"])
    add_heads(critic, objective, latent_dim=latent_dim_of(generator), spec=spec)
    average = deepcopy(generator).eval().requires_grad_(False)
    return Nets(generator, critic, average)


def generator_of(node: ConfigTree, objective: Objective, spec: DataSpec) -> nn.Module:
    """Instantiate a generator's node for data of some shape, or a mixture of generators."""
    members = [instantiate(node, spec) for _ in range(objective.generators)]
    return members[0] if len(members) == 1 else ensemble.Generator(members)


def critic_of(node: ConfigTree, objective: Objective, spec: DataSpec) -> nn.Module:
    """Instantiate a critic's node for data of some shape, or an ensemble of critics."""
    members = [instantiate(node, spec) for _ in range(objective.critics)]
    return members[0] if len(members) == 1 else ensemble.Critic(members)


def add_heads(critic: nn.Module, objective: Objective, *, latent_dim: int, spec: DataSpec) -> None:
    """Add the networks that an objective wants on the critic's last hidden layer.

    Raises:
        ValueError: the critic does not show that layer, or has a part of such a name.
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
                f"objective.heads.{name}: the critic has a part of that name; rename it"
            )
        critic.add_module(name, make(width, latent_dim, spec))


def latent_dim_of(generator: nn.Module) -> int:
    """Size of the noise that a generator takes."""
    return int(generator.latent_dim)  # type: ignore[arg-type]  # every generator has one


def set_memory_format(nets: Nets, device: torch.device, dtype: torch.dtype | None) -> None:
    """Channels last, which convolutions are fastest in, but for a critic in float32 on a CPU.

    There the weights' gradients, most of all those of a penalty, are faster with channels first.
    """
    first = device.type == "cpu" and dtype is None
    nets.critic.to(memory_format=torch.contiguous_format if first else torch.channels_last)
    for network in (nets.generator, nets.generator_ema):
        network.to(memory_format=torch.channels_last)

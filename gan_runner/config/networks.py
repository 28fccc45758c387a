"""Networks from the nodes of a model, with the heads that the objective adds."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import nn

from gan_runner.config import compatibility
from gan_runner.config.instantiate import instantiate
from gan_runner.config.signature import ConfigTree
from gan_runner.core import DataSpec, Nets, forward_without_buffer_updates
from gan_runner.models import ensemble
from gan_runner.objectives.objective import Objective


def networks(
    model: ConfigTree, objective: Objective, spec: DataSpec, seeds: Mapping[str, int]
) -> Nets:
    """Build both players and the generator's EMA from the nodes `generator` and `critic`."""
    torch.manual_seed(seeds["generator"])  # a seed each: sizes do not affect other networks
    generator = generator_of(model["generator"], objective, spec)
    torch.manual_seed(seeds["critic"])
    critic = critic_of(model["critic"], objective, spec)
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

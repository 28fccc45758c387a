"""From a composed configuration to a trainer: the configuration ends here.

Every node is checked before anything is built; then data, networks, objective and optimizers are
instantiated in this order, each given the facts that the former established.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import yaml
from annotated_types import Ge
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from torch import nn
from torch.optim import Optimizer

from gan_runner import checks, schema
from gan_runner.core import Dataset, DataSpec, Evaluator, Nets
from gan_runner.data.stream import Stream, held_out
from gan_runner.metrics.critic import CriticOnHeldOut
from gan_runner.metrics.divergence import ProbeJensenShannon
from gan_runner.metrics.pictures import paint_images, paint_points
from gan_runner.objectives.adversarial import Objective
from gan_runner.objectives.priors import gaussian
from gan_runner.schema import Tree
from gan_runner.training import update
from gan_runner.training.device import be_deterministic, device_name, resolve_device
from gan_runner.training.provenance import versions
from gan_runner.training.trainer import Settings, Trainer

_INTERPOLATION = re.compile(r"^\$\{(\.*)([\w.]+)\}$")


def build(cfg: DictConfig) -> Trainer:
    """Build everything that a run needs; nothing is written.

    Raises:
        ValueError: the configuration is wrong, contradicts itself or does not fit the data or the
            machine; the message names the keys and the fix.
    """
    config = checked(cfg)
    device = resolve_device(config["device"])
    be_deterministic(config["deterministic"])
    settings: Settings = _make(config["trainer"])
    dataset: Dataset = _make(config["dataset"])
    seeds = _seeds(
        config["seed"], ("generator", "critic", "stream", "heldout", "noise", "training")
    )

    objective: Objective = _make(config["objective"])
    nets = _networks(config["model"], dataset.spec, seeds, device)
    optimizers = _optimizers(config["optimizer"], nets)
    evaluators: list[Evaluator] = [
        CriticOnHeldOut(batch_size=settings.batch_size, seed=seeds["heldout"]),
        ProbeJensenShannon(seed=config["seed"] % 2**31),
    ]
    checks.check(objective, nets, optimizers, settings, evaluators, len(dataset.heldout.x))
    stream = Stream(
        dataset.train, batch_size=settings.batch_size, seed=seeds["stream"], device=device
    )
    heldout = held_out(dataset.heldout, settings.n_eval, device=device, seed=seeds["heldout"])
    latent_dim = int(nets.generator.latent_dim)  # type: ignore[arg-type]  # every generator has one
    fixed = torch.Generator().manual_seed(seeds["noise"])
    noise = gaussian(settings.n_eval, latent_dim, device=torch.device("cpu"), generator=fixed)
    torch.manual_seed(seeds["training"])  # initialisation must not decide which noise training sees
    return Trainer(
        game=update.Game(
            nets=nets,
            objective=objective,
            critic_optimizer=optimizers["critic"],
            generator_optimizer=optimizers["generator"],
            prior=partial(gaussian, latent_dim=latent_dim, device=device),
        ),
        iteration=update.alternating,
        stream=stream,
        heldout=heldout,
        noise=noise._replace(z=noise.z.to(device)),
        spec=dataset.spec,
        settings=settings,
        evaluators=evaluators,
        painter=paint_images if dataset.spec.is_image else paint_points,
        facts=_facts(config["seed"], device, dataset.spec, nets),
        config=yaml.safe_dump(config, sort_keys=False),
    )


def checked(cfg: DictConfig) -> Tree:
    """The configuration as a plain tree: resolved, checked against signatures, without helper keys.

    Raises:
        ValueError: with every problem found, a line each.
    """
    try:
        tree: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} is needed; set {error.full_key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    # Constants of the objective's paper: by now in the nodes that they are defaults of.
    tree.pop("published", None)
    allow = tree["allow_targets"] if isinstance(tree.get("allow_targets"), list) else []
    _check_nodes(tree)
    _choose_critic_norm(tree, allow)
    groups = {key: value for key, value in tree.items() if isinstance(value, dict)}
    top, problems = schema.check_arguments(_top_level, {**tree, **{key: {} for key in groups}})
    for name, group in groups.items():
        top[name], found = schema.check(group, allow=allow, at=name)
        problems += found
    if problems:
        sources = _sources(OmegaConf.to_container(cfg, resolve=False))
        raise ValueError(
            "\n".join(dict.fromkeys(_message(where, what, sources) for where, what in problems))
        )
    return {key: _without_helpers(value) for key, value in top.items()}


_NODES = (
    "dataset", "trainer", "objective", "model.generator", "model.critic", "optimizer.generator",
    "optimizer.critic",
)  # fmt: skip


def _check_nodes(tree: Tree) -> None:
    """Each of the parts that a run is built from must say what it is."""
    for path in _NODES:
        node: Any = tree
        for key in path.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        if not isinstance(node, dict) or "_target_" not in node:
            raise ValueError(
                f"{path}: should be a node that names a class or function in {path}._target_;"
                f" choose one with {path.partition('.')[0]}=OPTION"
            )


def _top_level(
    *,
    seed: Annotated[int, Ge(0)],
    device: str,
    deterministic: bool,
    allow_targets: list[str],
    dataset: dict[str, Any],
    model: dict[str, Any],
    objective: dict[str, Any],
    optimizer: dict[str, Any],
    trainer: dict[str, Any],
) -> None:
    """The keys of conf/config.yaml, as a signature to check against."""


def network(node: Tree, spec: DataSpec) -> nn.Module:
    """Instantiate a network's node for data of some shape."""
    return _make(node, spec)


def _networks(model: Tree, spec: DataSpec, seeds: Mapping[str, int], device: torch.device) -> Nets:
    players = {}
    for player in ("generator", "critic"):  # seeded apart: one's size leaves the other's weights be
        torch.manual_seed(seeds[player])
        players[player] = network(model[player], spec).to(device)
    average = deepcopy(players["generator"]).eval().requires_grad_(False)
    return Nets(**players, average=average)


def _optimizers(nodes: Tree, nets: Nets) -> dict[str, Optimizer]:
    made = {}
    for player in ("critic", "generator"):
        make = _make(nodes[player])
        if not callable(make):
            raise ValueError(f"optimizer.{player}: its node lacks _partial_: true")
        made[player] = make(getattr(nets, player).parameters())
    return made


def _facts(seed: int, device: torch.device, spec: DataSpec, nets: Nets) -> dict[str, Any]:
    """What a run's summary says of how it was made."""
    return {
        "seed": seed,
        "device": device_name(device),
        "data": str(spec),
        "parameters": {name: _count(getattr(nets, name)) for name in ("generator", "critic")},
        "versions": versions(),
    }


def _choose_critic_norm(tree: Tree, allow: list[str]) -> None:
    """`norm: auto` of a critic is batch, but none where a term needs scores sample by sample."""
    critic, terms = tree["model"]["critic"], tree["objective"].get("critic_terms")
    if critic.get("norm") != "auto":
        return
    marks = [_needs_per_sample_scores(name, allow) for name in schema.targets(terms)]
    critic["norm"] = "none" if any(marks) else "batch"


def _needs_per_sample_scores(name: str, allow: list[str]) -> bool:
    try:
        return getattr(schema.locate(name, allow), "needs_per_sample_scores", False)
    except ValueError:  # reported by the check that follows
        return False


def _make(node: Tree, *args: Any) -> Any:
    """Instantiate a checked node; errors of the target come as they were raised."""
    try:
        return instantiate(node, *args, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, TypeError):  # the node lacks what its target takes by position
            raise ValueError(
                f"{node['_target_']} cannot be called ({cause}); is _partial_: true missing?"
            ) from error
        raise cause from error


def _seeds(seed: int, names: tuple[str, ...]) -> dict[str, int]:
    """Independent seeds, one for each use of randomness."""
    words = np.random.SeedSequence(seed).generate_state(len(names))
    return dict(zip(names, map(int, words), strict=True))


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _without_helpers(value: Any) -> Any:
    """Drop the keys that only served interpolations, so that a saved value is a used value."""
    if not isinstance(value, dict) or "_target_" in value:
        return value
    return {key: _without_helpers(child) for key, child in value.items() if isinstance(child, dict)}


def _sources(raw: Any, at: str = "") -> dict[str, str]:
    """For each key that merely repeats another (`lr: ${..lr}`): that other key."""
    found = {}
    for key, value in raw.items() if isinstance(raw, dict) else ():
        path = f"{at}.{key}" if at else str(key)
        if isinstance(value, str) and (match := _INTERPOLATION.match(value)):
            dots, name = match.groups()
            base = path.split(".")[: -len(dots)] if dots else []
            found[path] = ".".join([*base, name])
        found |= _sources(value, path)
    return found


def _message(where: str, what: str, sources: Mapping[str, str]) -> str:
    key, equals, value = where.partition("=")
    key = sources.get(key, key)
    return (
        f"{key}{equals}{value}: {what}"
        if equals
        else f"{key} {what}"
        if what.startswith("is")
        else f"{key}: {what}"
    )

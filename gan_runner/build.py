"""From a composed configuration to a trainer: the configuration ends here.

Every node is checked before anything is built; then data, networks, objective and optimizers are
instantiated in this order, each given the facts that the former established.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_runner import checks
from gan_runner.config import checked, follows_seed
from gan_runner.core import (
    Batch,
    Dataset,
    DataSpec,
    Evaluator,
    Latent,
    Nets,
    rows_are_independent,
)
from gan_runner.data.stream import Stream, held_out, place
from gan_runner.metrics.critic import CriticOnHeldOut
from gan_runner.metrics.divergence import ProbeJensenShannon
from gan_runner.metrics.lipschitz import LipschitzOfCritic
from gan_runner.metrics.pictures import paint_images, paint_points
from gan_runner.models.head import has_minibatch_statistics
from gan_runner.models.summary import summarise
from gan_runner.objectives.adversarial import Objective
from gan_runner.objectives.priors import gaussian
from gan_runner.schema import Tree
from gan_runner.training import update
from gan_runner.training.accelerate import Accelerated, Mode, check_mode
from gan_runner.training.device import (
    be_deterministic,
    device_name,
    keep_freed_memory,
    resolve_device,
)
from gan_runner.training.precision import resolve_precision, use_precision
from gan_runner.training.provenance import versions
from gan_runner.training.replicas import Pack
from gan_runner.training.settings import Settings
from gan_runner.training.trainer import Iteration, Trainer

_PROBE = 8  # rows of input that networks are tried with


def build(cfg: DictConfig) -> Trainer | Pack:
    """Build everything that a run needs, or a pack of runs; nothing is written.

    Raises:
        ValueError: the configuration is wrong, contradicts itself or does not fit the data or the
            machine; the message names the keys and the fix.
    """
    config = checked(cfg)
    device = resolve_device(config["device"])
    be_deterministic(config["deterministic"])
    keep_freed_memory()
    settings: Settings = _make(config["trainer"])
    check_mode(settings.accelerate, device, replicas=settings.replicas)
    mode = Mode(settings.accelerate)
    iteration, tables = Accelerated(mode, device), _Tables(device)
    if settings.replicas == 1:
        return _trainer(config, device, mode, iteration, tables)
    runs = [
        _trainer(its, device, mode, iteration, tables) for its in _replicas(cfg, config, settings)
    ]
    checks.check_replicas([run.nets for run in runs])
    return Pack(runs, config=yaml.safe_dump(follows_seed(config, cfg), sort_keys=False))


def _trainer(
    config: Tree, device: torch.device, mode: Mode, iteration: Iteration, tables: _Tables
) -> Trainer:
    settings: Settings = _make(config["trainer"])
    dataset, table = tables.of(config["dataset"])
    seeds = _seeds(
        config["seed"], ("generator", "critic", "stream", "heldout", "noise", "training")
    )

    objective: Objective = _make(config["objective"])
    nets = _networks(config["model"], dataset.spec, seeds, device)
    optimizers = _optimizers(config["optimizer"], nets)
    evaluators: list[Evaluator] = [
        CriticOnHeldOut(batch_size=settings.batch_size, seed=seeds["heldout"]),
        LipschitzOfCritic(batch_size=settings.batch_size, seed=seeds["heldout"]),
        ProbeJensenShannon(seed=config["seed"] % 2**31),
    ]
    checks.check(objective, nets, optimizers, settings, evaluators, len(dataset.heldout.x))
    precision = resolve_precision(settings.precision, device, nets.generator, nets.critic)
    stream = Stream(table, batch_size=settings.batch_size, seed=seeds["stream"], device=device)
    heldout = held_out(dataset.heldout, settings.n_eval, device=device, seed=seeds["heldout"])
    random = torch.Generator().manual_seed(seeds["noise"])
    noise = _fixed_noise(nets.generator, settings.n_eval, heldout, random=random)
    dtype = use_precision(precision)
    if dataset.spec.is_image:
        _lay_out(nets, device, dtype)
    few = Latent(noise.z[:_PROBE], None if noise.y is None else noise.y[:_PROBE])
    x = torch.randn(len(few.z), *dataset.spec.shape, generator=random).to(device)
    inputs = {"generator": few, "critic": Batch(x, few.y)}
    summaries = {
        name: summarise(getattr(nets, name), *given, batch_size=settings.batch_size)
        for name, given in inputs.items()
    }
    game = update.Game(
        critic=_player(nets.critic, *inputs["critic"], dtype=dtype),
        generator=_player(nets.generator, *inputs["generator"], dtype=dtype),
        objective=objective,
        critic_optimizer=optimizers["critic"],
        generator_optimizer=optimizers["generator"],
        prior=_prior(nets.generator, dataset, device),
        serve=stream.serve,
        batch_size=settings.batch_size,
    )
    torch.manual_seed(seeds["training"])  # initialisation must not decide which noise training sees
    return Trainer(
        nets=nets,
        optimizers=optimizers,
        game=game,
        iteration=iteration,
        mode=mode,
        stream=stream,
        heldout=heldout,
        noise=noise,
        spec=dataset.spec,
        settings=settings,
        evaluators=evaluators,
        painter=paint_images if dataset.spec.is_image else paint_points,
        facts={
            **_facts(config["seed"], device, dataset.spec),
            "precision": precision,
            "networks": {name: summary.facts for name, summary in summaries.items()},
        },
        architecture="\n".join(s.text(name, whole=True) for name, s in summaries.items()),
        opening="".join(s.text(name, whole=False) for name, s in summaries.items()),
        config=yaml.safe_dump(config, sort_keys=False),
    )


class _Tables:
    """Data sets, and their tables on the device; each is loaded once, however many runs read it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.made: list[tuple[Tree, Dataset, Batch]] = []

    def of(self, node: Tree) -> tuple[Dataset, Batch]:
        """The data set of a node, and its training table where the stream will want it."""
        for known, dataset, table in self.made:
            if known == node:
                return dataset, table
        dataset = _make(node)
        self.made.append((node, dataset, place(dataset.train, self.device)))
        return self.made[-1][1:]


def _replicas(cfg: DictConfig, config: Tree, settings: Settings) -> list[Tree]:
    """The configuration of each replica: a run of its own, with its seed and learning rate."""
    lrs = settings.replica_lrs
    if lrs is not None and len(lrs) != settings.replicas:
        raise ValueError(
            f"trainer.replica_lrs={lrs}: should have trainer.replicas={settings.replicas} values"
        )
    made = []
    for k in range(settings.replicas):
        one = cfg.copy()
        OmegaConf.set_struct(one, False)
        one.seed = config["seed"] + k
        one.trainer.replicas, one.trainer.replica_lrs = 1, None
        if lrs is not None:
            one.optimizer.critic.lr = one.optimizer.generator.lr = lrs[k]
        made.append(checked(one))
    return made


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


def _lay_out(nets: Nets, device: torch.device, dtype: torch.dtype | None) -> None:
    """Channels last, which convolutions are fastest in, but for a critic in float32 on a CPU.

    There the weights' gradients, most of all those of a penalty, are faster with channels first.
    """
    first = device.type == "cpu" and dtype is None
    nets.critic.to(memory_format=torch.contiguous_format if first else torch.channels_last)
    for network in (nets.generator, nets.average):
        network.to(memory_format=torch.channels_last)


def _optimizers(nodes: Tree, nets: Nets) -> dict[str, Optimizer]:
    made = {}
    for player in ("critic", "generator"):
        make = _make(nodes[player])
        if not callable(make):
            raise ValueError(f"optimizer.{player}: its node lacks _partial_: true")
        made[player] = make(getattr(nets, player).parameters())
    return made


def _prior(generator: nn.Module, dataset: Dataset, device: torch.device) -> Callable[..., Latent]:
    """Noise for training; labels as frequent as in the data, for a generator that takes them."""
    labels = dataset.train.y if _takes_labels(generator) else None
    return partial(
        gaussian,
        latent_dim=_latent_dim(generator),
        device=device,
        labels=None if labels is None else labels.to(device),
    )


def _fixed_noise(
    generator: nn.Module, count: int, heldout: Batch, *, random: torch.Generator
) -> Latent:
    """The noise of evaluators and pictures; labels are those of the held-out samples, in turn.

    So a held-out and a generated sample in the same row have the same label.
    """
    z, _ = gaussian(count, _latent_dim(generator), device=torch.device("cpu"), generator=random)
    device, y = heldout.x.device, heldout.y
    if y is None or not _takes_labels(generator):
        return Latent(z.to(device))
    return Latent(z.to(device), y[torch.arange(count, device=device) % len(y)])


def _latent_dim(generator: nn.Module) -> int:
    return int(generator.latent_dim)  # type: ignore[arg-type]  # every generator has one


def _takes_labels(generator: nn.Module) -> bool:
    return bool(getattr(generator, "n_classes", 0))


def _player(
    network: nn.Module, x: Tensor, y: Tensor | None, *, dtype: torch.dtype | None
) -> update.Player:
    by_row = not has_minibatch_statistics(network) and rows_are_independent(network, x, y)
    return update.Player(network, by_row, dtype)


def _facts(seed: int, device: torch.device, spec: DataSpec) -> dict[str, Any]:
    """What a run's summary says of how it was made."""
    return {
        "seed": seed,
        "device": device_name(device),
        "data": str(spec),
        "versions": versions(),
    }


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

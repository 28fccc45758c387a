"""From a composed configuration to an engine: the configuration ends here.

Every node is checked before anything is built; then data, networks, objective and optimizers are
instantiated in this order, each given the facts that the former established.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
import yaml
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_runner.config import compatibility
from gan_runner.config.adaptive import check_shared
from gan_runner.config.command_line import with_command
from gan_runner.config.instantiate import instantiate
from gan_runner.config.networks import latent_dim_of, networks, set_memory_format
from gan_runner.config.replicas import follows_seed, replica_configs
from gan_runner.config.signature import ConfigTree
from gan_runner.config.tables import Tables
from gan_runner.config.update_order import check_update_order, order_of
from gan_runner.config.updates import averages_of, limit_stacked, schedule_and_limit
from gan_runner.config.validate import validate
from gan_runner.core import (
    Dataset,
    DataSpec,
    EvalContext,
    Latent,
    Metric,
    Nets,
    is_per_sample,
)
from gan_runner.data.content import content_of
from gan_runner.data.stream import Stream, held_out
from gan_runner.data.transforms import Transform
from gan_runner.models.critic_output import has_batch_statistics
from gan_runner.models.norms import has_spectral_norm
from gan_runner.models.summary import Summary, summarise
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.priors import categories, code_dim
from gan_runner.optim.sghmc import SGHMC
from gan_runner.runs.memory import check_samples
from gan_runner.runs.provenance import versions
from gan_runner.training.accelerate import AutoStep, Mode, check_mode
from gan_runner.training.device import device_name, resolve_device, set_deterministic, tune_malloc
from gan_runner.training.engine import Engine
from gan_runner.training.game import Game, Player
from gan_runner.training.precision import resolve_precision, use_precision
from gan_runner.training.replicas import StackedEngine
from gan_runner.training.run_spec import RunSpec
from gan_runner.training.settings import Settings
from gan_runner.training.step import Iteration

SEED_OF_MEASURES = 1797  # the same in every run, so that their numbers can be compared
_PROBE = 8  # rows of input that networks are tried with

# "heldout" is unused; it keeps the seeds after it as they were
_USES = ("generator", "critic", "stream", "heldout", "noise", "training", "heads")

Inputs = Mapping[str, tuple[Tensor, Tensor | None]]
"""Inputs to try the generator and the critic with, by player."""


def build(
    cfg: DictConfig, tables: Tables | None = None, *, allow: Sequence[str] = ()
) -> Engine | StackedEngine:
    """Build the engine of a run, or of several replicas that step as one; nothing is written.

    Args:
        cfg: the composed configuration.
        tables: data sets that other runs on the device have loaded.
        allow: prefixes of targets in packages that you trust, such as "my_package.".

    Raises:
        ValueError: the configuration is wrong, contradicts itself or does not fit the data or the
            machine; the message names the keys and the fix.
    """
    config = validate(cfg, allow=allow)
    device = resolve_device(config["device"])
    set_deterministic(config["deterministic"])
    tune_malloc()
    settings: Settings = instantiate(config["trainer"])
    check_mode(settings.accelerate, device, replicas=settings.replicas)
    mode = Mode(settings.accelerate)
    order = order_of(config["optimizer"]["order"])
    iteration, tables = AutoStep(mode, device, order=order), tables or Tables(device)
    if settings.replicas == 1:
        return with_command(_engine(config, device, mode, iteration, tables), cfg)
    engines = [
        _engine(one, device, mode, iteration, tables)
        for one in replica_configs(cfg, config, settings, allow=allow)
    ]
    compatibility.check_replicas([e.nets for e in engines], engines[0].runs[0].facts["precision"])
    check_shared(engines[0].game.objective.state_dict(), settings.replicas)
    saved = yaml.safe_dump(follows_seed(config, cfg), sort_keys=False)
    return with_command(limit_stacked(config["limits"], StackedEngine(engines, config=saved)), cfg)


def _engine(
    config: ConfigTree, device: torch.device, mode: Mode, iteration: Iteration, tables: Tables
) -> Engine:
    settings: Settings = instantiate(config["trainer"])
    dataset, table = tables.of(config["dataset"])
    seeds = _seeds(config["seed"], _USES)

    objective: Objective = instantiate(config["objective"])
    nets = networks(config["model"], objective, dataset.spec, seeds)
    nets.generator_ema.train(not (settings.ema_decay or config["averages"]))  # copy: norm by batch
    _put(device, nets.generator, nets.critic, nets.generator_ema)
    _put(device, objective.input_noise, objective.augmentation)
    optimizers = _optimizers(config["optimizer"], nets)
    _note_facts(dataset, nets.critic, objective, optimizers)
    check_update_order(order_of(config["optimizer"]["order"]), objective, optimizers)
    schedules = schedule_and_limit(config, objective, optimizers, steps=settings.steps)
    context = _context(dataset, objective, settings, device)
    heldout = context.heldout
    metrics = _metrics(config["metrics"], context)
    settings = compatibility.check(objective, nets, optimizers, settings, metrics)
    precision = resolve_precision(settings.precision, device, nets.generator, nets.critic)
    stream = Stream(
        table, batch_size=settings.batch_size, seed=seeds["stream"], device=device,
        transform=Transform(settings.dequantize, settings.horizontal_flips),
    )  # fmt: skip
    random = torch.Generator().manual_seed(seeds["noise"])
    noise = _fixed_noise(objective, nets.generator, context, random=random)
    dtype = use_precision(precision)
    if dataset.spec.is_image:
        set_memory_format(nets, device, dtype)
    inputs = _probes(noise, dataset.spec, random=random)
    compatibility.check_batch(nets, inputs, settings.batch_size)
    summaries = {
        name: summarise(getattr(nets, name), *example, batch_size=settings.batch_size)
        for name, example in inputs.items()
    }
    saved, architecture, short = _texts(config, precision, summaries)
    run = RunSpec(
        spec=dataset.spec, settings=settings, heldout=heldout, noise=noise, metrics=metrics,
        plots={name: instantiate(node, context) for name, node in config["plots"].items()},
        health=instantiate(config["health"]),
        facts=_facts(config["seed"], device, dataset.spec, precision, summaries),
        config=saved, architecture=architecture, summary=short, data=content_of(dataset),
    )  # fmt: skip
    game = _game(nets, objective, optimizers, stream, inputs, dtype)
    game = replace(game, generator_batch_multiple=settings.generator_batch_multiple)
    torch.manual_seed(seeds["training"])  # initialisation must not decide which noise training sees
    return Engine(
        run, nets=nets, optimizers=optimizers, game=game, iteration=iteration, mode=mode,
        stream=stream, schedules=schedules, averaging_rules=averages_of(config["averages"]),
    )  # fmt: skip


def _context(
    dataset: Dataset, objective: Objective, settings: Settings, device: torch.device
) -> EvalContext:
    """Return the constants of a run that metrics and plots are built from."""
    heldout = held_out(
        dataset.heldout, settings.num_eval_samples, device=device, seed=SEED_OF_MEASURES
    )
    return EvalContext(
        dataset, heldout, settings.batch_size, seed=SEED_OF_MEASURES, device=device,
        categories=categories(objective.prior), code=code_dim(objective.prior),
        samples=settings.num_eval_samples, critic_tag=objective.critic_tag,
    )  # fmt: skip


def _texts(
    config: ConfigTree, precision: str, summaries: Mapping[str, Summary]
) -> tuple[str, str, str]:
    """Return the texts of a run: its configuration, and its networks in full and in short."""
    # saved as resolved: on another machine auto would decide otherwise
    used = {**config, "trainer": {**config["trainer"], "precision": precision}}
    whole = "\n".join(s.text(name, whole=True) for name, s in summaries.items())
    short = "".join(s.text(name, whole=False) for name, s in summaries.items())
    return yaml.safe_dump(used, sort_keys=False), whole, short


def _put(device: torch.device, *modules: nn.Module | None) -> None:
    for module in modules:
        if module is not None:
            module.to(device)


def _probes(noise: Latent, spec: DataSpec, *, random: torch.Generator) -> Inputs:
    """Return a few rows of input for each player."""
    few = Latent(noise.z[:_PROBE], None if noise.y is None else noise.y[:_PROBE])
    x = torch.randn(len(few.z), *spec.shape, generator=random).to(few.z.device)
    return {"generator": (few.z, few.y), "critic": (x, few.y)}


def _metrics(nodes: ConfigTree, context: EvalContext) -> list[Metric]:
    """Build the metrics that apply to the data."""
    metrics: list[Metric] = [instantiate(node, context) for node in nodes.values()]
    return [metric for metric in metrics if metric.provenance]


def _game(
    nets: Nets,
    objective: Objective,
    optimizers: Mapping[str, Optimizer],
    stream: Stream,
    inputs: Inputs,
    dtype: torch.dtype | None,
) -> Game:
    """Build the game; `inputs` are a few rows to try each player with."""
    return Game(
        critic=_player(nets.critic, *inputs["critic"], dtype=dtype),
        generator=_player(nets.generator, *inputs["generator"], dtype=dtype),
        objective=objective,
        critic_optimizer=optimizers["critic"],
        generator_optimizer=optimizers["generator"],
        prior=partial(
            objective.prior, latent_dim=latent_dim_of(nets.generator), device=stream.device
        ),
        to_batch=stream.to_batch,
        batch_size=stream.batch_size,
    )


def _optimizers(nodes: ConfigTree, nets: Nets) -> dict[str, Optimizer]:
    optimizers = {}
    for player in ("critic", "generator"):
        factory = instantiate(nodes[player])
        if not callable(factory):
            raise ValueError(f"optimizer.{player}: its node lacks _partial_: true")
        optimizers[player] = factory(getattr(nets, player).parameters())
    return optimizers


def _note_facts(
    dataset: Dataset,
    critic: nn.Module,
    objective: Objective,
    optimizers: Mapping[str, Optimizer],
) -> None:
    """Tell the objective, and samplers of a posterior, the facts that they need about others."""
    if has_spectral_norm(critic):
        objective.note_lipschitz_critic()
    rows = len(dataset.train.x)
    objective.note_data(dataset.spec, rows)
    for optimizer in optimizers.values():
        if isinstance(optimizer, SGHMC):
            optimizer.set_data_size(rows)


def _fixed_noise(
    objective: Objective, generator: nn.Module, context: EvalContext, *, random: torch.Generator
) -> Latent:
    """Draw the noise of metrics and plots, with labels at random from those of the training data.

    The class counts then vary as they do in samples of the data and of unconditional generators;
    with those of the held-out rows, distances could lie below the floor.
    """
    cpu, size = torch.device("cpu"), latent_dim_of(generator)
    count, device, labels = context.samples, context.device, context.dataset.train.y
    check_samples(f"trainer.num_eval_samples={count}", count, size + prod(context.spec.shape))
    z, _ = objective.prior(count, size, device=cpu, generator=random)
    if labels is None or not getattr(generator, "n_classes", 0):
        return Latent(z.to(device))
    rows = torch.randint(len(labels), (count,), generator=random)
    return Latent(z.to(device), labels[rows.to(labels.device)].to(device))


def _player(
    network: nn.Module, x: Tensor, y: Tensor | None, *, dtype: torch.dtype | None
) -> Player:
    per_sample = not has_batch_statistics(network) and is_per_sample(network, x, y)
    return Player(network, per_sample, dtype)


def _facts(
    seed: int,
    device: torch.device,
    spec: DataSpec,
    precision: str,
    summaries: Mapping[str, Summary],
) -> dict[str, Any]:
    """Return the facts about a run for its summary."""
    return {
        "seed": seed,
        "device": device_name(device),
        "precision": precision,
        "data": str(spec),
        "networks": {name: summary.facts for name, summary in summaries.items()},
        "versions": versions(),
    }


def _seeds(seed: int, names: tuple[str, ...]) -> dict[str, int]:
    """Derive independent seeds, one for each use of randomness."""
    words = np.random.SeedSequence(seed).generate_state(len(names))
    return dict(zip(names, map(int, words), strict=True))

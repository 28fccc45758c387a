"""Subjects of an evaluation: a checkpoint, an exported generator, or a file of samples."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from gan_runner.builder import Tables, build
from gan_runner.config import signature
from gan_runner.config.compose import compose, config_dir
from gan_runner.config.errors import explain
from gan_runner.config.instantiate import instantiate
from gan_runner.config.paths import with_own_places
from gan_runner.config.signature import ConfigTree
from gan_runner.config.validate import validate
from gan_runner.core import Dataset, Latent, Nets, StateDict, to_unit
from gan_runner.evaluation.own_data import dataset_at
from gan_runner.evaluation.request import HELD_OUT, TRAIN, Request
from gan_runner.metrics.images.classifier import hash_of_weights
from gan_runner.objectives.priors import categories, code_dim
from gan_runner.restore import TrainedModel, average_weights, load
from gan_runner.runs.checkpoint import fits_config
from gan_runner.runs.chosen_checkpoint import load_chosen
from gan_runner.runs.exported import exported_file
from gan_runner.runs.layout import CONFIG, POINTS
from gan_runner.runs.memory import check_samples
from gan_runner.runs.plain import plain
from gan_runner.runs.read import read_points, saved_config
from gan_runner.runs.sample_files import read_samples
from gan_runner.training.device import resolve_device
from gan_runner.training.engine import Engine

_OF_EXPORTED = 10_000  # samples, where the user names no number
_OF_CRITIC = ("critic", "lipschitz")  # metrics that need more than samples
_OF_NETWORKS = (
    "samples", "surface", "curves", "gradients", "weights", "interpolations", "arithmetic",
    "traversals",
)  # fmt: skip
_SETTINGS = {"checkpoint_metric": None, "accelerate": "eager"}  # nothing is trained


@dataclass(frozen=True, eq=False)
class Subject:
    """Something that has samples, and the data that they imitate.

    Attributes:
        facts: provenance: kind, path, checkpoint, step, generator, weights, seed.
        dataset: the data.
        device: of networks and samples.
        metrics: configuration nodes of the metrics that apply.
        plots: the same of plots.
        count: number of samples.
        samples: of a file; None where networks make them.
        nets: the networks; an exported generator has only the averaged one.
        noise: the input of the generator.
        batch_size: of training.
        categories: values of the categorical code that the noise begins with.
        code: coordinates of the noise that the whole code takes.
        history: points of the run's log up to the checkpoint.
        weights: hash of the weights of each generator, "averaged" and "raw".
    """

    facts: Mapping[str, Any]
    dataset: Dataset
    device: torch.device
    metrics: ConfigTree
    plots: ConfigTree
    count: int
    samples: Tensor | None = None
    nets: Nets | None = None
    noise: Latent | None = None
    batch_size: int = 64
    categories: int = 0
    code: int = 0
    history: Sequence[Mapping[str, Any]] = field(default_factory=list)
    weights: Mapping[str, str] = field(default_factory=dict)


def subject_of(path: Path, request: Request, state: StateDict | None = None) -> Subject:
    """Return the subject at a path; `state` is the checkpoint of a run, where it is read already.

    Raises:
        ValueError: there is none, its data is not named, or there are fewer samples than asked for.
    """
    if (file := exported_file(path)) is not None:
        return _exported(file, request)
    if (path / CONFIG).is_file():
        chosen = load_chosen(path, request.checkpoint) if state is None else state
        return _run(path, request, chosen)
    if path.suffix == ".npz" or path.is_dir():
        return _file(path, request)
    problem = "is not a run, a sweep, an exported generator, an .npz file or a folder of images"
    raise ValueError(f"{path} {problem}" if path.exists() else f"{path} does not exist")


def _run(run_dir: Path, request: Request, state: StateDict) -> Subject:
    """Build a run's networks and data again, with the fixed noise of its metrics."""
    places = _places(request.overrides)
    config = with_own_places(saved_config(run_dir), [key for key, _ in places])
    full = _composed(())
    average = average_weights(state, config, request.average)
    _check_own(config, request)
    metrics = _all_metrics(config["metrics"], full["metrics"])
    plots = {**full["plots"], **config["plots"]}
    config |= {"metrics": {}, "plots": {}, "allow_targets": list(request.allow)}
    config = {**config, "device": request.device, "trainer": {**config["trainer"], **_SETTINGS}}
    if request.count is not None:
        config["trainer"]["num_eval_samples"] = max(8, request.count)
    cfg = OmegaConf.create(config)
    for key, value in places:
        OmegaConf.update(cfg, key, value)
    count = request.count or 0
    check_samples(f"--count {count}", count, prod(state["shape"]))
    tables = Tables(resolve_device(request.device))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about training
        engine = build(cfg, tables, allow=request.allow)
    assert isinstance(engine, Engine), "a replica is saved as a run of its own"
    nets, (run,) = engine.nets, engine.runs
    with fits_config(run_dir):
        nets.generator.load_state_dict(state["generator"])
        nets.critic.load_state_dict(state["critic"])
        nets.generator_ema.load_state_dict(average)
    dataset, _ = tables.of(validate(cfg, allow=request.allow)["dataset"])
    objective: Any = engine.game.objective
    model = TrainedModel(nets.generator_ema, nets.critic, objective, run.spec, engine.stream.device)
    prior = model.objective.prior
    count, noise = request.count or run.settings.num_eval_samples, run.noise
    noise = Latent(noise.z[:count], None if noise.y is None else noise.y[:count])
    if request.seed is not None:
        noise = model.noise(count, seed=request.seed)
    both = {"averaged": nets.generator_ema, "raw": nets.generator}
    weights = {name: hash_of_weights(net.state_dict()) for name, net in both.items()}
    points = [p for p in read_points(run_dir / POINTS) if p["step"] <= state["step"]]
    facts = _facts_of_run(run_dir, request, weights, step=state["step"], seed=config["seed"])
    return Subject(
        facts, dataset, model.device,
        metrics=_checked(metrics, "metrics", request), plots=_checked(plots, "plots", request),
        count=count, nets=nets, noise=noise, batch_size=run.settings.batch_size,
        categories=categories(prior), code=code_dim(prior), history=points, weights=weights,
    )  # fmt: skip


def _all_metrics(own: ConfigTree, full: ConfigTree) -> ConfigTree:
    """Return all metrics, with a run's own settings of those that it has."""
    metrics = {**full, **own}
    if "images" in own and "measures" in full["images"]:
        asked = [*own["images"]["measures"], *full["images"]["measures"]]
        metrics["images"] = {**metrics["images"], "measures": list(dict.fromkeys(asked))}
    return metrics


def _facts_of_run(
    run_dir: Path, request: Request, weights: Mapping[str, str], *, step: int, seed: int
) -> dict[str, Any]:
    used = "raw" if request.raw else "averaged"
    average = {"average": request.average} if request.average else {}
    return {
        "kind": "run", "path": str(run_dir), "checkpoint": request.checkpoint, "step": step,
        "generator": used, **average, "generator_weights": weights[used],
        "noise": "fixed noise of the run" if request.seed is None else f"seed {request.seed}",
        "run_seed": seed,
    }  # fmt: skip


def _exported(file: Path, request: Request) -> Subject:
    """Load an exported generator; its data is in the folder's config.yaml or in the overrides."""
    chosen: Any = {name: getattr(request, name) for name in ("raw", "average", "checkpoint")}
    model = load(file, device=request.device, allow=request.allow, **chosen)
    count, seed = request.count or _OF_EXPORTED, request.seed or 0
    check_samples(f"--count {count}", count, prod(model.spec.shape))
    config = file.with_name(CONFIG)
    if request.overrides or not config.is_file():
        dataset, full = _data(file, request)
    else:
        node = {"dataset": with_own_places(saved_config(file.parent))["dataset"]}
        full = {**_composed(()), **node}
        dataset, full = _built(full, request), full
    prior, generator = model.objective.prior, model.generator
    facts = {
        "kind": "exported generator", "path": str(file), "checkpoint": model.facts["checkpoint"],
        "step": model.facts["step"],
        "generator": "raw" if model.facts["weights"] == "raw" else "averaged",
        "generator_weights": hash_of_weights(generator.state_dict()), "noise": f"seed {seed}",
    }  # fmt: skip
    _check_shape(file, model.spec.shape, dataset)
    return Subject(
        facts, dataset, model.device, count=count, nets=Nets(generator, generator, generator),
        metrics=_checked(_without(full["metrics"], _OF_CRITIC), "metrics", request),
        plots=_checked(_without(full["plots"], _OF_NETWORKS), "plots", request),
        noise=model.noise(count, seed=seed), categories=categories(prior), code=code_dim(prior),
    )  # fmt: skip


def _file(path: Path, request: Request) -> Subject:
    """Read a file or folder of samples; the overrides name the data."""
    if request.raw or request.average or request.checkpoint != "last" or request.seed is not None:
        raise ValueError(f"{path}: holds samples; omit --raw, --average, --checkpoint and --seed")
    stored = read_samples(path)
    count = request.count or len(stored)
    if count > len(stored):
        raise ValueError(f"{path}: has {len(stored):,} samples, and {count:,} are asked for")
    check_samples(f"--count {count}", count, prod(stored.shape[1:]))
    dataset, full = _data(path, request)
    _check_shape(path, stored.shape[1:], dataset)
    content = sha256(stored[:count].tobytes()).hexdigest()[:12]
    device = resolve_device(request.device)
    facts = {"kind": "samples", "path": str(path), "samples_content": content}
    return Subject(
        facts, dataset, device, count=count,
        samples=to_unit(torch.from_numpy(stored[:count]).to(device)),
        metrics=_checked(_without(full["metrics"], _OF_CRITIC), "metrics", request),
        plots=_checked(_without(full["plots"], _OF_NETWORKS), "plots", request),
    )  # fmt: skip


def _data(path: Path, request: Request) -> tuple[Dataset, ConfigTree]:
    """Return the data of the overrides, or of a reference that is a path, and all metrics."""
    full = _composed(request.overrides)
    if any(override.startswith("dataset=") for override in request.overrides):
        return _built(full, request), full
    if request.reference in (None, HELD_OUT, TRAIN):
        raise ValueError(f"{path}: name the data to compare with, such as dataset=mnist")
    return dataset_at(Path(str(request.reference))), full


def _built(tree: ConfigTree, request: Request) -> Dataset:
    checked = _checked({"dataset": tree["dataset"]}, "", request)
    dataset: Dataset = instantiate(checked["dataset"])
    return dataset


def _composed(overrides: Sequence[str]) -> ConfigTree:
    """Compose all metrics and plots, and the data of the overrides, as plain values."""
    words = [*overrides, "metrics=full", "plots=full"]
    try:
        cfg = compose(*words)
        tree: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        message = explain(error, list(overrides), config_dir())
        raise ValueError(message or str(error).splitlines()[0]) from error
    return {key: plain(tree[key], key=key) for key in ("dataset", "metrics", "plots")}


def _places(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    """Return keys and values of overrides that move a run's data; others would change the run."""
    pairs = [override.partition("=") for override in overrides]
    if other := [key for key, _, _ in pairs if not key.startswith("dataset.")]:
        raise ValueError(f"{other[0]}: a run keeps its configuration; only dataset.KEY may differ")
    return [(key, _plain(text)) for key, _, text in pairs]


def _plain(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[call-overload,index]


def _checked(tree: ConfigTree, prefix: str, request: Request) -> ConfigTree:
    checked, problems = signature.check(tree, allow=request.allow, prefix=prefix)
    if problems:
        raise ValueError("; ".join(f"{where}: {what}" for where, what in problems))
    return checked


def _check_own(config: ConfigTree, request: Request) -> None:
    """Check the metrics and plots of a run, before they are merged with others."""
    for group in ("metrics", "plots"):
        _checked(config.setdefault(group, {}), group, request)


def _without(nodes: ConfigTree, names: Sequence[str]) -> ConfigTree:
    return {name: node for name, node in nodes.items() if name not in names}


def _check_shape(path: Path, shape: Sequence[int], dataset: Dataset) -> None:
    if tuple(shape) != tuple(dataset.spec.shape):
        ours, theirs = (" x ".join(map(str, s)) for s in (shape, dataset.spec.shape))
        raise ValueError(f"{path}: samples have shape {ours}, and {dataset.spec.name} has {theirs}")

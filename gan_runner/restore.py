"""From a run directory back to objects: the engine to continue, the generator to draw from.

A run directory may come from a stranger. Checkpoints are read as plain values, and targets that
only the saved configuration allows are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gan_runner.builder import build
from gan_runner.config import signature
from gan_runner.config.fitting import check_fits, check_networks, spec_of
from gan_runner.config.instantiate import instantiate
from gan_runner.config.networks import critic_of, generator_of, latent_dim_of
from gan_runner.config.paths import with_own_places
from gan_runner.config.signature import ConfigTree
from gan_runner.core import DataSpec, Latent, StateDict
from gan_runner.data.class_names import Labels, labels_of
from gan_runner.objectives.objective import Objective
from gan_runner.runs.checkpoint import fits_config, load_latest, load_problem
from gan_runner.runs.chosen_checkpoint import load_chosen
from gan_runner.runs.comparison import holds_replicas
from gan_runner.runs.exported import exported_file, read_exported
from gan_runner.runs.read import read_data, read_summary, saved_config
from gan_runner.training.device import resolve_device
from gan_runner.training.engine import Engine, EngineLike
from gan_runner.training.replicas import StackedEngine
from gan_runner.training.sampling import generate

CHUNK = 256  # samples that are drawn at a time, whatever their number


def rebuild_engine(
    run_dir: Path,
    *,
    steps: int | None = None,
    allow: Sequence[str] = (),
    places: Mapping[str, Any] | None = None,
) -> Engine | StackedEngine:
    """Build the engine of a run directory again from its config.yaml.

    Args:
        run_dir: of a run.
        steps: replaces its `trainer.steps`.
        allow: prefixes of targets that you trust; those in the saved configuration do not count.
        places: replacements of keys about the machine, such as `device` or `dataset.root`.

    Raises:
        ValueError: it is not a run directory, or `build` refuses it.
    """
    config = with_own_places(saved_config(run_dir), places or ())
    config["allow_targets"] = list(allow)
    if steps is not None:
        config["trainer"]["steps"] = steps
    check_networks(run_dir, config, allow=allow)
    cfg = OmegaConf.create(config)
    for key, place in (places or {}).items():
        if key not in _keys(config):
            raise ValueError(f"{key}={place}: the data set of {run_dir} does not have this key")
        OmegaConf.update(cfg, key, place)
    return build(cfg, allow=allow)


def _keys(config: Mapping[str, Any]) -> set[str]:
    """Return the keys about the machine that a configuration has."""
    return {"device", *(f"dataset.{key}" for key in config.get("dataset", {}))}


def resume_states(run_dir: Path, engine: EngineLike) -> list[StateDict]:
    """Return the states that a rebuilt engine continues from: its last whole checkpoint.

    There is one state for each replica, all of one step.

    Raises:
        ValueError: there is none, the run has all its steps, or it is one of the replicas of a run,
            which go on together.
    """
    states = load_latest([run_dir / run.folder for run in engine.runs])
    check_data(run_dir, engine)
    step, steps = states[0]["step"], engine.runs[0].settings.steps
    check_complete(run_dir, states, what="resume")
    done = read_summary(run_dir).get("status") == "completed"
    if step > steps or (done and step == steps):
        raise ValueError(f"{run_dir} has {step} steps; to continue, ask for more: trainer.steps=N")
    return states


def check_data(run_dir: Path, engine: EngineLike) -> None:
    """Check that a rebuilt engine trains on the data that the run was trained on.

    Raises:
        ValueError: the training set has other contents; the message has both hashes.
    """
    for run in engine.runs:
        before, now = read_data(run_dir / run.folder).get("sha256"), run.data["sha256"]
        if before not in (None, now):
            raise ValueError(
                f"{run_dir}: its training data have changed: sha256 {before[:12]} when it started,"
                f" {now[:12]} now ({run.data['rows']:,} rows); set dataset.path or dataset.root"
                " to the data that it was trained on"
            )


def check_complete(run_dir: Path, states: Sequence[StateDict], *, what: str) -> None:
    """Raise a ValueError if the states are of one replica, without the others of its run."""
    if states[0]["replicas"] != len(states):
        raise ValueError(f"{run_dir} is one of the replicas of a run; {what} {run_dir.parent}")


class TrainedModel(NamedTuple):
    """The networks of a run in evaluation mode, and what they were trained for.

    Attributes:
        generator: the averaged one, or as it stood.
        critic: as it stood, without an objective's heads; None for an exported generator.
        objective: of the run.
        spec: facts about the data, as far as a checkpoint knows them.
        device: of both networks.
        facts: checkpoint, step and weights ("average" or "raw") of the generator.
    """

    generator: nn.Module
    critic: nn.Module | None
    objective: Objective
    spec: DataSpec
    device: torch.device
    facts: Mapping[str, Any] = {}

    def sample(self, count: int, *, seed: int = 0, label: Labels = None) -> Tensor:
        """Draw samples; the k-th depends on the seed and k alone, not on how many are drawn.

        Args:
            count: number of samples.
            seed: of the noise.
            label: class of all samples, or several in turn, as numbers or names: 3, "3,4", "cat";
                None: all in turn. For a generator with labels.

        Returns:
            (count, C, H, W) images in [-1, 1] or (count, d) points, on the model's device.

        Raises:
            ValueError: the generator does not know the label.
        """
        chunks = [
            generate(self.generator, latent, batch_size=CHUNK)
            for _, latent in zip(range(0, count, CHUNK), self.latents(seed, label), strict=False)
        ]
        return torch.cat(chunks)[:count]

    def latents(self, seed: int, label: Labels = None) -> Iterator[Latent]:
        """Yield the noise of `sample`, `CHUNK` rows at a time, without end."""
        labels = self._labels(label)
        random = torch.Generator().manual_seed(seed)
        turn, size = cycle(labels) if labels else None, latent_dim_of(self.generator)
        cpu = torch.device("cpu")
        while True:
            z, _ = self.objective.prior(CHUNK, size, device=cpu, generator=random)
            y = None if turn is None else torch.tensor(list(islice(turn, CHUNK)))
            yield Latent(z.to(self.device), None if y is None else y.to(self.device))

    def noise(self, count: int, *, seed: int = 0, label: Labels = None) -> Latent:
        """Return the first `count` rows of `latents`."""
        pairs = zip(range(0, count, CHUNK), self.latents(seed, label), strict=False)
        z, y = zip(*(latent for _, latent in pairs), strict=True)
        labels = None if y[0] is None else torch.cat(y)[:count]
        return Latent(torch.cat(z)[:count], labels)

    def _labels(self, label: Labels) -> list[int] | None:
        """Return the labels of samples in turn; None for a generator without labels."""
        n_classes = int(getattr(self.generator, "n_classes", 0))
        if label is None:
            return list(range(n_classes)) or None
        return labels_of(label, n_classes, self.spec.class_names)


def load(
    run_dir: Path | str,
    *,
    raw: bool = False,
    average: str | None = None,
    device: str = "auto",
    allow: Sequence[str] = (),
    checkpoint: str = "last",
) -> TrainedModel:
    """Load the networks of a run's checkpoint, or an exported generator.

    The prefixes that the saved configuration allows do not count: it may come from a stranger.

    Args:
        run_dir: of one run; or the file or folder of an exported generator.
        raw: take the generator as it stood, not its running average.
        average: name in `averages` of the average to take; None: the first.
        device: auto, cpu, cuda or cuda:N.
        allow: prefixes of targets besides our own.
        checkpoint: "last", "best" or a step; see `chosen_checkpoint.load_chosen`.

    Raises:
        ValueError: no such run, no such checkpoint in it, no such average, or a target that is not
            allowed.
    """
    run_dir, where = Path(run_dir), resolve_device(device)
    if (file := exported_file(run_dir)) is not None:
        if raw or average is not None or checkpoint != "last":
            advice = "omit --raw, --average and --checkpoint"
            raise ValueError(f"{file}: holds one generator; {advice}")
        return _load_exported(file, device=where, allow=allow)
    config = saved_config(run_dir)
    if holds_replicas(run_dir):
        raise ValueError(f"{run_dir} holds several replicas; name one, such as {run_dir}/replica_0")
    parts = {"model": config["model"], "objective": config.get("objective", {})}
    checked, problems = signature.check(parts, allow=allow)
    if problems:
        raise ValueError(signature.joined(problems))
    state = load_chosen(run_dir, checkpoint)
    weights = state["generator"] if raw else average_weights(state, config, average)
    with fits_config(run_dir):
        players = _load(checked, {**state, "weights": weights}, str(run_dir), device=where)
    which = "raw" if raw else average or "average"
    facts = {"checkpoint": checkpoint, "step": state["step"], "weights": which}
    return players._replace(facts=facts)


def average_weights(
    state: StateDict, config: Mapping[str, Any], name: str | None = None
) -> StateDict:
    """Return the weights of an average of a run by its name in `averages`; None: the first.

    Raises:
        ValueError: the run or its checkpoint has no such average.
    """
    first = next(iter(config.get("averages") or {}), "ema")
    weights: StateDict = {first: state["average"], **state.get("averages", {})}
    if name is not None and name not in weights:
        raise ValueError(f"--average {name}: no such average; choose one of: {', '.join(weights)}")
    chosen: StateDict = weights[name or first]
    return chosen


def _load(
    checked: ConfigTree, state: StateDict, name: str, *, device: torch.device
) -> TrainedModel:
    spec = spec_of(state, Path(name))
    objective: Objective = instantiate(checked["objective"])
    players = {"generator": state["weights"], "critic": state["critic"]}
    check_fits(checked["model"], objective, spec, players)
    generator = generator_of(checked["model"]["generator"], objective, spec)
    generator.load_state_dict(state["weights"])
    critic = critic_of(checked["model"]["critic"], objective, spec)
    critic.load_state_dict({name: state["critic"][name] for name in critic.state_dict()})
    return TrainedModel(
        generator.to(device).eval(), critic.to(device).eval(), objective, spec, device
    )


def _load_exported(file: Path, *, device: torch.device, allow: Sequence[str]) -> TrainedModel:
    exported = read_exported(file)
    nodes = {"model": {"generator": exported.generator}, "objective": exported.objective}
    checked, problems = signature.check(nodes, allow=allow)
    if problems:
        raise ValueError(f"{file}: {signature.joined(problems)}")
    spec = DataSpec(str(file), exported.shape, n_classes=exported.n_classes)
    objective: Objective = instantiate(checked["objective"])
    try:
        check_fits(checked["model"], objective, spec, {"generator": exported.tensors})
        generator = generator_of(checked["model"]["generator"], objective, spec)
        generator.load_state_dict(exported.tensors)
    except (RuntimeError, AttributeError) as error:
        problem = f"{file}: holds the weights of another network ({load_problem(error)})"
        raise ValueError(f"{problem}; export the run again with gan-export") from error
    facts = {"checkpoint": exported.checkpoint, "step": exported.step, "weights": exported.weights}
    return TrainedModel(generator.to(device).eval(), None, objective, spec, device, facts)

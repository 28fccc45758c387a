"""Networks of a saved configuration, compared with a checkpoint before they take any memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gan_runner.config import signature
from gan_runner.config.instantiate import instantiate
from gan_runner.config.networks import critic_of, generator_of
from gan_runner.config.signature import ConfigTree
from gan_runner.core import DataSpec, StateDict
from gan_runner.objectives.objective import Objective
from gan_runner.runs.checkpoint import CorruptCheckpoint, fits_config, load_state
from gan_runner.runs.layout import checkpoint_steps, checkpoints
from gan_runner.runs.read import read_data

_MAKE = {"generator": generator_of, "critic": critic_of}
_SLACK = 10  # modules may register a parameter several times


class _TooLarge(RuntimeError):
    """Error for networks of more parameters than a checkpoint has."""


def check_networks(run_dir: Path, config: ConfigTree, *, allow: Sequence[str]) -> None:
    """Compare the networks of a saved configuration with its newest checkpoint, if it has one.

    Args:
        run_dir: directory of the run.
        config: of the run, as plain values.
        allow: prefixes of targets that may stand anywhere; `build` reports what they do not allow.

    Raises:
        ValueError: they do not fit; nothing was allocated for them.
    """
    parts = {"model": config["model"], "objective": config.get("objective", {})}
    checked, problems = signature.check(parts, allow=allow)
    folder = run_dir if checkpoint_steps(run_dir) else run_dir / "replica_0"
    for path in () if problems else reversed(checkpoints(folder)):
        with suppress(CorruptCheckpoint):
            state = load_state(path)
            with fits_config(run_dir):
                spec, objective = spec_of(state, folder), instantiate(checked["objective"])
                players = {name: state[name] for name in _MAKE}
                check_fits(checked["model"], objective, spec, players)
            return


def spec_of(state: StateDict, run_dir: Path) -> DataSpec:
    """Return the facts about a run's data, as far as a checkpoint and the class names know them."""
    n, names = state["n_classes"], tuple(read_data(run_dir).get("classes", ()))
    known = names if len(names) == n else ()
    return DataSpec(str(run_dir), tuple(state["shape"]), n, class_names=known)


def check_fits(
    model: ConfigTree, objective: Objective, spec: DataSpec, state: Mapping[str, StateDict]
) -> None:
    """Check that networks have the tensors of a checkpoint, on torch's device without memory.

    A module that computes while it is built may not work there. It is left to the loading.

    Args:
        model: checked nodes `generator` and `critic`.
        objective: of the run.
        spec: facts about the data.
        state: tensors of the generator, of the critic, or of both.

    Raises:
        RuntimeError: the networks are much larger, or their tensors have other names or shapes.
        KeyError: the critic has a tensor that the checkpoint lacks.
    """
    room = _SLACK * (1 + sum(map(_elements, state.values())))

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal room
        room -= 0 if parameter is None else parameter.numel()
        if room < 0:
            raise _TooLarge("its networks are larger than its weights")

    handle = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            players = {name: _MAKE[name](model[name], objective, spec) for name in state}
    except _TooLarge:
        raise
    except Exception:
        return
    finally:
        handle.remove()
    for name, network in players.items():
        own = state[name]
        if name == "critic":  # without the heads of the objective
            own = {key: own[key] for key in network.state_dict()}
        network.load_state_dict(own, assign=True)


def _elements(state: Any) -> int:
    return sum(value.numel() for value in state.values() if isinstance(value, Tensor))

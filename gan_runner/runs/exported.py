"""Exported generators: a safetensors file whose metadata describes the network.

The metadata values are strings. `generator` and `objective` are configuration nodes and `shape` is
the shape of a sample, all as JSON. `n_classes` is the number of labels that the generator was
trained with, `weights` is "average" or "raw", `checkpoint` and `step` say when.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gan_runner.runs.layout import WEIGHTS
from gan_runner.runs.mistaken import is_exported
from gan_runner.runs.parse import mismatch, parse_json


class Exported(NamedTuple):
    """Contents of an exported generator."""

    tensors: dict[str, Tensor]
    generator: dict[str, Any]
    objective: dict[str, Any]
    shape: tuple[int, ...]
    n_classes: int
    weights: str
    checkpoint: str
    step: int | None


def exported_file(path: Path) -> Path | None:
    """Return the file of an exported generator, given the file or its folder; else None."""
    if path.is_dir():
        return path / WEIGHTS if is_exported(path) else None
    return path if path.suffix == ".safetensors" else None


def read_exported(path: Path) -> Exported:
    """Read an exported generator.

    Raises:
        ValueError: the file does not exist, is damaged, or gan-export did not write it.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{path}: the file does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            facts: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from error
    try:
        step, shape = facts.get("step", ""), parse_json(facts["shape"])
        if not shape or mismatch(shape, [int]) or min(shape) < 1:
            raise ValueError(f"shape {facts['shape']}")
        return Exported(
            tensors,
            generator=_node(facts["generator"]),
            objective=_node(facts["objective"]),
            shape=tuple(shape),
            n_classes=int(facts["n_classes"]),
            weights=facts["weights"],
            checkpoint=facts.get("checkpoint", "last"),
            step=int(step) if step else None,
        )
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: its metadata does not describe a generator ({error}); write the file with"
            " this version's gan-export"
        ) from error


def _node(text: str) -> dict[str, Any]:
    node = parse_json(text)
    if not isinstance(node, dict):
        raise ValueError("expected a JSON object")
    return node

"""The folder of an exported generator: configuration, provenance, samples and a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from gan_runner.evaluation.card_text import card_text, command_of, groups_of
from gan_runner.evaluation.evaluate import kept_results
from gan_runner.evaluation.tables import is_floor
from gan_runner.evaluation.verdict import sentences
from gan_runner.metrics.images.classifier import hash_of_weights
from gan_runner.plots.samples import image_grid, scatter
from gan_runner.restore import TrainedModel, load
from gan_runner.runs.files import atomic_write
from gan_runner.runs.layout import CONFIG, POINTS, PROVENANCE
from gan_runner.runs.log import write_json
from gan_runner.runs.printable import printable_cell
from gan_runner.runs.provenance import versions
from gan_runner.runs.read import (
    CHOICES,
    read_data,
    read_points,
    read_provenance,
    read_summary,
    saved_config,
)
from gan_runner.runs.rows import typed_overrides
from gan_runner.runs.tags import RAW, record_of
from gan_runner.runs.text_tables import markdown_text

CARD, SAMPLES = "README.md", "samples.png"
_DRAWN = 100  # samples of the picture


def write_folder(run_dir: Path, folder: Path, *, allow: Sequence[str] = ()) -> None:
    """Complete the folder of an exported generator, whose weights are there already.

    Raises:
        OSError: a file cannot be written.
    """
    model = load(folder, device="cpu", allow=allow)
    weights = hash_of_weights(model.generator.state_dict())
    facts = {**model.facts, "hash": weights, "run": run_dir.resolve().name, "versions": versions()}
    evaluations = [r for r in kept_results(run_dir) if r.get("generator_weights") == weights]
    logged = _logged(run_dir, model)
    atomic_write(folder / CONFIG, (run_dir / CONFIG).read_bytes())
    content = {"generator": facts, "logged": logged, "evaluations": evaluations}
    write_json(folder / PROVENANCE, content)
    config = saved_config(run_dir)
    values = {tag.removesuffix(RAW): entry["value"] for tag, entry in logged.items()}
    choices = groups_of(config.get(CHOICES) or {})
    text = card_text(
        name=f"Generator of {_data(run_dir).partition(',')[0]}" + (choices and f": {choices}"),
        facts=_facts(run_dir, model, config, hashed=weights),
        remarks=sentences(values, logged, settings={**config["trainer"], "ema_decay": 0.0}),
        logged=logged,
        evaluations=evaluations,
        is_image=model.spec.is_image,
        picture=SAMPLES if _draw(model, folder / SAMPLES) else None,
        allow=allow,
    )
    atomic_write(folder / CARD, markdown_text(text).encode())


def _logged(run_dir: Path, model: TrainedModel) -> dict[str, dict[str, Any]]:
    """Return what the run logged of this generator at the step of the checkpoint, and floors."""
    which, averages = model.facts["weights"], saved_config(run_dir).get("averages") or {}
    first = ("average", next(iter(averages), "average"))  # metrics are of the first average
    of = "raw" if which == "raw" else "averaged" if which in first else ""
    points = [p for p in read_points(run_dir / POINTS) if p["step"] == model.facts["step"]]
    provenances = read_provenance(run_dir)
    return {
        tag: {"value": value, **provenances.get(tag, {})}
        for tag, value in (points[-1] if points else {}).items()
        if value is not None and not record_of(tag).is_training
        if provenances.get(tag, {}).get("generator") == of or (of and is_floor(tag))
    }


def _facts(
    run_dir: Path, model: TrainedModel, config: Mapping[str, Any], *, hashed: str
) -> list[tuple[str, str]]:
    """Return name and text of the facts about a generator, most important first."""
    rows, own = read_data(run_dir).get("rows"), versions()
    count = sum(p.numel() for p in model.generator.parameters())
    commit = str(own["git_commit"] or "unknown")[:12]
    typed = typed_overrides(run_dir)
    command = f"`{command_of(typed)}`, " if typed or config.get(CHOICES) else ""
    return [
        ("data", _data(run_dir) + (f", {rows:,} training rows" if rows else "")),
        ("network", f"`{config['model']['generator']['_target_']}`, {count:,} parameters"),
        ("weights", f"{_weights(run_dir, model)}, SHA-256 {hashed}"),
        ("training", f"{command}seed {printable_cell(config.get('seed'))}"),
        ("software", f"gan_runner {own['gan_runner']} ({commit}), torch {torch.__version__}"),
    ]


def _weights(run_dir: Path, model: TrainedModel) -> str:
    """Return which weights of which step these are, in words."""
    which, checkpoint, step = (model.facts[key] for key in ("weights", "checkpoint", "step"))
    names = {"raw": "raw, not averaged", "average": "running average"}
    by = (read_summary(run_dir).get("settings") or {}).get("checkpoint_metric")
    chosen = f", the best by {by}" if checkpoint == "best" and by else ""
    at = "an unknown step" if step is None else f"step {step:,}"
    return f"{names.get(which, f'average `{which}`')}, {at}{chosen}"


def _data(run_dir: Path) -> str:
    return printable_cell(read_summary(run_dir).get("data", "unknown data"))


def _draw(model: TrainedModel, path: Path) -> bool:
    """Draw some samples; False for points that are not in the plane."""
    x = model.sample(_DRAWN)
    if model.spec.is_image:
        Image.fromarray(image_grid(x)).save(path)
    elif model.spec.shape == (2,):
        y = model.noise(_DRAWN, seed=0).y
        classes = None if y is None else y.numpy()
        Image.fromarray(scatter(None, x.detach().numpy(), title="samples", classes=classes)).save(
            path
        )
    return model.spec.is_image or model.spec.shape == (2,)

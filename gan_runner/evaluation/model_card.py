"""The folder of an exported generator: configuration, provenance, samples and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from gan_runner.evaluation.evaluate import kept_results
from gan_runner.evaluation.tables import caption, name_of, number
from gan_runner.metrics.images.classifier import hash_of_weights
from gan_runner.plots.samples import image_grid, scatter
from gan_runner.restore import TrainedModel, load
from gan_runner.runs.exported import WEIGHTS
from gan_runner.runs.files import atomic_write
from gan_runner.runs.log import write_json
from gan_runner.runs.printable import printable_cell
from gan_runner.runs.provenance import versions
from gan_runner.runs.read import CONFIG, POINTS, read_cards, read_points, read_summary, saved_config
from gan_runner.runs.tags import RAW, is_detail, record_of
from gan_runner.runs.text_tables import markdown, markdown_text

CARD, PROVENANCE, SAMPLES = "README.md", "provenance.json", "samples.png"
_DRAWN = 100  # samples of the picture

Row = tuple[str, float | None, float | None, str]
"""Name, value, value of real data, and how it was measured."""


def write_folder(run_dir: Path, folder: Path, *, allow: Sequence[str] = ()) -> None:
    """Complete the folder of an exported generator, whose weights are there already.

    Raises:
        OSError: a file cannot be written.
    """
    model = load(folder, device="cpu", allow=allow)
    cards = read_cards(run_dir)
    weights = hash_of_weights(model.generator.state_dict())
    facts = {**model.facts, "hash": weights, "run": run_dir.resolve().name, "versions": versions()}
    evaluations = [r for r in kept_results(run_dir) if r.get("generator_weights") == weights]
    atomic_write(folder / CONFIG, (run_dir / CONFIG).read_bytes())
    numbers = _logged(run_dir, model, cards)
    logged = {tag: {"value": v, **cards.get(tag, {})} for tag, v in numbers.items()}
    content = {"generator": facts, "logged": logged, "evaluations": evaluations}
    write_json(folder / PROVENANCE, content)
    has_picture = _draw(model, folder / SAMPLES)
    rows = [*_rows_of_log(logged), *(row for r in evaluations for row in _rows_of(r))]
    text = _text(run_dir, model, rows, facts=facts, has_picture=has_picture)
    atomic_write(folder / CARD, markdown_text(text).encode())


def _logged(
    run_dir: Path, model: TrainedModel, cards: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """Return what the run logged of this generator at the step of the checkpoint."""
    points = [p for p in read_points(run_dir / POINTS) if p["step"] == model.facts["step"]]
    point = points[-1] if points else {}
    of = "raw" if model.facts["weights"] == "raw" else "averaged"
    return {
        tag: value
        for tag, value in point.items()
        if cards.get(tag, {}).get("generator") == of and value is not None
        if not record_of(tag).is_training
    }


def _rows_of_log(logged: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    tags = sorted(logged, key=lambda tag: record_of(tag).order)
    kept = [tag for tag in tags if not is_detail(tag.removesuffix(RAW))]
    return [_row(tag, logged[tag], "log of the run") for tag in kept]


def _rows_of(result: Mapping[str, Any]) -> list[Row]:
    how, of = caption(result), result["generator"]
    return [
        _row(tag, value, how)
        for tag, value in result["values"].items()
        if value.get("generator") == of and not is_detail(tag.removesuffix(RAW))
        if not record_of(tag).is_training
    ]


def _row(tag: str, value: Mapping[str, Any], how: str) -> Row:
    rows, network = value.get("rows"), value.get("network")
    about = [f"{rows:,} {value['reference']} rows" if rows else "", f"features of {network}"]
    details = ", ".join(text for text in about if text and "None" not in text)
    real = value.get("real") if tag.startswith("images/") else None
    return name_of(tag, value), value["value"], real, f"{how} ({details or tag})"


def _draw(model: TrainedModel, path: Path) -> bool:
    """Draw some samples; False for points that are not in the plane."""
    x = model.sample(_DRAWN)
    if model.spec.is_image:
        Image.fromarray(image_grid(x)).save(path)
    elif model.spec.shape == (2,):
        Image.fromarray(scatter(None, x.detach().numpy(), title="samples")).save(path)
    return model.spec.is_image or model.spec.shape == (2,)


def _text(
    run_dir: Path,
    model: TrainedModel,
    rows: Sequence[Row],
    *,
    facts: Mapping[str, Any],
    has_picture: bool,
) -> str:
    """Return the model card, with the header that model hubs read."""
    config, summary = saved_config(run_dir), read_summary(run_dir)
    data = printable_cell(summary.get("data", "unknown data"))
    step = "unknown" if facts["step"] is None else f"{facts['step']:,}"
    seed = printable_cell(config.get("seed"))
    cells = [(name, number(v), "" if r is None else number(r), how) for name, v, r, how in rows]
    table = markdown([("metric", "value", "real data", "measured by"), *cells])
    parameters = sum(p.numel() for p in model.generator.parameters())
    losses = json.dumps(config["objective"].get("critic_loss", {}).get("_target_", "its own"))
    lines = [
        "---", "library_name: gan_runner", "tags: [gan, image-generation]", "---", "",
        f"# A generator of {data.partition(',')[0]}", "",
        *(["![Samples, of seed 0](samples.png)", ""] if has_picture else []),
        f"- data: {data}",
        f"- network: `{config['model']['generator']['_target_']}`, {parameters:,} parameters,"
        f" {facts['weights']} weights {facts['hash']}",
        f"- training: checkpoint {facts['checkpoint']}, step {step}, seed {seed},"
        f" critic's loss {losses}; all settings in [config.yaml](config.yaml)",
        f"- software: gan_runner {facts['versions'].get('gan_runner')}, torch"
        f" {torch.__version__}, commit {facts['versions'].get('git_commit')}",
        "", "## Numbers", "",
        *(table if rows else ["The run logged no metrics at this step; see `gan-evaluate`."]), "",
        "Settings behind each number: [provenance.json](provenance.json).", "",
        "## Use", "", "```", f"gan-sample {WEIGHTS} --count 100 --out samples.npz",
        f"gan-evaluate {WEIGHTS} --count 10000", "```", "",
    ]  # fmt: skip
    return "\n".join(lines)

"""The text of a model card: what a generator is, how good it is, and how to use it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from gan_runner.config.paths import MOVABLE_KEYS
from gan_runner.config.words import key_of
from gan_runner.evaluation.tables import (
    Values,
    caption,
    error_text,
    is_beside,
    name_of,
    number,
    real_of,
    spread_of,
)
from gan_runner.runs.exported import WEIGHTS
from gan_runner.runs.layout import CONFIG, PROVENANCE
from gan_runner.runs.printable import printable_cell
from gan_runner.runs.tags import RAW, is_detail, record_of
from gan_runner.runs.text_tables import markdown

_GROUPS = ("objective", "model", "dataset", "optimizer")
_FILES = (
    f"`{WEIGHTS}` (weights; the metadata name the network), `{CONFIG}` (all settings of the"
    f" run), `{PROVENANCE}` (settings behind each number)"
)


def card_text(
    *,
    name: str,
    facts: Sequence[tuple[str, str]],
    remarks: Sequence[str],
    logged: Values,
    evaluations: Sequence[Mapping[str, Any]],
    is_image: bool,
    picture: str | None,
    allow: Sequence[str] = (),
) -> str:
    """Return a model card in Markdown, with the header that model hubs read.

    Args:
        name: title.
        facts: name and text of what a reader should know first.
        remarks: sentences about the quality of the samples.
        logged: what the run logged of this generator.
        evaluations: results of gan-evaluate for the same weights.
        is_image: samples are images.
        picture: file of samples in the folder; None without one.
        allow: prefixes of other packages that the generator's code belongs to.
    """
    tags = "[gan, image-generation]" if is_image else "[gan]"
    parts = [
        f"---\nlibrary_name: gan_runner\ntags: {tags}\n---",
        f"# {printable_cell(name)}",
        f"![Samples, seed 0]({picture})" if picture else "",
        "\n".join(f"- {key}: {printable_cell(text)}" for key, text in facts),
        "## Quality",
        "\n".join(f"- {remark}" for remark in remarks),
        *_sections(logged, evaluations),
        "## Use",
        _usage(is_image=is_image, allow=allow),
        f"Files: {_FILES}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def command_of(overrides: Sequence[str]) -> str:
    """Return the command line that trained a run, without places of the machine."""
    kept = [word for word in overrides if not _is_a_place(key_of(word))]
    return f"gan-run {shlex.join(kept)}".strip()


def _is_a_place(key: str) -> bool:
    """Return whether a key says where a run computes or where its files lie."""
    return key in MOVABLE_KEYS or key.startswith("hydra.")


def groups_of(choices: Mapping[str, Any]) -> str:
    """Return the chosen options of the main groups, such as `wgan_gp dcgan digits adam`."""
    return ", ".join(f"{group} {choices[group]}" for group in _GROUPS if choices.get(group))


def _sections(logged: Values, evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of the run's log and one for each evaluation."""
    named = [("Log of the run at this step", logged)]
    named += [(f"gan-evaluate: {caption(result)}", result["values"]) for result in evaluations]
    tables = [(f"### {printable_cell(title)}", _table(values)) for title, values in named]
    found = [part for pair in tables if pair[1] for part in pair]
    if not found:
        return ["The run logged no metrics at this step; `gan-evaluate` computes them."]
    note = "Real data: the value of real rows in place of samples. \u00b1: standard deviation over"
    return [*found, f"{note} splits (classifier score) or standard error (JS divergence)."]


def _table(values: Values) -> str:
    """Return a Markdown table of the metrics of samples; "" without any."""
    tags = [tag for tag in values if not is_beside(tag) and not is_detail(tag.removesuffix(RAW))]
    tags = [tag for tag in tags if not record_of(tag).is_training]
    if not tags:
        return ""
    rows = [_row(tag, values) for tag in sorted(tags, key=lambda tag: record_of(tag).order)]
    return "\n".join(markdown([("metric", "value", "real data", "settings"), *rows]))


def _row(tag: str, values: Values) -> tuple[str, str, str, str]:
    value, real, spread = values[tag], real_of(tag, values), spread_of(tag, values)
    cell = number(value["value"]) + error_text(value["value"], spread)
    rows, network = value.get("rows"), value.get("network")
    settings = [f"{value.get('samples', 0):,} samples" if value.get("samples") else ""]
    settings += [f"{rows:,} {value.get('reference')} rows" if rows else ""]
    settings += [f"features of {network}" if network else ""]
    name = f"{name_of(tag, value)}{record_of(tag).arrow}"
    shown = "" if real is None else number(real)
    return name, cell, shown, ", ".join(filter(None, settings))


def _usage(*, is_image: bool, allow: Sequence[str]) -> str:
    shape = "(1000, C, H, W) in [-1, 1]" if is_image else "(1000, d)"
    flags = "".join(f" --allow {shlex.quote(prefix)}" for prefix in allow)
    argument = f", allow={list(allow)!r}" if allow else ""
    needs = ", ".join(f"`{prefix.rstrip('.')}`" for prefix in allow)
    note = f"The network is code of {needs}: have it on PYTHONPATH, and trust it.\n\n"
    return (
        f"{note if allow else ''}```\n"
        f"gan-sample {WEIGHTS} --count 100 --out samples.npz{flags}\n"
        f"gan-evaluate {WEIGHTS} --count 10000{flags}\n"
        "```\n\n```python\nimport gan_runner\n\n"
        f'x = gan_runner.load("{WEIGHTS}"{argument}).sample(1000, seed=0)  # {shape}\n```'
    )

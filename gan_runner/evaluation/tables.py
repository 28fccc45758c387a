"""Results as text: for the terminal, and as one row of a paper's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_runner.runs import text_tables
from gan_runner.runs.tags import is_detail, record_of

_NAMES = {
    "images/fid": "FID", "images/kid": "KID", "images/frechet": "Frechet distance",
    "images/kernel": "kernel distance", "images/classifier_score": "classifier score",
    "images/precision": "precision", "images/recall": "recall", "images/density": "density",
    "images/coverage": "coverage",
}  # fmt: skip
_IN_A_ROW = 8  # numbers, where the user chose none


def terminal_text(result: Mapping[str, Any]) -> str:
    """Return the numbers of a result, a line each, beside those of real data."""
    values = result["values"]
    tags = sorted(values, key=lambda tag: record_of(tag).order)
    width = max((len(tag) for tag in tags), default=0)
    lines = [
        f"{tag:{width}} {number(values[tag]['value']):>10}{_real(tag, values[tag])}" for tag in tags
    ]
    return "\n".join([f"{result['path']}{_which(result)}", *(f"  {line}" for line in lines)])


def markdown_row(result: Mapping[str, Any]) -> str:
    """Return a result as one row of a Markdown table whose last cell says how it was measured."""
    values = result["values"]
    tags = sorted(values, key=lambda tag: record_of(tag).order)
    tags = [tag for tag in tags if not _is_minor(tag)][:_IN_A_ROW]
    cells = [f"{name_of(tag, values[tag])} {number(values[tag]['value'])}" for tag in tags]
    return text_tables.markdown_row([result["path"], *cells, caption(result)])


def caption(result: Mapping[str, Any]) -> str:
    """Return how a result was measured: the protocol and its source, or the settings."""
    protocol = result.get("protocol")
    what = f"{result['data'].partition(',')[0]}{_which(result)}"
    if protocol:
        return f"{protocol['text']} ({protocol['source']}); {what}"
    first: Mapping[str, Any] = next(iter(result["values"].values()), {})
    network = next((v["network"] for v in result["values"].values() if "network" in v), None)
    parts = [f"{result['samples']:,} samples"]
    if "rows" in first:
        parts.append(f"against {first['rows']:,} {first['reference']} rows")
    if network:
        parts.append(f"images in features of {network}")
    return f"{', '.join(parts)}; {what}"


def name_of(tag: str, value: Mapping[str, Any]) -> str:
    """Return the name of a metric in a table; the inception score only in Inception's classes."""
    bare = tag.removesuffix("_raw")
    if bare == "images/classifier_score" and value.get("network") == "inception":
        return "inception score"
    return _NAMES.get(bare, bare)


def _is_minor(tag: str) -> bool:
    bare = tag.removesuffix("_raw")
    return is_detail(bare) or bare.endswith(("_floor", "_std"))


def _which(result: Mapping[str, Any]) -> str:
    if result["kind"] == "samples":
        return ""
    step = f", step {result['step']:,}" if result.get("step") is not None else ""
    which = f", checkpoint {result['checkpoint']}{step}"
    return f"{which}, {result['generator']} generator, {result['noise']}"


def _real(tag: str, value: Mapping[str, Any]) -> str:
    real = value.get("real") if tag.startswith("images/") else None
    return "" if real is None else f"  (real data {number(real)})"


def number(value: float | None) -> str:
    """Return a value with four significant digits."""
    return "not finite" if value is None else f"{value:.4g}"

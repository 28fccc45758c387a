"""Results as text: for the terminal, and as one row of a paper's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_runner.runs import text_tables
from gan_runner.runs.seed_statistics import ROUNDING
from gan_runner.runs.tags import FLOOR, RAW, STD, is_detail, record_of

Values = Mapping[str, Mapping[str, Any]]
"""For each tag its value and provenance."""

ERROR = "_se"  # suffix: standard error

_NAMES = {
    "images/fid": "FID", "images/kid": "KID", "images/frechet": "Frechet distance",
    "images/kernel": "kernel distance", "images/classifier_score": "classifier score",
    "images/precision": "precision", "images/recall": "recall", "images/density": "density",
    "images/coverage": "coverage", "images/class_entropy": "class entropy, nats",
    "wasserstein/exact": "W1", "wasserstein/sliced": "sliced W1",
    "wasserstein/sliced_w2": "sliced W2",
    "jsd/probe": "JS divergence, lower bound, nats", "coverage/diversity": "diversity",
}  # fmt: skip
_IN_A_ROW = 8  # numbers, where the user chose none


def terminal_text(result: Mapping[str, Any]) -> str:
    """Return the numbers of a result, a line each, beside those of real data."""
    values = result["values"]
    tags = sorted(values, key=lambda tag: record_of(tag).order)
    tags = [tag for tag in tags if not is_beside(tag)]
    width = max((len(tag) for tag in tags), default=0)
    lines = [
        f"{tag:{width}} {number(values[tag]['value']):>10}{_beside(tag, values)}" for tag in tags
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
    bare = tag.removesuffix(RAW)
    if bare == "images/classifier_score" and value.get("network") == "inception":
        return "inception score"
    return _NAMES.get(bare, bare)


def is_beside(tag: str) -> bool:
    """Return whether a tag only accompanies another: a floor, a spread or a standard error."""
    return tag.removesuffix(RAW).endswith((FLOOR, STD, ERROR))


def is_floor(tag: str) -> bool:
    """Return whether a tag is the value of real data or the spread of that value."""
    return tag.endswith((FLOOR, f"{FLOOR}{STD}"))


def real_of(tag: str, values: Values) -> float | None:
    """Return the value of real data in place of samples; None where nobody computed it."""
    floor = values.get(f"{tag.removesuffix(RAW)}{FLOOR}", {}).get("value")
    real = values[tag].get("real") if tag.startswith("images/") else None
    return floor if real is None else real


def spread_of(tag: str, values: Values) -> float | None:
    """Return the standard deviation over splits or the standard error of a value; None without."""
    bare = tag.removesuffix(RAW)
    names = (f"{bare}{suffix}{tag[len(bare) :]}" for suffix in (STD, ERROR))
    return next((values[name]["value"] for name in names if name in values), None)


def error_text(value: float | None, spread: float | None) -> str:
    """Return " +- spread"; "" without one, and with one of the size of rounding errors."""
    if spread is None or spread <= ROUNDING * abs(value or 0.0):
        return ""
    return f" \u00b1 {spread:.2g}"


def _is_minor(tag: str) -> bool:
    return is_detail(tag.removesuffix(RAW)) or is_beside(tag)


def _which(result: Mapping[str, Any]) -> str:
    if result["kind"] == "samples":
        return ""
    step = f", step {result['step']:,}" if result.get("step") is not None else ""
    which = f", checkpoint {result['checkpoint']}{step}"
    average = f" {result['average']}" if result.get("average") else ""
    return f"{which}, {result['generator']} generator{average}, {result['noise']}"


def _beside(tag: str, values: Values) -> str:
    """Return the spread of a value and the value of real data, as text."""
    spread, real = spread_of(tag, values), real_of(tag, values)
    return error_text(values[tag]["value"], spread) + (
        "" if real is None else f"  (real data {number(real)})"
    )


def number(value: float | None) -> str:
    """Return a value with four significant digits."""
    return "not finite" if value is None else f"{value:.4g}"

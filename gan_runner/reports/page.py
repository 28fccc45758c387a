"""gan-report: one HTML file that shows a study or a sweep and works offline."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

import gan_runner
from gan_runner.reports import study, sweep
from gan_runner.reports.typeset import typeset
from gan_runner.runs.layout import STUDY
from gan_runner.runs.parse import finite_values
from gan_runner.studies import table

SCRIPTS = ("dom.js", "charts.js", "groups.js", "rows.js", "report.js")
STYLES = ("report.css", "rows.css")
_FOR_THE_TEMPLATE = {
    "sections", "labels", "interval", "facts", "progress", "title", "noun", "means",
}  # fmt: skip


def render(folder: Path) -> str:
    """Return the HTML page of a study, a folder with a study.json, or of any other sweep.

    Raises:
        ValueError: the folder is neither.
    """
    is_study = (folder / STUDY).exists()
    content = study.content(folder) if is_study else sweep.content(folder)
    style, script = (_joined(names) for names in (STYLES, SCRIPTS))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"difference": table.difference, "p": table.p, "typeset": typeset}
    template = environment.from_string(_asset("report.html"))
    return template.render(
        content,
        data=as_script(_without(content)),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=gan_runner.__version__,
    )


def as_script(content: Any) -> str:
    """Return JSON that is safe inside a script element: <, > and & are escaped.

    Numbers that are not finite, such as the difference of two huge ones, become null.
    """
    text = json.dumps(finite_values(content), separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _without(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content that the scripts need; the template renders the rest as text."""
    kept = {key: value for key, value in content.items() if key not in _FOR_THE_TEMPLATE}
    return kept | {"noun": content["noun"]}


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join(_asset(name) for name in names)


def _asset(name: str) -> str:
    """Return the text of a file of this package, with line ends as browsers hash them."""
    return (files(__package__) / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    """Return the hash by which the content security policy allows this text alone."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

"""One evaluation from a path to a result, and a sweep's, which goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

from gan_runner.core import StateDict
from gan_runner.evaluation.measure import measure
from gan_runner.evaluation.protocols import PROTOCOLS
from gan_runner.evaluation.request import Request
from gan_runner.evaluation.subjects import subject_of
from gan_runner.runs.checkpoint import fingerprint
from gan_runner.runs.chosen_checkpoint import load_chosen
from gan_runner.runs.layout import CHECKPOINTS, CONFIG
from gan_runner.runs.log import write_json
from gan_runner.runs.parse import mismatch
from gan_runner.runs.provenance import versions
from gan_runner.runs.read import try_json
from gan_runner.runs.within import Folder, within
from gan_runner.training.device import device_name

FOLDER = "evaluations"  # of a run directory

_MAYBE = (int, float, type(None))
_VALUE = {"value!": _MAYBE, "real": _MAYBE, "rows": int, "reference": str, "network": str}
_SHAPE = {
    "kind!": str, "path!": str, "data!": str, "samples!": int, "checkpoint!": str,
    "step": (int, type(None)), "generator!": str, "average": str, "noise!": str,
    "generator_weights": str, "protocol": (dict, type(None)),
    "values!": {"*": {**_VALUE, "generator": str}},
}  # fmt: skip
_PROTOCOL_SHAPE = {"text!": str, "source!": str}


def evaluate(path: Path, request: Request, *, plots: Path | None = None) -> dict[str, Any]:
    """Evaluate a run, an exported generator or a file of samples.

    The result of a run is kept in RUN_DIR/evaluations; the same request finds it there.

    Args:
        path: of one subject; see `subjects.subject_of`.
        request: the settings.
        plots: folder for plots; None: none.

    Returns:
        The content of a JSON file: what was evaluated and how, and `values`: for each tag the
        number and its provenance.

    Raises:
        ValueError: see `subject_of` and `measure.measure`.
    """
    request = request.checked()
    state = load_chosen(path, request.checkpoint) if _is_run(path) else None
    kept = None if state is None else kept_path(path, request, state)
    if kept is not None and plots is None and (result := _kept(kept)):
        return result
    subject = subject_of(path, request, state)
    begun = perf_counter()
    values = measure(subject, request, plots=plots)
    seconds = perf_counter() - begun
    protocol = PROTOCOLS.get(request.protocol or "")
    result = {
        **subject.facts,
        "samples": subject.count,
        "data": str(subject.dataset.spec),
        "protocol": {"name": protocol.name, "text": protocol.text, "source": protocol.source}
        if protocol
        else None,
        "values": values,
        "seconds": round(seconds, 2),
        "device": device_name(subject.device),
        "request": {k: v for k, v in request.key.items() if v not in (None, (), False)},
        "versions": versions(),
    }
    if kept is not None:
        try:
            write_json(kept, result)
        except OSError:  # another user's run
            return result
    return result


def kept_path(run_dir: Path, request: Request, state: StateDict) -> Path:
    """Return the file of a run's result, named by all that decides it.

    Raises:
        ValueError: the folder of results is a link out of the run directory.
    """
    config = (run_dir / CONFIG).read_text(encoding="utf-8")
    text = json.dumps([fingerprint(state), config, request.key], default=str)
    return within(run_dir, run_dir / FOLDER / f"{sha256(text.encode()).hexdigest()[:16]}.json")


def kept_results(run_dir: Path) -> list[dict[str, Any]]:
    """Return the results that a run directory keeps."""
    paths, _ = Folder(run_dir).glob(f"{FOLDER}/*.json")
    return [result for path in paths if (result := _kept(path))]


def _kept(path: Path) -> dict[str, Any] | None:
    """Return a result that a run directory keeps; None where it is malformed."""
    result = try_json(path, _SHAPE)
    if result and result.get("protocol") and mismatch(result["protocol"], _PROTOCOL_SHAPE):
        return None
    return result


def write_results(path: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write one result, or those of several runs by name, as JSON."""
    content = next(iter(results.values())) if len(results) == 1 else {"runs": results}
    write_json(path, content)


def _is_run(path: Path) -> bool:
    return (path / CONFIG).is_file() and (path / CHECKPOINTS).is_dir()

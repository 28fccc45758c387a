"""gan-evaluate: metrics of a run, a sweep, an exported generator or samples, after training."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from gan_runner.commands.console import add_allow, plain_warnings
from gan_runner.commands.options import OptionParser
from gan_runner.commands.terminal import terminal
from gan_runner.evaluation.protocols import PROTOCOLS
from gan_runner.evaluation.request import Request
from gan_runner.runs.layout import CONFIG
from gan_runner.runs.printable import echo

_WHAT = """directory of a run or of a sweep, FILE.safetensors or the folder of a
gan-export, FILE.npz, or a folder of images"""
_DATA = """the data that a file's samples imitate, such as dataset=mnist
dataset.root=FOLDER; of a run, only such places may change"""
_OPTIONS: dict[str, dict[str, Any]] = {
    "checkpoint": {
        "default": "last", "metavar": "WHICH", "help": "last, best or a step (default: last)"
    },
    "count": {"type": int, "help": "samples (default: as many as in a run's log; all of a file)"},
    "reference": {
        "metavar": "WHICH",
        "help": "heldout, train, a folder of images or FILE.npz (default: heldout)",
    },
    "network": {
        "choices": ("classifier", "inception", "random"),
        "help": "features of image metrics (default: the run's)",
    },
    "weights": {
        "metavar": "FILE",
        "help": "Inception's weights as torch-fidelity publishes them (default: a download)",
    },
    "measures": {
        "metavar": "LIST",
        "help": "metrics, such as images,exact or frechet,kernel (default: all that apply)",
    },
    "protocol": {
        "choices": tuple(PROTOCOLS), "metavar": "NAME", "help": "a published protocol, see below"
    },
    "seed": {"type": int, "help": "noise as in gan-sample (default: the fixed noise of the run)"},
    "raw": {"action": "store_true", "help": "use the generator without averaging"},
    "average": {
        "metavar": "NAME",
        "help": "average of the generator, one of the run's `averages` (default: the first)",
    },
    "out": {"type": Path, "metavar": "FILE.json", "help": "write numbers and provenance as JSON"},
    "plots": {"type": Path, "metavar": "FOLDER", "help": "draw all plots that apply into a folder"},
    "device": {"default": "auto", "help": "auto, cpu, cuda or cuda:N"},
    }  # fmt: skip


@terminal("gan-evaluate")
def main(arguments: list[str] | None = None) -> None:
    """Run `gan-evaluate`; exit with status 2 on an error of the user, 1 if some runs failed."""
    options = _parser().parse_args(arguments)
    plain_warnings("gan-evaluate")
    try:
        results, failed = _evaluate_all(options)
        _print(results, options.out)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and "memory" not in str(error):
            raise
        reason = str(error).partition(chr(10))[0] or "out of memory; choose a smaller --count"
        echo(f"gan-evaluate: {reason}", error=True)
        sys.exit(2)
    sys.exit(1 if failed else 0)


def _evaluate_all(options: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], int]:
    """Return the results of all runs at the path, and how many runs have none.

    Raises:
        ValueError: the only run has none.
    """
    request = _request(options)
    request.checked()  # before torch is imported
    if options.out is not None and options.out.is_dir():
        raise ValueError(f"--out {options.out}: is a directory; choose a file in it")
    from gan_runner.evaluation.evaluate import evaluate

    paths = _paths(options.what)
    results, failed = {}, 0
    for k, path in enumerate(paths):
        if len(paths) > 1:
            echo(f"gan-evaluate: run {k + 1} of {len(paths)}", error=True)
        plots = options.plots if len(paths) == 1 or not options.plots else options.plots / path.name
        try:
            results[str(path)] = evaluate(path, request, plots=plots)
        except ValueError as error:
            if len(paths) == 1:
                raise
            failed += 1
            echo(f"gan-evaluate: {path}: {error}", error=True)
    return results, failed


def _paths(what: Path) -> list[Path]:
    """Return the runs of a sweep, the replicas of a run, or the path itself."""
    from gan_runner.runs.exported import exported_file
    from gan_runner.runs.rows import replica_dirs
    from gan_runner.sweeps.jobs import read_jobs

    if not what.is_dir() or exported_file(what) is not None:
        return [what]
    jobs = [] if (what / CONFIG).is_file() else read_jobs(what)
    found = [job.folder for job in jobs if (job.folder / CONFIG).is_file()] or [what]
    return [path for folder in found for path in replica_dirs(folder)]


def _request(options: argparse.Namespace) -> Request:
    measures = tuple(options.measures.split(",")) if options.measures else None
    return Request(
        checkpoint=options.checkpoint, count=options.count, reference=options.reference,
        network=options.network, weights=options.weights, measures=measures, seed=options.seed,
        raw=options.raw, average=options.average, protocol=options.protocol,
        overrides=tuple(options.overrides), allow=tuple(options.allow), device=options.device,
    )  # fmt: skip


def _print(results: dict[str, dict[str, Any]], out: Path | None) -> None:
    from gan_runner.evaluation.evaluate import write_results
    from gan_runner.evaluation.tables import markdown_row, terminal_text

    for result in results.values():
        echo(terminal_text(result))
    echo("\n".join(["", *(markdown_row(result) for result in results.values())]))
    if out is not None:
        write_results(out, results)
        echo(f"\nnumbers and their provenance in {os.fspath(out)}")


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser(
        prog="gan-evaluate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
        epilog="protocols:\n" + "\n".join(
            f"  {p.name:17} {p.text} ({p.source})" for p in PROTOCOLS.values()
        ),
    )  # fmt: skip
    add = parser.add_argument
    add("what", type=Path, metavar="WHAT", help=_WHAT)
    add("overrides", nargs="*", default=[], metavar="dataset=...", help=_DATA)
    for name, options in _OPTIONS.items():
        add(f"--{name}", **options)
    add_allow(parser)
    return parser


if __name__ == "__main__":
    main()

"""gan-export: write a generator for publication: weights, configuration, samples and a card."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_runner.commands.console import add_allow, plain_warnings
from gan_runner.commands.options import OptionParser
from gan_runner.commands.terminal import terminal
from gan_runner.config.user_code import keep_traceback
from gan_runner.evaluation.model_card import write_folder
from gan_runner.restore import load
from gan_runner.runs.exported import WEIGHTS
from gan_runner.runs.printable import echo
from gan_runner.runs.read import saved_config
from gan_runner.runs.tensors import save_safetensors


@terminal("gan-export")
def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-export` command; exit with status 2 on an error of the user."""
    parser = OptionParser(prog="gan-export", description=__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="directory of a gan-run")
    parser.add_argument(
        "--out", type=Path, default=Path("generator"),
        help="FOLDER: weights, configuration, provenance, samples and README.md, a model card;"
        " FILE.safetensors: the weights alone (default: generator)",
    )  # fmt: skip
    parser.add_argument("--raw", action="store_true", help="use the generator without averaging")
    parser.add_argument(
        "--average", metavar="NAME", default=None,
        help="average of the generator, one of the run's `averages` (default: the first)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", default="last", metavar="WHICH", help="last, best or a step (default: last)"
    )
    add_allow(parser)
    options = parser.parse_args(arguments)
    plain_warnings("gan-export")
    names = ("raw", "average", "checkpoint", "allow")
    chosen = {name: getattr(options, name) for name in names}
    try:
        if options.raw and options.average is not None:
            raise ValueError(f"--average {options.average}: contradicts --raw; omit one of them")
        if options.out.suffix and not options.out.is_dir():
            export(options.run_dir, options.out, **chosen)
        else:
            export_folder(options.run_dir, options.out, **chosen)
    except (ValueError, OSError) as error:
        keep_traceback(error, options.allow)
        echo(f"gan-export: {error}", error=True)
        sys.exit(2)
    echo(f"weights in {options.out}")


def export(
    run_dir: Path,
    out: Path,
    *,
    raw: bool = False,
    average: str | None = None,
    allow: Sequence[str] = (),
    checkpoint: str = "last",
) -> None:
    """Write the generator of a run's checkpoint as a safetensors file; see `runs.exported`.

    Raises:
        ValueError: the run or its checkpoint is missing, a target is not allowed, or `out` is not
            a name of a safetensors file.
        OSError: the file cannot be written.
    """
    if (out.exists() and not out.is_file()) or out.suffix != ".safetensors":
        raise ValueError(f"--out {out}: should be a folder, or a file that ends in .safetensors")
    chosen: dict[str, Any] = {"raw": raw, "average": average, "checkpoint": checkpoint}
    players = load(run_dir, device="cpu", allow=allow, **chosen)
    config = saved_config(run_dir)
    metadata = {
        "generator": json.dumps(config["model"]["generator"]),
        "objective": json.dumps(config["objective"]),
        "shape": json.dumps(list(players.spec.shape)),
        "n_classes": str(players.spec.n_classes),
        **{key: str(fact) for key, fact in players.facts.items()},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(out, players.generator.state_dict(), metadata)
    mask = os.umask(0)
    os.umask(mask)
    out.chmod(0o666 & ~mask)  # safetensors writes a file that its owner alone can read


def export_folder(
    run_dir: Path,
    folder: Path,
    *,
    raw: bool = False,
    average: str | None = None,
    allow: Sequence[str] = (),
    checkpoint: str = "last",
) -> None:
    """Write the generator of a run's checkpoint as a folder; see `evaluation.model_card`.

    Raises:
        ValueError: as in `export`, or the folder contains other files.
        OSError: a file cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / WEIGHTS).is_file():
        raise ValueError(f"--out {folder}: contains other files; choose a new folder")
    chosen: dict[str, Any] = {"raw": raw, "average": average, "checkpoint": checkpoint}
    export(run_dir, folder / WEIGHTS, allow=allow, **chosen)
    write_folder(run_dir, folder, allow=allow)


if __name__ == "__main__":
    main()

"""gan-export: write a generator's weights as safetensors, for publication."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gan_runner.commands.console import add_allow, plain_warnings
from gan_runner.config.user_code import keep_traceback
from gan_runner.restore import load
from gan_runner.runs.printable import echo
from gan_runner.runs.read import saved_config
from gan_runner.runs.tensors import save_safetensors


def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-export` command; exit with status 2 on an error of the user."""
    parser = argparse.ArgumentParser(prog="gan-export", description=__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="directory of a gan-run")
    parser.add_argument("--out", type=Path, default=Path("generator.safetensors"))
    parser.add_argument("--raw", action="store_true", help="use the generator without averaging")
    add_allow(parser)
    options = parser.parse_args(arguments)
    plain_warnings("gan-export")
    try:
        export(options.run_dir, options.out, raw=options.raw, allow=options.allow)
    except (ValueError, OSError) as error:
        keep_traceback(error, options.allow)
        echo(f"gan-export: {error}", error=True)
        sys.exit(2)
    echo(f"weights in {options.out}")


def export(run_dir: Path, out: Path, *, raw: bool = False, allow: Sequence[str] = ()) -> None:
    """Write the generator of a run's last checkpoint as a safetensors file.

    The metadata values are strings. `generator` is the configuration node and `shape` the shape of
    a sample, both as JSON. `n_classes` is the number of labels that the generator was trained with;
    `weights` is "average" or "raw".

    Raises:
        ValueError: the run or its checkpoint is missing, a target is not allowed, or `out` is a
            directory.
        OSError: the file cannot be written.
    """
    if out.exists() and not out.is_file():
        raise ValueError(f"--out {out}: is not a file; choose a name that ends in .safetensors")
    players = load(run_dir, raw=raw, device="cpu", allow=allow)
    generator, spec = players.generator, players.spec
    node = saved_config(run_dir)["model"]["generator"]
    metadata = {
        "generator": json.dumps(node),
        "shape": json.dumps(list(spec.shape)),
        "n_classes": str(spec.n_classes),
        "weights": "raw" if raw else "average",
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(out, generator.state_dict(), metadata)


if __name__ == "__main__":
    main()

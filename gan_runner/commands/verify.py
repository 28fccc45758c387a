"""gan-verify: check that a resumed run repeats the original bit for bit.

The command trains again from the second-to-last checkpoint to the last, in a temporary directory.
It compares all weights, optimizer states, random states and the log in between, bit for bit.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gan_runner.commands.console import add_allow, plain_warnings
from gan_runner.commands.options import OptionParser
from gan_runner.commands.terminal import terminal
from gan_runner.config.user_code import keep_traceback
from gan_runner.restore import check_complete, check_data, rebuild_engine
from gan_runner.runs.checkpoint import (
    CorruptCheckpoint,
    checkpoint_path,
    checkpoint_steps,
    differences,
    load_state,
)
from gan_runner.runs.comparison import holds_replicas
from gan_runner.runs.printable import echo
from gan_runner.runs.read import saved_config
from gan_runner.training.loop import fit


@terminal("gan-verify")
def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-verify` command; exit with 1 if the states differ, with 2 on a user's error."""
    parser = OptionParser(prog="gan-verify", description=__doc__.partition("\n")[0])
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="directory of a gan-run")
    add_allow(parser)
    options = parser.parse_args(arguments)
    plain_warnings("gan-verify")
    try:
        first, last, different = verify(options.run_dir, allow=options.allow)
    except (ValueError, OSError, CorruptCheckpoint) as error:
        keep_traceback(error, options.allow)
        echo(f"gan-verify: {error}", error=True)
        sys.exit(2)
    if different:
        echo(f"steps {first:,} to {last:,} differ in {', '.join(different)}", error=True)
        sys.exit(1)
    echo(f"steps {first:,} to {last:,} repeated: the same state, bit for bit")


def verify(run_dir: Path, *, allow: Sequence[str] = ()) -> tuple[int, int, list[str]]:
    """Repeat a run between its last two checkpoints.

    Returns:
        The steps of both checkpoints, and the names of the state's entries that differ.

    Raises:
        ValueError: the run has fewer than two checkpoints.
        CorruptCheckpoint: a checkpoint cannot be read.
    """
    one = run_dir / "replica_0" if holds_replicas(run_dir) else run_dir
    steps = checkpoint_steps(one)[-2:]
    if len(steps) < 2:
        saved_config(run_dir)  # raises if this is not a run directory
        raise ValueError(f"{run_dir} has fewer than two checkpoints; see trainer.checkpoint_every")
    again = rebuild_engine(run_dir, steps=steps[1], allow=allow)
    check_data(run_dir, again)
    names = [run.folder for run in again.runs]
    first, last = (
        [load_state(checkpoint_path(run_dir / name, step)) for name in names] for step in steps
    )
    check_complete(run_dir, first, what="verify")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        fit(again, scratch, resume_from=first)
        states = [load_state(checkpoint_path(scratch / name, steps[1])) for name in names]
    different = [differences(old, new) for old, new in zip(last, states, strict=True)]
    return steps[0], steps[1], sorted({name for names in different for name in names})


if __name__ == "__main__":
    main()

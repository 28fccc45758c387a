"""gan-verify: prove that a run can be resumed, by doing it.

Trains again from the last checkpoint but one to the last, in a temporary directory, and compares
every weight, every optimizer state, every random state and the log in between, bit for bit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gan_runner.load import rebuild
from gan_runner.training.checkpoint import (
    Damaged,
    checkpoint_path,
    checkpoints,
    differences,
    load_checkpoint,
)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `gan-verify`."""
    parser = argparse.ArgumentParser(prog="gan-verify", description=__doc__.partition("\n")[0])
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="directory of a gan-run")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PREFIX", help="as of gan-sample"
    )
    options = parser.parse_args(arguments)
    try:
        first, last, different = verify(options.run_dir, allow=options.allow)
    except (ValueError, OSError, Damaged) as error:
        print(f"gan-verify: {error}", file=sys.stderr)
        sys.exit(2)
    if different:
        print(f"steps {first:,} to {last:,} differ in {', '.join(different)}", file=sys.stderr)
        sys.exit(1)
    print(f"steps {first:,} to {last:,} repeated: the same state, bit for bit")


def verify(run_dir: Path, *, allow: Sequence[str] = ()) -> tuple[int, int, list[str]]:
    """Repeat a run between its last two checkpoints.

    Returns:
        The step of either, and the names of the entries of the state that differ.

    Raises:
        ValueError: the run has fewer than two checkpoints.
        Damaged: one of them cannot be read.
    """
    paths = checkpoints(run_dir)[-2:]
    if len(paths) < 2:
        raise ValueError(f"{run_dir} has fewer than two checkpoints; see trainer.checkpoint_every")
    steps = [int(path.stem.removeprefix("step_")) for path in paths]
    trainer = rebuild(run_dir, steps=steps[1], allow=allow)
    with tempfile.TemporaryDirectory() as scratch:
        trainer.fit(Path(scratch), resume_from=load_checkpoint(paths[0]))
        again = load_checkpoint(checkpoint_path(Path(scratch), steps[1]))
    return steps[0], steps[1], differences(load_checkpoint(paths[1]), again)


if __name__ == "__main__":
    main()

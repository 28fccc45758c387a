"""The checkpoint of a run that a user names: the last, the best, or that of a step."""

from __future__ import annotations

from pathlib import Path

from gan_runner.core import StateDict
from gan_runner.runs.checkpoint import (
    CorruptCheckpoint,
    best_path,
    checkpoint_path,
    checkpoints,
    load_latest,
    load_state,
)


def load_chosen(run_dir: Path, which: str = "last") -> StateDict:
    """Read a checkpoint of one run.

    Args:
        run_dir: directory of the run.
        which: "last" (the newest valid one), "best" or a step.

    Raises:
        ValueError: `which` is none of these, or the run has no such checkpoint that can be read.
    """
    if which == "last":
        (state,) = load_latest([run_dir])
        return state
    if which != "best" and not which.isdecimal():
        raise ValueError(f"--checkpoint {which}: should be best, last or a step")
    path = best_path(run_dir) if which == "best" else checkpoint_path(run_dir, int(which))
    if not path.is_file():
        steps = [str(int(p.stem.removeprefix("step_"))) for p in checkpoints(run_dir)]
        kept = ", ".join([*steps, *(["best"] if best_path(run_dir).is_file() else [])])
        raise ValueError(
            f"--checkpoint {which}: {run_dir} has no such checkpoint; choose one of: {kept or '-'}"
            " (see trainer.keep_checkpoints and trainer.checkpoint_metric)"
        )
    try:
        return load_state(path)
    except CorruptCheckpoint as damage:
        raise ValueError(f"--checkpoint {which}: {damage}; choose another") from damage

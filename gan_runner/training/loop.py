"""The training loop: setup, step, tick; for one run, or for several that step together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gan_runner.core import StateDict
from gan_runner.runs.checkpoint import fits_config
from gan_runner.runs.files import atomic_write
from gan_runner.runs.layout import CHECKPOINTS, COMMAND, CONFIG, SUMMARY, check_new
from gan_runner.runs.lock import locked
from gan_runner.runs.log import write_json
from gan_runner.runs.progress_picture import write_progress
from gan_runner.runs.rows import command_text
from gan_runner.runs.within import check_folders
from gan_runner.training.engine import EngineLike
from gan_runner.training.progress import Progress
from gan_runner.training.recorder import Recorder
from gan_runner.training.replay import save_nonfinite_steps
from gan_runner.training.schedule import Schedule


def fit(
    engine: EngineLike, run_dir: Path | str, *, resume_from: Sequence[StateDict] | None = None
) -> dict[str, Any]:
    """Train into a run directory; return the content of its summary.json.

    The summary's `status` is "completed", "interrupted" (`signal` names the signal; all up to that
    step is on disk), "diverged" (its `health` is, and it was told to stop then) or "failed".
    Several runs train into `run_dir/replica_K`; then the status is that of the worst.

    Args:
        engine: the run or runs, at the step to go on from.
        run_dir: a folder of its own.
        resume_from: checkpoints of the same runs, to continue there.

    Raises:
        ValueError: the folder holds a run, and this is not its continuation; or another process
            trains into it; or a link in it leads elsewhere, or a checkpoint is of other networks.
        OSError: something could not be written. The checkpoints written before are intact.
    """
    run_dir = Path(run_dir)
    folders = [run_dir / run.folder for run in engine.runs]
    check_folders(run_dir, [run.folder for run in engine.runs])
    for run, folder in zip(engine.runs, folders, strict=True):
        check_folders(folder, [CHECKPOINTS, *run.plots])
    with ExitStack() as stack:
        for folder in {run_dir: None, **dict.fromkeys(folders)}:
            stack.enter_context(locked(folder))
        engine.timer.restart(engine.step)
        if resume_from is None:
            check_new(run_dir, names_of(engine))
        else:  # before anything is written
            _load_states(engine, run_dir, resume_from)
        atomic_write(run_dir / CONFIG, engine.config.encode())
        if resume_from is None and engine.command is not None:
            atomic_write(run_dir / COMMAND, command_text(engine.command))
        schedule = stack.enter_context(Schedule(engine.runs[0].settings))
        recorders = _recorders(engine, folders, schedule, resume_from=resume_from)
        for recorder in recorders:
            stack.enter_context(recorder.log)
        try:
            train(engine, recorders, schedule, resumed=resume_from is not None)
        except KeyboardInterrupt:  # a second signal: at once, and without another checkpoint
            schedule.note_signal()
            for recorder in recorders:
                recorder.stop_at_once()
        finally:
            mode = engine.mode.describe()
            summaries = [recorder.close(mode) for recorder in recorders]
    for folder in folders:
        write_progress(folder)
    return _combined(engine, run_dir, summaries)


def names_of(engine: EngineLike) -> list[str]:
    """Return the folders of plots, and of each replica its plots and its configuration."""
    names = [
        f"{run.folder}/{name}".lstrip("/")
        for run in engine.runs
        for name in (*run.plots, *([CONFIG] if run.folder else []))
    ]
    return sorted(names)


def train(
    engine: EngineLike, recorders: Sequence[Recorder], schedule: Schedule, *, resumed: bool
) -> None:
    """Take steps until the schedule is done; on a tick, save first, then measure and draw."""
    for recorder, nets, state in zip(
        recorders, engine.networks(), engine.state_dicts(), strict=True
    ):
        recorder.begin(nets, state, resumed=resumed)
    with Progress(schedule.settings.steps, engine.step) as progress:
        while not schedule.done(engine.step) and any(r.is_active for r in recorders):
            logs = engine.train_step()
            progress.advance()
            for recorder, log in zip(recorders, logs, strict=True):
                recorder.add(log)
            if not schedule.due(engine.step):
                continue
            save_nonfinite_steps(engine, recorders)
            networks, states = engine.networks(), engine.state_dicts()
            # The checkpoint comes first: what the tick writes, a resumed run writes again.
            for recorder, state in zip(recorders, states, strict=True):
                recorder.checkpoint(state)
            for recorder in recorders:  # only now, so that there is always a step that all have
                recorder.prune()
            points = [
                recorder.tick(nets, state)
                for recorder, nets, state in zip(recorders, networks, states, strict=True)
            ]
            progress.show(points, engine.step, evaluated=schedule.evaluates(engine.step))
    for recorder in recorders:
        recorder.end()


def _recorders(
    engine: EngineLike,
    folders: Sequence[Path],
    schedule: Schedule,
    *,
    resume_from: Sequence[StateDict] | None,
) -> list[Recorder]:
    """Open the record of each run."""
    states: Sequence[StateDict | None] = resume_from or [None] * len(folders)
    return [
        Recorder(run, folder, schedule, engine.timer, step=engine.step, state=state)
        for run, folder, state in zip(engine.runs, folders, states, strict=True)
    ]


_WORST_FIRST = ("failed", "interrupted", "diverged", "completed")
_COMMON = ("signal", "steps", "seconds", "settings", "accelerate", "versions", "device")
_EACH = ("status", "steps", "seed", "health", "final", "best")


def _load_states(engine: EngineLike, run_dir: Path, states: Sequence[StateDict]) -> None:
    """Set the engine to the checkpoints of its runs.

    Raises:
        ValueError: a checkpoint does not fit the engine.
    """
    with fits_config(run_dir):
        engine.load_state_dicts(states)
        engine.timer.load_state_dict(states[0]["seconds"], step=engine.step)


def _combined(
    engine: EngineLike, run_dir: Path, summaries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the summary of one run, or write and return that of several in one directory."""
    if engine.runs[0].folder == "":
        return summaries[0]
    worst = min(summaries, key=lambda summary: _WORST_FIRST.index(summary["status"]))
    combined = {
        "status": worst["status"],
        **{key: worst[key] for key in _COMMON},
        "replicas": {
            run.folder: {key: summary[key] for key in _EACH}
            for run, summary in zip(engine.runs, summaries, strict=True)
        },
    }
    write_json(run_dir / SUMMARY, combined)
    return combined

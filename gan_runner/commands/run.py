"""One run from the command line, new or resumed.

Hydra composes the configuration; this module turns errors of the user into `UsageError`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from gan_runner.builder import build
from gan_runner.commands.console import health, print_result
from gan_runner.config.command_line import (
    allowed_targets,
    group_choices,
    places_of,
    task_words,
    typed_keys,
    with_choices,
)
from gan_runner.config.compose import merged_cards
from gan_runner.config.errors import FAILURE, Interrupted, UsageError, first_line
from gan_runner.config.paths import MOVABLE_KEYS, anchored
from gan_runner.config.user_code import in_user_code
from gan_runner.config.validate import hyperparameters
from gan_runner.core import StateDict
from gan_runner.restore import rebuild_engine, resume_states
from gan_runner.runs.layout import check_new, remove_if_empty
from gan_runner.runs.printable import echo, printable_cell, quoted
from gan_runner.runs.read import CHOICES
from gan_runner.training.engine import EngineLike
from gan_runner.training.loop import fit, names_of

_GROUPS = ("dataset", "model", "objective", "optimizer")
_CLASSES_SHOWN = 5


def run(cfg: DictConfig) -> dict[str, Any]:
    """Train one run, or one job of a sweep; return its summary.

    Raises:
        UsageError: the configuration, the data or the machine does not allow the run, or the run
            diverged.
        Interrupted: a signal ended the run; everything up to that step is on disk.
    """
    run_dir = Path(os.path.relpath(HydraConfig.get().runtime.output_dir))
    allow: Sequence[str] = ()
    try:
        allow = allowed_targets(task_words())
        _check_single(cfg)
        engine = build(with_choices(cfg), allow=allow)
        _warn_of_checkpoints(engine)
        engine.config = anchored(engine.config, Path.cwd())
        for one in engine.runs:
            one.config = anchored(one.config, Path.cwd())
            one.hyperparameters = {**hyperparameters(cfg), "seed": one.facts["seed"]}
        engine.command = task_words()
        check_new(run_dir, names_of(engine), key="hydra.run.dir")
    except (ValueError, OSError) as error:
        remove_if_empty(run_dir)
        if in_user_code(error, allow):
            raise
        raise UsageError(str(error)) from error
    except BaseException:
        remove_if_empty(run_dir)
        raise
    _print_header(" ".join(_choices()), engine, run_dir)
    return _fit(engine, run_dir, allow)


def _choices() -> list[str]:
    """Return the options of the main groups, and the classes that replace theirs."""
    chosen, typed = group_choices(), [word.partition("=") for word in task_words()]
    classes = [(key, value) for key, _, value in typed if key.endswith("._target_")]
    return [f"{group}={chosen[group]}" for group in _GROUPS if group in chosen] + [
        f"{key.lstrip('+').removesuffix('._target_')}={value.rpartition('.')[2]}"
        for key, value in classes
    ]


def _check_single(cfg: DictConfig) -> None:
    """Check that neither a recipe of a sweep nor several cards make one run by mistake.

    Raises:
        ValueError: with the words for a sweep, and for one run.
    """
    if problem := merged_cards(task_words()):
        raise ValueError(problem)
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.RUN or CHOICES in cfg:  # a job, or a run that is repeated
        return
    params = "hydra.sweeper.params" if hydra.sweeper.get("params") else ""
    key = "study" if cfg.get("study") is not None else params if "study" not in cfg else ""
    if key:
        name = group_choices().get("experiment", "")
        raise ValueError(
            f"experiment={name}: defines a sweep; add -m to run all of its jobs, or {key}=null to"
            " train one run of it"
        )


def _warn_of_checkpoints(engine: EngineLike) -> None:
    """Warn of an interval of checkpoints that is typed and longer than the run."""
    settings = engine.runs[0].settings
    typed = typed_keys(task_words())
    if "trainer.checkpoint_every" in typed and settings.checkpoint_every > settings.steps > 0:
        warnings.warn(
            f"trainer.checkpoint_every={settings.checkpoint_every} is more than trainer.steps="
            f"{settings.steps}: only the first and the last step are saved",
            stacklevel=2,
        )


def resume(arguments: Sequence[str]) -> dict[str, Any]:
    """Continue a run from its last valid checkpoint, to the same result as without the stop.

    Besides `resume=RUN_DIR`, `trainer.steps=N` may raise the number of steps, and
    `allow_targets=[...]` must repeat the prefixes that the run needs. On another machine,
    `dataset.path=NEW`, `dataset.root=NEW` or `device=cpu` may replace the values of the run; the
    training data must have the same contents. Any other override would change the run and is
    rejected.

    Raises:
        UsageError: an override is not allowed or invalid, or as in `run`.
    """
    if flags := [a for a in arguments if a.startswith("-")]:
        problem = f"{flags[0]}: resume= continues one run; leave the flag out"
        advice = "the command of a sweep, typed again, continues the sweep"
        raise UsageError(f"{problem}; {advice}")
    values = {key: value for key, _, value in (a.partition("=") for a in arguments)}
    allowed = {"resume", "trainer.steps", "allow_targets", *MOVABLE_KEYS}
    if others := [a for a in arguments if a.partition("=")[0] not in allowed]:
        raise UsageError(
            f"{others[0]}: a resumed run keeps its configuration; only trainer.steps may grow,"
            f" and {', '.join(MOVABLE_KEYS)} may follow the machine"
        )
    if not values["resume"]:
        raise UsageError("resume=: missing value; set it to the directory of a run")
    steps = values.get("trainer.steps")
    if steps is not None and not steps.isdecimal():
        raise UsageError(f"trainer.steps={steps}: should be a whole number")
    try:
        allow = allowed_targets(arguments)
        places = places_of(arguments, MOVABLE_KEYS)
    except (ValueError, HydraException) as error:
        raise UsageError(first_line(error)) from error
    number = None if steps is None else int(steps)
    return resume_run(Path(values["resume"]), allow, steps=number, places=places)


def resume_run(
    run_dir: Path,
    allow: Sequence[str],
    *,
    steps: int | None = None,
    places: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Continue the run in a directory, up to `steps` if given; see `resume`.

    Args:
        run_dir: directory of the run.
        allow: prefixes of targets that the command line allows.
        steps: new number of steps; None keeps that of the run.
        places: values of keys about the machine, such as the device, that replace those of the
            run.
    """
    try:
        engine = rebuild_engine(run_dir, steps=steps, allow=allow, places=places)
        states = resume_states(run_dir, engine)
    except (ValueError, OSError) as error:
        if in_user_code(error, allow):
            raise
        raise UsageError(str(error)) from error
    _print_header(f"resume={quoted(run_dir)} from step {states[0]['step']:,}", engine, run_dir)
    return _fit(engine, run_dir, allow, resume_from=states)


def _print_header(what: str, engine: EngineLike, run_dir: Path) -> None:
    """Print the command, seed, data, networks, device and directory of a run that starts."""
    run = engine.runs[0]
    seeds = [one.facts["seed"] for one in engine.runs]
    echo(f"gan-run {what} seed={seeds if run.folder else seeds[0]}")
    echo(
        f"  data        {printable_cell(run.facts['data'])}{_contents(run.data)}\n{run.summary}",
        end="",
    )
    echo(f"  device      {run.facts['device']}, {run.facts['precision']}\n  directory   {run_dir}")


def _contents(data: Mapping[str, Any]) -> str:
    """Return the number of training samples and the first classes by name."""
    names = [printable_cell(name) for name in data.get("classes", ())]
    more = ["..."] * (len(names) > _CLASSES_SHOWN)
    classes = ", ".join(names[:_CLASSES_SHOWN] + more)
    count = data.get("rows", 0)
    rows = f", {count:,} training sample{'s' * (count != 1)}" if count else ""
    return f"{rows}, {len(names)} classes: {classes}" if names else rows


def _fit(
    engine: EngineLike,
    run_dir: Path,
    allow: Sequence[str],
    *,
    resume_from: Sequence[StateDict] | None = None,
) -> dict[str, Any]:
    try:
        summary = fit(engine, run_dir, resume_from=resume_from)
    except (OSError, ValueError) as error:
        if in_user_code(error, allow):
            raise
        if not isinstance(error, OSError):
            raise UsageError(str(error)) from error
        advice = f"free some space, then run gan-run resume={quoted(run_dir)}"
        raise UsageError(f"{run_dir}: {error}; the run has stopped; {advice}", FAILURE) from error
    print_result(summary, run_dir)
    if summary["status"] == "interrupted":
        raise Interrupted(summary["signal"], f"continue with gan-run resume={quoted(run_dir)}")
    if summary["status"] == "diverged":
        advice = "set trainer.on_diverged=continue to train on regardless"
        raise UsageError(f"{health(summary, run_dir)}; {advice}", FAILURE)
    return summary

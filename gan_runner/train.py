"""gan-run: compose a configuration, build its objects, train.

Imports of torch wait until there is something to train, so that `--help`, `--cfg job` and a typo
answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from gan_runner.commands.console import health, plain_warnings, print_header, print_result
from gan_runner.commands.errors import Interrupted, UsageError, explain
from gan_runner.runs.layout import check_new, note_folders, remove_if_empty
from gan_runner.sweeps import multirun

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gan_runner.core import StateDict
    from gan_runner.training.engine import EngineLike

USAGE_ERROR, FAILURE = 2, 1


def config_dir() -> Path:
    """The folder of the configuration groups: inside an installed package, beside it in a checkout.

    Raises:
        FileNotFoundError: the package is neither.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or beside it")


def main() -> None:
    """Entry point of `gan-run` and `python -m gan_runner.train`."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole, to be explained in one line
    arguments = sys.argv[1:]
    plain_warnings("gan-run")
    try:
        if any(argument.startswith("resume=") for argument in arguments):
            resume(arguments)
        elif set(arguments) & {"--help", "-h"} and all(
            argument in {"--help", "-h"} or not argument.startswith("-") for argument in arguments
        ):
            print(usage(arguments))
        elif multirun.is_multirun(arguments):
            _sweep(arguments)
        elif "--dry-run" in arguments:
            raise UsageError("--dry-run: tells what a sweep would cost; add -m", USAGE_ERROR)
        else:
            note_folders(arguments)
            sys.argv[1:] = _with_saved_config(arguments)
            _run_app()
    except Interrupted as stopped:
        print(f"gan-run: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_status)
    except KeyboardInterrupt:
        print("gan-run: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # whoever reads has seen enough: gan-run --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        message = explain(error, sys.argv[1:], config_dir())
        if message is None:
            raise
        _exit(message, getattr(error, "exit_status", USAGE_ERROR))


def _sweep(arguments: list[str]) -> None:
    """All jobs of a multirun; with --dry-run only their cost, which a study tells anyway."""
    from gan_runner.studies import conclude

    if {"--cfg", "-c"} & set(arguments):
        raise UsageError("--cfg: shows one job; leave out -m", USAGE_ERROR)
    dry = "--dry-run" in arguments
    given = [argument for argument in arguments if argument != "--dry-run"]
    sys.argv[1:] = multirun.sweep_arguments(_with_saved_config(given))
    with multirun.sweep_session(before=partial(_announce, dry=dry), after=conclude.conclude):
        _run_app()


def _announce(config: DictConfig, *what: Any, dry: bool) -> None:
    if dry or "study" in config:  # most sweeps need no torch in the process that conducts them
        from gan_runner.studies import cost

        cost.announce(config, *what, dry=dry)


def usage(arguments: list[str]) -> str:
    """The text of --help: the template in conf/config.yaml, filled in.

    Hydra would fill it in as well, but first lists some sixty groups of its own, which takes half a
    second; with flags besides --help, such as --config-dir, it still does.
    """
    from omegaconf import OmegaConf, open_dict

    overrides = [argument for argument in arguments if not argument.startswith("-")]
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=overrides, return_hydra_config=True)
    template = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg["hydra"]
    folders = sorted(folder for folder in config_dir().iterdir() if folder.is_dir())
    groups = [f"{f.name}: {', '.join(sorted(p.stem for p in f.glob('*.yaml')))}" for f in folders]
    return template.substitute(APP_CONFIG_GROUPS="\n".join(groups), CONFIG=OmegaConf.to_yaml(cfg))


def job(cfg: DictConfig) -> Any:
    """What Hydra calls: a run, or a job of a sweep, which never gets in the way of the others."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from gan_runner.sweeps.run_job import run_job

        return run_job(cfg, start=run, resume=_resume_job)
    try:
        return run(cfg)
    except UsageError as refusal:
        _exit(str(refusal), refusal.exit_status)  # a raised error Hydra would announce by itself


def run(cfg: DictConfig) -> dict[str, Any]:
    """One run, or one job of a sweep; returns its summary.

    Raises:
        UsageError: the configuration, the data or the machine does not allow it, or it has
            diverged.
        Interrupted: a signal ended it; all up to that step is on disk.
    """
    run_dir = Path(os.path.relpath(HydraConfig.get().runtime.output_dir))
    try:
        from gan_runner.build import build
        from gan_runner.config.validate import hyperparameters

        engine = build(cfg)
        if "study" in cfg and HydraConfig.get().mode == RunMode.RUN:
            warnings.warn("this recipe is of a sweep, and this one run of it; add -m", stacklevel=1)
        for one in engine.runs:
            one.hyperparameters = {**hyperparameters(cfg), "seed": one.facts["seed"]}
        check_new(run_dir)
    except (ValueError, OSError) as error:
        remove_if_empty(run_dir)
        raise UsageError(str(error), USAGE_ERROR) from error
    except BaseException:
        remove_if_empty(run_dir)
        raise
    choices = HydraConfig.get().runtime.choices
    print_header(" ".join(f"{g}={choices[g]}" for g in _GROUPS if g in choices), engine, run_dir)
    return _fit(engine, run_dir)


def resume(arguments: list[str]) -> dict[str, Any]:
    """Continue a run from its last whole checkpoint, to the same end as if it had never stopped.

    Besides `resume=RUN_DIR`, `trainer.steps=N` may ask for more steps than the run had, and
    `allow_targets=[...]` must repeat the prefixes that the run needs. Everything else would make it
    another run.
    """
    given = {key: value for key, _, value in (a.partition("=") for a in arguments)}
    known = {"resume", "trainer.steps", "allow_targets"}
    if others := [a for a in arguments if a.partition("=")[0] not in known]:
        raise UsageError(
            f"{others[0]}: a resumed run is what it was; only trainer.steps may grow", USAGE_ERROR
        )
    if not given["resume"]:
        raise UsageError("resume=: name the directory of a run", USAGE_ERROR)
    steps, allow = given.get("trainer.steps"), given.get("allow_targets", "[]")
    if steps is not None and not steps.isdecimal():
        raise UsageError(f"trainer.steps={steps}: should be a whole number", USAGE_ERROR)
    if not (allow.startswith("[") and allow.endswith("]")):  # a string would allow its letters
        raise UsageError(
            f"allow_targets={allow}: should be a list, 'allow_targets=[my_package.]'", USAGE_ERROR
        )
    prefixes = [prefix for part in allow[1:-1].split(",") if (prefix := part.strip(" '\""))]
    return resume_run(Path(given["resume"]), prefixes, steps=None if steps is None else int(steps))


def _resume_job(run_dir: Path, cfg: DictConfig) -> dict[str, Any]:
    """Continue a job of a sweep where `cfg` says that this machine has its device and its data."""
    from omegaconf import OmegaConf

    from gan_runner.sweeps.jobs import MACHINE_KEYS

    known = {key: OmegaConf.select(cfg, key) for key in MACHINE_KEYS}
    places = {key: place for key, place in known.items() if place is not None}
    return resume_run(run_dir, list(cfg.allow_targets), places=places)


def resume_run(
    run_dir: Path,
    allow: Sequence[str],
    *,
    steps: int | None = None,
    places: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Continue a run directory, to more steps than it had if `steps` says so; see `resume`."""
    try:
        from gan_runner.restore import rebuild_engine, resume_states

        engine = rebuild_engine(run_dir, steps=steps, allow=allow, places=places)
        states = resume_states(run_dir, engine)
    except (ValueError, OSError) as error:
        raise UsageError(str(error), USAGE_ERROR) from error
    print_header(f"resume={run_dir} from step {states[0]['step']:,}", engine, run_dir)
    return _fit(engine, run_dir, resume_from=states)


def _fit(
    engine: EngineLike, run_dir: Path, *, resume_from: Sequence[StateDict] | None = None
) -> dict[str, Any]:
    from gan_runner.training.loop import fit

    try:
        summary = fit(engine, run_dir, resume_from=resume_from)
    except OSError as error:
        advice = f"free some space, then gan-run resume={run_dir}"
        raise UsageError(f"{run_dir}: {error}; the run has stopped; {advice}", FAILURE) from error
    except ValueError as error:
        raise UsageError(str(error), USAGE_ERROR) from error
    print_result(summary, run_dir)
    if summary["status"] == "interrupted":
        raise Interrupted(summary["signal"], f"continue with gan-run resume={run_dir}")
    if summary["status"] == "diverged":
        advice = "trainer.on_diverged=continue would go on"
        raise UsageError(f"{health(summary, run_dir)}; {advice}", FAILURE)
    return summary


_run_app = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(job)


def _with_saved_config(arguments: list[str]) -> list[str]:
    """Let `--config-path RUN_DIR` be relative to where the user is, and its run directory clean.

    Hydra takes a relative path from the package's folder, and what conf/config.yaml says of Hydra
    itself is not part of a run's configuration.
    """
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag not in {"--config-path", "-cp"}:
            continue
        here = i if equals else i + 1
        if here < len(arguments):
            path = os.path.abspath(value if equals else arguments[here])
            if not os.path.isdir(path):
                raise UsageError(f"{flag} {path}: no such directory", USAGE_ERROR)
            mine = ["hydra.output_subdir=null", "hydra/job_logging=none", "hydra.job.name=gan-run"]
            given = [path if here != i else f"{flag}={path}"]
            return [*arguments[:here], *given, *arguments[here + 1 :], *mine]
    return arguments


def _exit(message: str, status: int) -> NoReturn:
    print(f"gan-run: {message}", file=sys.stderr)
    sys.exit(status)


_GROUPS = ("dataset", "model", "objective", "optimizer")

if __name__ == "__main__":  # by its name, so that what it defines can travel between processes
    from gan_runner import train

    train.main()

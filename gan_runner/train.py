"""gan-run: compose a configuration, build its objects, train.

Imports of torch wait until there is something to train, so that `--help`, `--cfg job` and a typo
answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gan_runner.commands.console import plain_warnings
from gan_runner.commands.usage import asks_for_help, usage, with_saved_config
from gan_runner.config.compose import config_dir
from gan_runner.config.errors import USAGE_ERROR, Interrupted, UsageError, explain
from gan_runner.runs.layout import note_folders


def main() -> None:
    """Run `gan-run`; every error of the user ends in one line and an exit status."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole, to be explained in one line
    arguments = sys.argv[1:]
    plain_warnings("gan-run")
    try:
        _dispatch(arguments)
    except Interrupted as stop:
        _exit(str(stop), stop.exit_status)
    except KeyboardInterrupt:
        _exit("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:  # the reader has seen enough: gan-run --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        message = explain(error, sys.argv[1:], config_dir())
        if message is None:
            raise
        _exit(message, getattr(error, "exit_status", USAGE_ERROR))


def _dispatch(arguments: Sequence[str]) -> None:
    if any(argument.startswith("resume=") for argument in arguments):
        from gan_runner.commands.run import resume

        resume(arguments)
    elif asks_for_help(arguments):
        print(usage(arguments))
    elif {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments):
        from gan_runner.commands.sweep import sweep

        sweep(arguments, _app)
    elif "--dry-run" in arguments:
        raise UsageError("--dry-run: tells what a sweep would cost; add -m", USAGE_ERROR)
    else:
        note_folders(arguments)
        sys.argv[1:] = with_saved_config(arguments)
        _app()


def job(cfg: DictConfig) -> Any:
    """Train one run for Hydra; in a sweep, record a failed job and let the others go on."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from gan_runner.commands.sweep import run_job

        return run_job(cfg)
    from gan_runner.commands.run import run

    try:
        return run(cfg)
    except UsageError as error:  # Hydra would announce a raised error by itself
        _exit(str(error), error.exit_status)


def _exit(message: str, status: int) -> NoReturn:
    print(f"gan-run: {message}", file=sys.stderr)
    sys.exit(status)


_app = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(job)

if __name__ == "__main__":  # by its name, so that what it defines can travel between processes
    from gan_runner import train

    train.main()

"""gan-run: compose a configuration, build its objects, train.

Imports of torch wait until there is something to train, so that `--help`, `--cfg job` and a typo
answer at once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gan_runner.commands.console import plain_warnings
from gan_runner.commands.exits import leave, one_line_errors
from gan_runner.commands.terminal import printable_output, terminal
from gan_runner.commands.usage import (
    TRACEBACK,
    asks_for_help,
    check_flags,
    hydra_arguments,
    shows_files,
    usage,
)
from gan_runner.config.compose import application, guard
from gan_runner.config.errors import UsageError
from gan_runner.runs.layout import note_folders
from gan_runner.runs.printable import echo


@terminal("gan-run")
def main() -> None:
    """Run the command line: resume or repeat a run, print help, sweep, or train one run."""
    whole = TRACEBACK in sys.argv
    sys.argv[1:] = arguments = hydra_arguments(sys.argv[1:])
    plain_warnings("gan-run")
    with one_line_errors(whole=whole):
        check_flags(arguments)
        if any(argument.startswith("resume=") for argument in arguments):
            from gan_runner.commands.run import resume

            resume(arguments)
        elif any(argument.startswith("repeat=") for argument in arguments):
            from gan_runner.commands.repeat import repeat

            repeat(arguments, job)
        elif asks_for_help(arguments):
            echo(usage(arguments))
        elif {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments):
            from gan_runner.commands.sweep import sweep

            sweep(arguments, _app)
        elif "--dry-run" in arguments:
            raise UsageError("--dry-run: tells what a sweep would cost; add -m")
        elif shows_files(arguments):
            with printable_output():
                _app()
        else:
            note_folders(arguments)
            _app()


def job(cfg: DictConfig) -> Any:
    """Train one run for Hydra; in a sweep, record a failed job and let the others go on.

    Relative paths mean the folder where the command was started, also with hydra.job.chdir.
    """
    os.chdir(HydraConfig.get().runtime.cwd)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from gan_runner.commands.sweep import run_job

        return run_job(cfg)
    from gan_runner.commands.run import run

    try:
        return run(cfg)
    except UsageError as error:  # Hydra would announce a raised error by itself
        leave(str(error), error.exit_status, error)


guard()  # also in the workers of a sweep, which import this module
_app = application(job)

if __name__ == "__main__":  # by its name, so that what it defines can travel between processes
    from gan_runner import train

    train.main()

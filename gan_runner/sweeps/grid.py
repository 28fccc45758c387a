"""Jobs of a sweep over lists: all combinations, or the design of a recipe."""

from __future__ import annotations

from contextlib import ExitStack

from omegaconf import DictConfig

from gan_runner.config.command_line import as_typed
from gan_runner.config.errors import UsageError
from gan_runner.private_hydra import combinations, launching, parse_overrides
from gan_runner.sweeps.design import design_jobs


def grid_or_design(config: DictConfig, stack: ExitStack) -> list[list[str]]:
    """Return the jobs of a sweep over lists; [] for a search, which draws them as it goes.

    Args:
        config: composed configuration of the sweep.
        stack: holds Hydra's sweeper to the jobs of a design, until it is closed.

    Raises:
        UsageError: the typed values do not fit the design, or there are too many jobs.
        hydra.errors.HydraException: an override cannot be parsed.
    """
    sweeper, typed = config.hydra.sweeper, as_typed(config.hydra.overrides.task)
    if not str(sweeper._target_).endswith(".BasicSweeper"):
        return []
    try:
        if jobs := design_jobs(config, typed):
            stack.enter_context(launching(jobs))
            return jobs
        params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        return combinations(parse_overrides([*params, *typed]))
    except ValueError as error:
        raise UsageError(str(error)) from error

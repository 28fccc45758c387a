"""Jobs of a sweep that are not all combinations of lists: blocks of combinations, in order.

A recipe names them in `study.design`, each a mapping from keys to lists as in hydra.sweeper.params.
The key `arm` stands for the overrides that `study.arms` gives an arm of a study.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_runner.config.outside import is_own_key
from gan_runner.config.words import key_of, value_of
from gan_runner.private_hydra import MOST_JOBS, combinations, parse_overrides, too_many_jobs

_ARM = "arm"


def design_jobs(config: DictConfig, typed: Sequence[str]) -> list[list[str]]:
    """Return the overrides of every job of the recipe's design, in its order; [] without one.

    Typed keys that the design varies select among its jobs; the others are added to all of them.

    Args:
        config: composed configuration of the sweep.
        typed: overrides of the command line.

    Raises:
        ValueError: an arm is unknown, the typed values select no job, or there are too many jobs.
    """
    study = OmegaConf.to_container(config.study, resolve=True) if config.get("study") else {}
    assert isinstance(study, dict)
    blocks, arms = study.get("design") or (), study.get("arms") or {}
    jobs: list[list[str]] = []
    for block in blocks:
        jobs += _block(block, arms)
        _check_number(len(jobs))
    for override in (override for job in jobs for override in job):
        if not is_own_key(key_of(override)):
            raise ValueError(
                f"study.design: {override} counts from the command line alone; write it there"
            )
    if not jobs:
        return []
    varied = {key_of(override) for job in jobs for override in job}
    choices = [override for override in typed if key_of(override) in varied]
    combined = _combinations(choices)
    chosen = [job for job in jobs if _is_selected(job, combined)]
    if not chosen:
        raise ValueError(f"{' '.join(choices)}: selects no job of this study's design")
    rest = _combinations([o for o in typed if key_of(o) not in varied])
    _check_number(len(chosen) * len(rest))
    return [[*others, *job] for job in chosen for others in rest]


def _check_number(jobs: int) -> None:
    if jobs > MOST_JOBS:
        raise too_many_jobs("study.design", jobs)


def _block(block: Mapping[str, Any], arms: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield the combinations of a block, the last key's values next to each other."""
    for job in _combinations([f"{key}={value}" for key, value in block.items()]):
        expanded: list[str] = []
        for override in job:
            if key_of(override) != _ARM:
                expanded.append(override)
            elif value_of(override) in arms:
                expanded += arms[value_of(override)]
            else:
                raise ValueError(
                    f"study.design: no arm {value_of(override)}; there are: {', '.join(arms)}"
                )
        yield expanded


def _combinations(overrides: Sequence[str]) -> list[list[str]]:
    """Return all combinations of lists as Hydra makes them; one empty job without overrides."""
    if not overrides:
        return [[]]
    return [list(job) for job in combinations(parse_overrides(overrides))]


def _is_selected(job: Sequence[str], choices: Iterable[Sequence[str]]) -> bool:
    """Return whether a job agrees with one of the typed combinations."""
    return any(set(choice) <= set(job) for choice in choices)

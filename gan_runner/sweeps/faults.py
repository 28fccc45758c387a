"""Faults of a sweep that are told before its first job starts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gan_runner.config.compose import config_dir, merged_cards
from gan_runner.config.key_hints import key_hint
from gan_runner.config.words import key_of, value_of
from gan_runner.private_hydra import combinations, compose_job, parse_overrides
from gan_runner.runs.layout import CONFIG, PLAN, SUMMARY
from gan_runner.sweeps.jobs import Plan


def twice(overrides: Sequence[str]) -> str | None:
    """Return the fault of a sweep over a key that is set twice; None without one.

    The last of two single values counts, as in a single run, but not of two dictionaries.
    """
    first: dict[str, str] = {}
    for word in overrides:
        before = first.setdefault(key_of(word), word)
        if before is word or "=" not in word:
            continue
        sweeps = any(one.is_sweep_override() for one in parse_overrides([before, word]))
        key, both = key_of(word), f"{value_of(before)},{value_of(word)}"
        if value_of(word).startswith("{"):  # a second dictionary drops the first one
            advice = f"give each entry its own key, +{key}.NAME={{...}}"
        elif sweeps:
            advice = f"list all values once, {key}={both}"
        else:
            continue
        return f"{before} {word}: sets one key twice; {advice}"
    return None


def fault_of(config: DictConfig, plan: Plan, folder: Path) -> str | None:
    """Return the first fault of a sweep as one line, None without one.

    Args:
        config: composed configuration of the sweep.
        plan: its jobs.
        folder: its directory.
    """
    return (
        _linked(folder)
        or _taken(folder)
        or _shared_folder(config, plan)
        or merged_cards(plan.command)
        or _ill_directed(config)
        or _unmeasured(config, plan)
        or _missing_key(config, plan)
    )


def _linked(folder: Path) -> str | None:
    """Return the first link among the files that Hydra and its launchers write; None without."""
    links = [folder / name for name in ("multirun.yaml", ".submitit")]
    return next((f"{path}: is a link; remove it" for path in links if path.is_symlink()), None)


def _taken(folder: Path) -> str | None:
    """Return the fault of a directory that belongs to a single run."""
    if (folder / PLAN).exists() or not any((folder / f).exists() for f in (SUMMARY, CONFIG)):
        return None
    return f"hydra.sweep.dir={folder}: contains a run; name another directory for the sweep"


def _shared_folder(config: DictConfig, plan: Plan) -> str | None:
    """Return the fault of a fixed folder, which all jobs would share."""
    sweep: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if len(plan.jobs) == 1 or "${" in str(sweep["subdir"]):
        return None
    return (
        f"hydra.sweep.subdir={sweep['subdir']}: all jobs would share one directory; leave the key"
        " out, or name what varies, such as 'hydra.sweep.subdir=seed_${seed}'"
    )


def _ill_directed(config: DictConfig) -> str | None:
    """Return the fault in the settings of a search, None without one."""
    sweeper = config.hydra.sweeper
    if "direction" not in sweeper:
        return None
    if not str(sweeper.direction).endswith("minimize"):
        return (
            f"hydra.sweeper.direction={sweeper.direction}: a search minimises here; of a measure of"
            " which more is better it is given the negative; leave the key out"
        )
    if "seed" in sweeper.sampler and sweeper.sampler.seed is None:
        warnings.warn(
            "hydra.sweeper.sampler.seed is not set: the same command again will try other values",
            stacklevel=2,
        )
    return None


def _unmeasured(config: DictConfig, plan: Plan) -> str | None:
    """Return the fault of a search that has no measure to minimise."""
    metric = OmegaConf.select(config, "trainer.checkpoint_metric")
    if plan.jobs or not (metric is None or (metric == "auto" and not config.metrics)):
        return None
    cause = "metrics=none" if metric == "auto" else "trainer.checkpoint_metric=null"
    return f"{cause}: a search needs a measure to minimise; set trainer.checkpoint_metric=TAG" + (
        " and metrics=default" if metric == "auto" else ""
    )


def _missing_key(config: DictConfig, plan: Plan) -> str | None:
    """Return the first key that some options of a swept group lack, and one of these options."""
    words = {key_of(word): word for word in plan.command if word[:1] not in "+~" and "=" in word}
    absent = [key for key in words if "." in key and not _exists(config, key)]
    having: list[tuple[list[str], set[str]]] = []
    for job in _choices(config, plan) if absent else ():
        try:
            cfg = compose_job(config, [word for word in job if key_of(word) not in absent])
        except HydraException:
            return None  # the sweeper will meet the same error and end with its message
        having.append((job, {key for key in absent if _exists(cfg, key)}))
    for key in absent:
        lacking = [job for job, present in having if key not in present]
        if lacking and len(lacking) == len(having):
            folders = [Path(s.path) for s in config.hydra.runtime.config_sources]
            own = [folder for folder in folders if folder.is_dir() and folder != config_dir()]
            return f"{words[key]}: no such key{key_hint(key, lacking[0], [config_dir(), *own])}"
        if lacking:
            return _of_some(words[key], lacking[0], plan)
    return None


def _of_some(word: str, job: Sequence[str], plan: Plan) -> str:
    """Return the line for a key that one job lacks and another one has."""
    swept = {key_of(w) for w in plan.command if set(value_of(w)) & {",", "("}}
    options = " ".join(w for w in job if key_of(w) in swept and "." not in key_of(w))
    advice = "sweep over the options that have it alone"
    return f"{word}: the job with {options} has no such key; {advice}"


def _choices(config: DictConfig, plan: Plan) -> list[list[str]]:
    """Return one job for each combination of groups; of a search, the choices alone."""
    jobs = plan.jobs
    if not jobs:
        params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
        words = [word for word in [*params, *plan.command] if "." not in key_of(word)]
        parsed = [word for word in parse_overrides(words) if not _is_range(word)]
        jobs = combinations(parsed)
    first = {tuple(w for w in job if "." not in key_of(w) or w[0] in "+~"): job for job in jobs}
    return list(first.values())


def _is_range(word: Any) -> bool:
    """Return whether a parsed override draws from an interval."""
    return bool(word.is_sweep_override() and not word.is_discrete_sweep())


def _exists(config: DictConfig, key: str) -> bool:
    """Return whether a configuration has a key, also one that is null or has no value yet."""
    node: Any = config
    for word in key.split("."):
        if not isinstance(node, DictConfig) or word not in list(node):  # `in` is False of ???
            return False
        node = OmegaConf.select(node, word, throw_on_missing=False)
    return True

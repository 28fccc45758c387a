"""The configuration that a sweep's overrides apply to: has it changed since its jobs ran?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_runner.config.outside import is_small_file
from gan_runner.config.paths import MACHINE_KEYS
from gan_runner.private_hydra import compose_job
from gan_runner.runs.parse import parse_json
from gan_runner.sweeps.jobs import Plan, read_jobs, read_plan

_NOT_COMPUTED = ("hydra", "allow_targets")  # keys that decide no number


def composed(config: DictConfig) -> dict[str, Any]:
    """Return the resolved config without keys that cannot affect results, as JSON types."""
    keys = [str(key) for key in config if key not in _NOT_COMPUTED]
    tree: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)
    for place in MACHINE_KEYS:
        group, _, key = place.rpartition(".")
        (tree.get(group, {}) if group else tree).pop(key, None)
    plain: dict[str, Any] = parse_json(json.dumps(tree, default=str))
    return plain


def fingerprint(config: DictConfig) -> str:
    """Hash the files that the configuration is composed from, and others in their folders.

    A folder of the user's may have anything in it: what could not be loaded is passed over.
    """
    digest = sha256(str(config.hydra.job.config_name).encode())
    for source in config.hydra.runtime.config_sources:
        folder = Path(source.path)
        for path in sorted(folder.rglob("*.yaml")) if source.schema == "file" else ():
            if is_small_file(path):
                name = str(path.relative_to(folder))
                digest.update(name.encode(errors="surrogateescape") + path.read_bytes())
    return digest.hexdigest()


def changed(folder: Path, plan: Plan, config: DictConfig) -> str | None:
    """Return a message if kept jobs ran with another base configuration, else None.

    Composing takes a tenth of a second per job, so jobs are compared only once a file of the
    configuration has changed.
    """
    if read_plan(folder).sources == plan.sources:
        return None
    differences: dict[str, None] = {}
    for job in read_jobs(folder):
        if job.is_kept and job.config:
            try:
                now = composed(compose_job(config, job.overrides))
            except (HydraException, OmegaConfBaseException) as error:
                now = {"it cannot be composed": str(error).splitlines()[0]}
            differences |= dict.fromkeys(_differences(job.config, now))
    if not differences:
        return None
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return (
        f"{folder}: its jobs ran with another configuration: {', '.join([*differences][:3])}{more};"
        " name another directory, hydra.sweep.dir=FOLDER, or remove this one"
    )


def _differences(was: Any, now: Any, prefix: str = "") -> list[str]:
    """List the keys in which two trees differ, with both values."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        each = {**was, **now}
        differences = [
            _differences(was.get(k), now.get(k), f"{prefix}.{k}" if prefix else k) for k in each
        ]
        return [what for whats in differences for what in whats]
    return [] if was == now else [f"{prefix} {json.dumps(was)} -> {json.dumps(now)}"]

"""Present names of the tags that older versions wrote.

Older versions called distances in any network's features `images/fid` and `images/kid`. These names
are now Inception's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_runner.runs.tags import RAW

_RENAMED = {"images/fid": "images/frechet", "images/kid": "images/kernel"}
_INCEPTION = "inception"


def present_tag(tag: str, provenance: Mapping[str, Any]) -> str:
    """Return the present name of a tag; `provenance` holds the entry of each tag of the run."""
    name = tag.removesuffix(RAW)
    if name not in _RENAMED:
        return tag
    entry = provenance.get(tag)
    network = entry.get("network") if isinstance(entry, Mapping) else None
    return tag if network in (None, _INCEPTION) else _RENAMED[name] + tag[len(name) :]


def newer_name(tag: str) -> str | None:
    """Return the name of an older version's tag in other features than Inception's, or None."""
    name = tag.removesuffix(RAW)
    return _RENAMED[name] + tag[len(name) :] if name in _RENAMED else None


def with_present_tags(values: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by tag with the present names; see `present_tag`."""
    return {present_tag(tag, provenance): value for tag, value in values.items()}


def summary_with_present_tags(
    summary: Mapping[str, Any], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a summary, or that of a replica, with the present names of its tags."""
    changed = dict(summary)
    for key in ("final", "best"):
        if isinstance(values := summary.get(key), Mapping):
            changed[key] = with_present_tags(values, provenance)
    settings = summary.get("settings")
    if isinstance(settings, Mapping) and isinstance(tag := settings.get("checkpoint_metric"), str):
        changed["settings"] = {**settings, "checkpoint_metric": present_tag(tag, provenance)}
    if isinstance(replicas := summary.get("replicas"), Mapping):
        changed["replicas"] = {
            name: summary_with_present_tags(replica, provenance)
            for name, replica in replicas.items()
            if isinstance(replica, Mapping)
        }
    return changed

"""The free memory of the machine."""

from __future__ import annotations

from pathlib import Path


def free_memory() -> int | None:
    """Return the bytes of memory that new data may take; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = {name: text.split()[0] for name, _, text in (line.partition(":") for line in lines)}
    return int(sizes["MemAvailable"]) * 1024 if "MemAvailable" in sizes else None

"""The free memory of the machine, and what decoded images and generated samples may take of it."""

from __future__ import annotations

from pathlib import Path

_COPIES = 4  # of decoded images: as decoded, as one table, and while the table is split
_COPIES_OF_SAMPLES = 4  # themselves, their noise, features and distances
_UNPACKED = 100  # times its file that an image may take, of photographs about 20
_ALWAYS = 256 << 20  # bytes that images may take whatever their files are


def free_memory() -> int | None:
    """Return the bytes of memory that new data may take; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = {name: text.split()[0] for name, _, text in (line.partition(":") for line in lines)}
    return int(sizes["MemAvailable"]) * 1024 if "MemAvailable" in sizes else None


def free_problem(size: int) -> str | None:
    """Return why images that take so many bytes as uint8 are not decoded; None if they may be."""
    needed, free = _COPIES * size, free_memory()
    if free is None or needed <= free:
        return None
    sizes = f"{needed / 2**30:,.1f} GiB while they are decoded, and {free / 2**30:,.1f} are free"
    return f"its images take {sizes}"


def unpacked_problem(size: int, files: int) -> str | None:
    """Return why images are not decoded from files of so many bytes; None if they may be."""
    if size <= max(_ALWAYS, _UNPACKED * files):
        return None
    return f"its images take {size / 2**30:,.1f} GiB or more, {_UNPACKED} times their files"


def check_samples(setting: str, count: int, numbers: int) -> None:
    """Check, before anything is allocated, that samples fit into the free memory of the machine.

    Args:
        setting: what asks for them, with its value, for the message.
        count: number of samples.
        numbers: in each sample, as float32.

    Raises:
        ValueError: they do not.
    """
    needed, free = _COPIES_OF_SAMPLES * count * numbers * 4, free_memory()
    if free is not None and needed > free:
        sizes = f"need about {needed / 2**30:,.0f} GiB and {free / 2**30:,.0f} GiB are free"
        raise ValueError(f"{setting}: the samples {sizes}; choose a smaller number")

"""Memory of the samples that a run measures, checked before any is drawn."""

from __future__ import annotations

from gan_runner.runs.memory import free_memory

_COPIES = 4  # of the samples: themselves, their noise, features and distances


def check_samples(count: int, numbers: int) -> None:
    """Check that `trainer.num_eval_samples` fit into the free memory of the machine.

    Args:
        count: number of samples.
        numbers: in each sample and its noise, as float32.

    Raises:
        ValueError: they do not.
    """
    needed, free = _COPIES * count * numbers * 4, free_memory()
    if free is not None and needed > free:
        sizes = f"need about {needed / 2**30:,.0f} GiB and {free / 2**30:,.0f} GiB are free"
        raise ValueError(
            f"trainer.num_eval_samples={count}: the samples {sizes}; choose a smaller number"
        )

"""A long run does not grow."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit


def memory() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
def test_20_000_steps_on_8_gaussians(engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Logging, measuring, painting and saving included; the first tenth may still settle."""
    built = engine(
        "dataset=gaussians8", "model=mlp", "model.width=16", "model.depth=1", "objective=ns_gan",
        "dataset.n_samples=1000", "trainer.steps=20000", "trainer.evaluate_every=1000",
        "trainer.sample_every=2000", "trainer.checkpoint_every=500",
    )  # fmt: skip
    iteration, seen = built.iteration, {}

    def counted(game: object, reals: object) -> dict:
        if built.step in (2000, 19_999):
            seen[built.step] = memory()
        return iteration(game, reals)  # type: ignore[arg-type]

    built.iteration = counted  # type: ignore[assignment]
    assert fit(built, tmp_path)["steps"] == 20_000
    assert seen[19_999] < 1.02 * seen[2000], seen

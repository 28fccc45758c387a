"""The workloads of scripts/bench.py: command lines of this runner, and iterations of other code."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path

from measure import Step

WORKLOADS = {
    "gaussians8": ["dataset=gaussians8", "model=mlp", "trainer.batch_size=256"],
    "digits": ["dataset=digits", "model=dcgan"],
    "dcgan32": ["dataset=image_folder", "+side=32", "model=dcgan"],
    "dcgan32_128": ["dataset=image_folder", "+side=32", "model=dcgan", "model.filters=128"],
    "resnet32": ["dataset=image_folder", "+side=32", "model=resnet"],
    "dcgan64": ["dataset=image_folder", "+side=64", "model=dcgan"],
}
LARGE = {  # enough arithmetic for a GPU; takes hours on a CPU
    "dcgan32_1024": [*WORKLOADS["dcgan32_128"], "trainer.batch_size=1024"],
}
STACKED = {  # small enough for replicas to pay
    "gaussians8_64": ["dataset=gaussians8", "model=mlp", "model.width=64", "trainer.batch_size=128"]
}
GROWTH = {
    "batch": [("digits", f"trainer.batch_size={n}") for n in (16, 32, 64, 128, 256)],
    "filters": [("digits", f"model.filters={n}") for n in (16, 32, 64, 128)],
    "depth": [("gaussians8", f"model.depth={n}") for n in (2, 3, 6, 12)],
    "replicas": [("gaussians8_64", f"trainer.replicas={n}") for n in (1, 2, 4, 8, 16)],
}


def peer(text: str) -> tuple[str, Step]:
    """Return the name and the function `step` of NAME=FILE.py.

    Raises:
        argparse.ArgumentTypeError: no such file, or no such function in it.
    """
    name, _, file = text.partition("=")
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"{text}: no file {file!r}; write NAME=FILE.py")
    step = runpy.run_path(file).get("step")
    if not callable(step):
        raise argparse.ArgumentTypeError(f"{text}: {file} has no function step()")
    return name, step

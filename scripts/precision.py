"""Quality of training in bfloat16 compared with float32, over several seeds.

python scripts/precision.py [--dataset digits] [--seeds 3] [--out FILE.json] [KEY=VALUE ...]

Processors with bfloat16 multiplication use it (trainer.precision=bf16); others emulate it. The
emulation rounds the inputs, weights, outputs and gradients of convolutions and matrix products to
bfloat16, and multiplies in float32. It differs from the hardware only in the order of sums.
Finished runs are kept in outputs/precision/ and reused.
"""

from __future__ import annotations

import argparse
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from score_digits import classifier_of, rows, shares
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gan_runner.builder import build
from gan_runner.commands.sample import draw
from gan_runner.config.compose import config_dir
from gan_runner.core import Dataset
from gan_runner.metrics.images.scores import classifier_score
from gan_runner.runs.files import atomic_write
from gan_runner.training.device import device_name
from gan_runner.training.game import Player
from gan_runner.training.loop import fit
from gan_runner.training.precision import resolve_precision

ROUNDED = (torch.conv2d, torch.conv_transpose2d, torch.nn.functional.linear)


def main() -> None:
    """Train all seeds in both precisions and print the classifier scores as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=2000, help="samples that are scored")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    emulated = resolve_precision("auto", device, torch.nn.Conv2d(1, 1, 1)) != "bf16"
    base = [f"dataset={options.dataset}", *options.overrides]
    classifier, dataset = None, None
    results: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for seed in range(options.seeds):
        for precision in results:
            folder = Path("outputs/precision") / options.dataset / f"{precision}_{seed}"
            if not (folder / "summary.json").exists():
                train([*base, f"seed={seed}"], precision, folder, emulated=emulated)
            if classifier is None:
                dataset = loaded(base)
                classifier = classifier_of(dataset)
            samples = draw(folder, options.count).reshape(options.count, -1)
            p = classifier.predict_proba(samples)
            results[precision].append(round(classifier_score(p), 3))
            print(options.dataset, precision, seed, results[precision][-1], shares(p), flush=True)
    report = {
        "dataset": options.dataset, "overrides": options.overrides, "samples": options.count,
        "device": device_name(device), "bfloat16": "emulated" if emulated else "native",
        "real": round(classifier_score(classifier.predict_proba(rows(dataset.heldout)[0])), 3),
        "heldout_accuracy": round(float(classifier.score(*rows(dataset.heldout))), 4),
        "classifier_score": results,
        "mean": {name: round(float(np.mean(scores)), 3) for name, scores in results.items()},
        "std": {name: round(float(np.std(scores, ddof=1)), 3) for name, scores in results.items()},
    }  # fmt: skip
    print(json.dumps(report, indent=2))
    if options.out is not None:
        atomic_write(options.out, (json.dumps(report, indent=2) + "\n").encode())


def config(overrides: list[str]) -> Any:
    """Compose a configuration."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("config", overrides=overrides)


def loaded(overrides: list[str]) -> Dataset:
    """Load the data set of a configuration."""
    from hydra.utils import instantiate

    return instantiate(config(overrides).dataset)


def train(overrides: list[str], precision: str, folder: Path, *, emulated: bool) -> None:
    """Train one run into a folder; bf16 is emulated if `emulated`."""
    emulate = emulated and precision == "bf16"
    name = "fp32" if emulate else precision
    engine = build(config([*overrides, f"trainer.precision={name}"]))
    folder.mkdir(parents=True, exist_ok=True)
    context: AbstractContextManager[Any] = nullcontext()
    if emulate:
        original = Player.__call__

        def rounded(self: Player, x: Tensor, y: Tensor | None = None) -> Tensor:
            with Bfloat16():
                return to_bfloat16(original(self, x, y))

        context = patch.object(Player, "__call__", rounded)
    with context:
        fit(engine, folder)


class Bfloat16(TorchFunctionMode):
    """A mode in which convolutions and matrix products round to bfloat16, in float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in ROUNDED:
            return func(*args, **kwargs)
        args = [to_bfloat16(value) for value in args]
        kwargs = {name: to_bfloat16(value) for name, value in kwargs.items()}
        return to_bfloat16(func(*args, **kwargs))


def to_bfloat16(value: Any) -> Any:
    """Round to bfloat16; autograd rounds the gradient as well, as it casts it back."""
    return value.bfloat16().float() if isinstance(value, Tensor) else value


if __name__ == "__main__":
    main()

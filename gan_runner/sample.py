"""gan-sample: draw from the generator of a finished (or interrupted) run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from gan_runner.core import Latent
from gan_runner.load import load_generator
from gan_runner.metrics.pictures import image_grid, scatter
from gan_runner.objectives.priors import gaussian
from gan_runner.training.device import resolve_device
from gan_runner.training.sampling import generate

_CHUNK = 256  # rows drawn at once; part of what a seed means


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `gan-sample`."""
    options = _parser().parse_args(arguments)
    try:
        if options.out.suffix not in {".png", ".npz"}:
            raise ValueError(f"--out {options.out}: should end in .png (a grid) or .npz (arrays)")
        if options.count < 1:
            raise ValueError(f"--count {options.count}: should be 1 or more")
        samples = draw(
            options.run_dir,
            options.count,
            seed=options.seed,
            raw=options.raw,
            device=options.device,
            label=options.label,
            allow=options.allow,
        )
        _write(samples, options.out)
    except (ValueError, OSError) as error:
        print(f"gan-sample: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{options.count:,} samples in {options.out}")


def draw(
    run_dir: Path,
    count: int,
    *,
    seed: int = 0,
    raw: bool = False,
    device: str = "auto",
    label: int | None = None,
    allow: Sequence[str] = (),
) -> np.ndarray:
    """Samples of a run's last checkpoint.

    The k-th sample depends on the seed and k alone, not on how many are drawn.

    Args:
        run_dir: of `gan-run`.
        count: how many; only the result must fit into memory, not one batch of that size.
        seed: of the noise.
        raw: draw from the generator as it stood, not from its running average.
        device: auto, cpu, cuda or cuda:N.
        label: that all samples are made for; None: 0, 1, 2 ... in turn. For a generator that takes
            labels.
        allow: prefixes of targets that the run may name besides our own; see `schema.ALLOWED`.

    Returns:
        (count, C, H, W) images in [-1, 1] or (count, d) points, float32.

    Raises:
        ValueError: no such run, no checkpoint in it, or a target that is not allowed.
    """
    where = resolve_device(device)
    generator, shape = load_generator(run_dir, raw=raw, device=where, allow=allow)
    labels = _labels(generator, label)
    samples = np.empty((count, *shape), dtype=np.float32)
    chunks = _chunks(generator, labels, seed, where)
    for start, chunk in zip(range(0, count, _CHUNK), chunks, strict=False):
        samples[start : start + _CHUNK] = chunk[: count - start]
    return samples


def _labels(generator: nn.Module, label: int | None) -> list[int] | None:
    """The labels that samples are made for in turn; None for a generator without labels."""
    n_classes = int(getattr(generator, "n_classes", 0))
    if label is None:
        return list(range(n_classes)) or None
    if not 0 <= label < n_classes:
        known = f"0 to {n_classes - 1}" if n_classes else "none: it was trained without them"
        raise ValueError(f"--label {label}: the labels of this generator are {known}")
    return [label]


def _chunks(
    generator: nn.Module, labels: list[int] | None, seed: int, device: torch.device
) -> Iterator[np.ndarray]:
    random = torch.Generator().manual_seed(seed)
    turn = cycle(labels) if labels else None
    while True:
        latent = gaussian(
            _CHUNK, int(generator.latent_dim), device=torch.device("cpu"), generator=random  # type: ignore[arg-type]
        )  # fmt: skip
        y = None if turn is None else torch.tensor(list(islice(turn, _CHUNK)), device=device)
        yield generate(generator, Latent(latent.z.to(device), y), batch_size=_CHUNK).cpu().numpy()


def _write(samples: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, samples=samples)
    elif samples.ndim == 4:
        columns = ceil(sqrt(len(samples)))
        Image.fromarray(image_grid(torch.from_numpy(samples), columns=columns)).save(path)
    else:
        Image.fromarray(scatter(None, samples, title=path.stem)).save(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gan-sample", description=__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="directory of a gan-run")
    parser.add_argument("--count", type=int, default=100, help="samples (default: 100)")
    parser.add_argument(
        "--out", type=Path, default=Path("samples.png"),
        help="FILE.png: a picture; FILE.npz: the array `samples` in [-1, 1] (default: samples.png)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument(
        "--label", type=int, default=None,
        help="class of the samples, for a run with labels (default: all in turn)",
    )  # fmt: skip
    parser.add_argument("--raw", action="store_true", help="the generator without averaging")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PREFIX",
        help="prefixes of packages besides our own that the run's networks may come from",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    main()

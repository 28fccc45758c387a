"""gan-sample: draw samples from the generator of a finished or interrupted run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from math import ceil, inf, sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_runner.commands.console import add_allow, plain_warnings
from gan_runner.config.user_code import keep_traceback
from gan_runner.core import Latent, ensemble_mean
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.priors import categories
from gan_runner.optim.langevin import langevin
from gan_runner.plots.samples import image_grid, scatter
from gan_runner.restore import CHUNK, TrainedModel, load
from gan_runner.runs.printable import echo
from gan_runner.training.sampling import generate


def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-sample` command; exit with status 2 on an error of the user."""
    options = _parser().parse_args(arguments)
    plain_warnings("gan-sample")
    try:
        if options.out.suffix not in {".png", ".npz"}:
            raise ValueError(f"--out {options.out}: should end in .png (a grid) or .npz (arrays)")
        if options.langevin < 0 or not 0 < options.step_size < inf:
            raise ValueError("--langevin: should be 0 or more, and --step-size positive")
        if not 0 <= options.seed < 2**63:
            raise ValueError(f"--seed {options.seed}: should be 0 to 2^63 - 1")
        if options.raw and options.average is not None:
            raise ValueError(f"--average {options.average}: contradicts --raw; omit one of them")
        if options.count < 1:
            raise ValueError(f"--count {options.count}: should be 1 or more")
        samples = draw(
            options.run_dir,
            options.count,
            seed=options.seed,
            raw=options.raw,
            average=options.average,
            device=options.device,
            label=options.label,
            code=options.code,
            chain=Chain(options.langevin, options.step_size) if options.langevin else None,
            allow=options.allow,
        )
        _write(samples, options.out)
    except MemoryError:
        problem = "does not fit into memory; choose a smaller number"
        echo(f"gan-sample: --count {options.count}: {problem}", error=True)
        sys.exit(2)
    except (ValueError, OSError) as error:
        keep_traceback(error, options.allow)
        echo(f"gan-sample: {error}", error=True)
        sys.exit(2)
    echo(f"{options.count:,} samples in {options.out}")


class Chain(NamedTuple):
    """Number of steps and step size of a Langevin chain."""

    steps: int
    step_size: float


def draw(
    run_dir: Path,
    count: int,
    *,
    seed: int = 0,
    raw: bool = False,
    average: str | None = None,
    device: str = "auto",
    label: int | None = None,
    code: int | None = None,
    chain: Chain | None = None,
    allow: Sequence[str] = (),
) -> np.ndarray:
    """Draw samples from the generator of a run's last checkpoint.

    The k-th sample depends on the seed and k alone, not on the number of samples.

    Args:
        run_dir: directory of a `gan-run`.
        count: number of samples; the result must fit into memory, a batch of that size need not.
        seed: seed of the noise.
        raw: draw from the generator's last weights instead of their running average.
        average: name of the average to draw from; None: the first.
        device: auto, cpu, cuda or cuda:N.
        label: class of all samples, for a generator that takes labels; None: 0, 1, 2 ... in turn.
        code: value of InfoGAN's categorical code in all samples; None: random.
        chain: Langevin sampling of the noise in the energy -f(G(z)); None: noise from the prior.
        allow: prefixes of targets that you trust; see `config.targets`.

    Returns:
        (count, C, H, W) images in [-1, 1] or (count, d) points, float32.

    Raises:
        ValueError: the run or its checkpoint is missing, a target is not allowed, or `chain` or
            `code` does not fit the run.
    """
    players = load(run_dir, raw=raw, average=average, device=device, allow=allow)
    if chain is not None and categories(players.objective.prior):
        raise ValueError("--langevin: would overwrite the code in this run's noise; omit it")
    latents = _with_code(players.latents(seed, label), players.objective, code)
    samples = np.empty((count, *players.spec.shape), dtype=np.float32)
    for start, latent in zip(range(0, count, CHUNK), latents, strict=False):
        if chain is not None:
            latent = _follow(chain, players, latent, seeds=(seed, start, 1))
        chunk = generate(players.generator, latent, batch_size=CHUNK).cpu().numpy()
        samples[start : start + CHUNK] = chunk[: count - start]
    return samples


def _with_code(
    latents: Iterator[Latent], objective: Objective, code: int | None
) -> Iterator[Latent]:
    """Set the categorical code of all noise to one value."""
    if code is None:
        return latents
    count = categories(objective.prior)
    if not 0 <= code < count:
        advice = f"should be 0 to {count - 1}" if count else "this generator has no codes; omit it"
        raise ValueError(f"--code {code}: {advice}")
    one_hot = torch.eye(count)[code].expand(CHUNK, -1)
    return (Latent(torch.cat([one_hot.to(z), z[:, count:]], dim=1), y) for z, y in latents)


def _follow(
    chain: Chain, players: TrainedModel, latent: Latent, *, seeds: tuple[int, ...]
) -> Latent:
    """Return the noise at the end of Langevin chains in the energy -f(G(z)).

    See `optim.langevin`.
    """

    def energy(z: Tensor) -> Tensor:
        scores = players.critic(players.generator(z, latent.y), latent.y)
        return -ensemble_mean(scores, len(z))

    own = np.random.SeedSequence(seeds).generate_state(1)  # differs from the seed of the noise
    random = torch.Generator().manual_seed(int(own[0]))
    z = langevin(energy, latent.z, steps=chain.steps, step_size=chain.step_size, random=random)
    return latent._replace(z=z)


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
        help="FILE.png: an image; FILE.npz: the array `samples` in [-1, 1] (default: samples.png)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    parser.add_argument(
        "--label", type=int, default=None,
        help="class of the samples, for a run with labels (default: all in turn)",
    )  # fmt: skip
    parser.add_argument(
        "--code", type=int, default=None,
        help="value of InfoGAN's categorical code (default: random)",
    )  # fmt: skip
    parser.add_argument(
        "--langevin", type=int, default=0, metavar="STEPS",
        help="steps of Metropolis-adjusted Langevin sampling of the noise, in the energy -f(G(z))",
    )  # fmt: skip
    parser.add_argument(
        "--step-size", type=float, default=0.01, metavar="A", help="Langevin step (default: 0.01)"
    )
    parser.add_argument("--raw", action="store_true", help="use the generator without averaging")
    parser.add_argument(
        "--average", metavar="NAME", default=None,
        help="average of the generator, one of the run's `averages` (default: the first)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_allow(parser)
    return parser


if __name__ == "__main__":
    main()

"""gan-sample: draw samples from the generator of a run, or from an exported one."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from math import ceil, inf, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_runner.commands.chain import load_mixture
from gan_runner.commands.console import plain_warnings
from gan_runner.commands.sample_options import ROWS, parser
from gan_runner.commands.terminal import terminal
from gan_runner.config.user_code import keep_traceback
from gan_runner.core import Latent, ensemble_mean
from gan_runner.data.class_names import Labels
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.priors import categories, code_dim, negative_log_density
from gan_runner.optim.langevin import langevin
from gan_runner.plots.noise_rows import STEPS, between_pairs, in_every_class
from gan_runner.plots.samples import image_grid, scatter
from gan_runner.restore import CHUNK, TrainedModel, load
from gan_runner.runs.printable import echo
from gan_runner.runs.sample_files import write_npz, write_pngs
from gan_runner.training.sampling import generate


@terminal("gan-sample")
def main(arguments: list[str] | None = None) -> None:
    """Run the `gan-sample` command; exit with status 2 on an error of the user."""
    options = parser().parse_args(arguments)
    plain_warnings("gan-sample")
    try:
        out = Path(options.out)
        folder = options.out.endswith("/") or not out.suffix
        if not folder and out.suffix.lower() not in {*_PICTURES, *_ARRAYS}:
            endings = f"{', '.join(_PICTURES)} (a grid), {', '.join(_ARRAYS)} (arrays)"
            raise ValueError(f"--out {out}: should end in {endings}, or be FOLDER/ (PNGs)")
        if re.search(r"%\d*d|\{.*\}", out.name):
            raise ValueError(f"--out {out}: is a pattern; write FOLDER/ for a PNG of each sample")
        if options.langevin < 0 or not 0 < options.step_size < inf:
            raise ValueError("--langevin: should be 0 or more, and --step-size positive")
        if not 0 <= options.seed < 2**63:
            raise ValueError(f"--seed {options.seed}: should be 0 to 2^63 - 1")
        if options.raw and options.average is not None:
            raise ValueError(f"--average {options.average}: contradicts --raw; omit one of them")
        if options.count is not None and options.count < 1:
            raise ValueError(f"--count {options.count}: should be 1 or more")
        samples, columns = _samples(options)
        if folder:
            write_pngs(samples, out)
        else:
            _write(samples, out, columns=columns)
    except MemoryError:
        problem = "does not fit into memory; choose a smaller number"
        echo(f"gan-sample: --count {options.count}: {problem}", error=True)
        sys.exit(2)
    except (ValueError, OSError) as error:
        keep_traceback(error, options.allow)
        echo(f"gan-sample: {error}", error=True)
        sys.exit(2)
    echo(f"{len(samples):,} sample{'s' * (len(samples) != 1)} in {options.out}")


def _samples(options: argparse.Namespace) -> tuple[np.ndarray, int | None]:
    """Return samples as the command line asks for, and the columns of a grid; None: a square."""
    chosen: dict[str, Any] = {
        "seed": options.seed, "raw": options.raw, "average": options.average,
        "device": options.device, "allow": options.allow, "checkpoint": options.checkpoint,
    }  # fmt: skip
    count = options.count
    if options.interpolate or options.grid:
        label = None if options.grid else options.label
        if options.code is not None or options.langevin or options.label != label:
            advice = "omit --code, --langevin and, with --grid, --label"
            raise ValueError(f"--interpolate, --grid: {advice}")
        chosen["checkpoint"] = "last" if options.checkpoint == "auto" else options.checkpoint
        return draw_rows(options.run_dir, count or ROWS, grid=options.grid, label=label, **chosen)
    chain = _chain(options) if options.langevin else None
    chosen |= {"label": options.label, "code": options.code, "chain": chain}
    return draw(options.run_dir, 100 if count is None else count, **chosen), None


_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_ARRAYS = {".npz": write_npz, ".npy": lambda samples, file: np.save(file, samples)}


class Chain(NamedTuple):
    """Langevin chain: number of steps, step size, and the prior of the noise in its target."""

    steps: int
    step_size: float
    prior: bool = True


def _chain(options: argparse.Namespace) -> Chain:
    return Chain(options.langevin, options.step_size, prior=not options.no_prior)


def draw(
    run_dir: Path,
    count: int,
    *,
    seed: int = 0,
    raw: bool = False,
    average: str | None = None,
    device: str = "auto",
    label: Labels = None,
    code: int | None = None,
    chain: Chain | None = None,
    allow: Sequence[str] = (),
    checkpoint: str = "auto",
) -> np.ndarray:
    """Draw samples from the generator of a run's checkpoint, or from an exported one.

    The k-th sample depends on the seed and k alone, not on the number of samples.

    Args:
        run_dir: directory of a `gan-run`; or the file or folder of an exported generator.
        count: number of samples; the result must fit into memory, a batch of that size need not.
        seed: seed of the noise.
        raw: draw from the generator's last weights instead of their running average.
        average: name of the average to draw from; None: the first.
        device: auto, cpu, cuda or cuda:N.
        label: class of all samples, or several in turn, for a generator that takes labels; numbers
            or names: 3, "3,4", "cat". None: all in turn.
        code: value of InfoGAN's categorical code in all samples; None: random.
        chain: Langevin sampling of the noise, see `_follow`; None: noise from the prior.
        allow: prefixes of targets that you trust; see `config.targets`.
        checkpoint: "last", "best", a step, or "auto": see `chain.load_mixture`.

    Returns:
        (count, C, H, W) images in [-1, 1] or (count, d) points, float32.

    Raises:
        ValueError: as of `restore.load`, or `chain` or `code` does not fit the run.
    """
    chosen: dict[str, Any] = {"raw": raw, "average": average, "checkpoint": checkpoint}
    players = load_mixture(run_dir, device=device, allow=allow, **chosen)
    if chain is not None:
        _check_chain(players)
    latents = _with_code(players.latents(seed, label), players.objective, code)
    samples = np.empty((count, *players.spec.shape), dtype=np.float32)
    for start, latent in zip(range(0, count, CHUNK), latents, strict=False):
        if chain is not None:
            latent = _follow(chain, players, latent, seeds=(seed, start, 1))
        chunk = generate(players.generator, latent, batch_size=CHUNK).cpu().numpy()
        samples[start : start + CHUNK] = chunk[: count - start]
    return samples


def draw_rows(
    run_dir: Path,
    rows: int,
    *,
    grid: bool,
    seed: int = 0,
    label: int | None = None,
    **options: Any,
) -> tuple[np.ndarray, int]:
    """Draw rows of related samples, all of one generator of a mixture.

    Args:
        run_dir: as in `draw`.
        rows: number of rows.
        grid: one class or code per column, see `in_every_class`; else `between_pairs`.
        seed: seed of the noise.
        label: class of all samples; None: 0, 1, 2 ... in turn.
        options: arguments of `restore.load`.

    Returns:
        (rows columns, *shape) samples in the order of rows, and the number of columns.
    """
    players = load(run_dir, **options)
    prior = players.objective.prior
    noise = players.noise(2 * rows, seed=seed, label=label)
    if grid:
        classes = int(getattr(players.generator, "n_classes", 0))
        latent, columns = in_every_class(noise, classes=classes, codes=categories(prior))
    else:
        latent, columns = between_pairs(noise, code=code_dim(prior)), STEPS
    network = getattr(players.generator, "members", [players.generator])[0]
    return generate(network, latent, batch_size=CHUNK).cpu().numpy(), columns


def _check_chain(players: TrainedModel) -> None:
    if players.critic is None:
        raise ValueError("--langevin: an exported generator has no critic; sample its run")
    if categories(players.objective.prior):
        raise ValueError("--langevin: would overwrite the code in this run's noise; omit it")


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
    """Return the noise at the end of Langevin chains in the energy -f(G(z)) - log p(z).

    Without -log p(z), |z|^2 / 2 for Gaussian noise, the density of z need not be finite. Long
    chains would diffuse to noise that the generator was not trained on. See `optim.langevin`.
    """

    def energy(z: Tensor) -> Tensor:
        assert players.critic is not None
        scores = players.critic(players.generator(z, latent.y), latent.y)
        own = -ensemble_mean(scores, len(z))
        return own + negative_log_density(players.objective.prior, z) if chain.prior else own

    own = np.random.SeedSequence(seeds).generate_state(1)  # differs from the seed of the noise
    random = torch.Generator().manual_seed(int(own[0]))
    z = langevin(energy, latent.z, steps=chain.steps, step_size=chain.step_size, random=random)
    return latent._replace(z=z)


def _write(samples: np.ndarray, path: Path, *, columns: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in _ARRAYS:
        with path.open("wb") as file:  # numpy would append the ending to FILE.NPZ
            _ARRAYS[path.suffix.lower()](samples, file)
    elif samples.ndim == 4:
        columns = columns or ceil(sqrt(len(samples)))
        Image.fromarray(image_grid(torch.from_numpy(samples), columns=columns)).save(path)
    else:
        Image.fromarray(scatter(None, samples, title=path.stem)).save(path)


if __name__ == "__main__":
    main()

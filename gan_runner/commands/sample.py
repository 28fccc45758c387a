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
from gan_runner.plots.figures import label_text
from gan_runner.plots.latent_walks import paint_paths
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
        drawn = _samples(options)
        if folder:
            write_pngs(drawn.samples, out)
        else:
            _write(drawn, out, name=options.run_dir.resolve().name)
    except MemoryError:
        problem = "does not fit into memory; choose a smaller number"
        echo(f"gan-sample: --count {options.count}: {problem}", error=True)
        sys.exit(2)
    except (ValueError, OSError) as error:
        keep_traceback(error, options.allow)
        echo(f"gan-sample: {error}", error=True)
        sys.exit(2)
    count = len(drawn.samples)
    echo(f"{count:,} sample{'s' * (count != 1)} in {options.out}")


class Drawn(NamedTuple):
    """Samples, and their arrangement in a picture.

    Attributes:
        samples: (N, *shape).
        columns: of a grid of images; None for a square.
        classes: label or categorical code of each sample, (N,); None without.
        is_path: the samples of each row lie between two samples.
    """

    samples: np.ndarray
    columns: int | None = None
    classes: np.ndarray | None = None
    is_path: bool = False


def _samples(options: argparse.Namespace) -> Drawn:
    """Return samples as the command line asks for."""
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
        rows = draw_rows(options.run_dir, count or ROWS, grid=options.grid, label=label, **chosen)
        classes = np.arange(len(rows[0])) % rows[1] if options.grid else None
        return Drawn(*rows, classes, is_path=not options.grid)
    chain = _chain(options) if options.langevin else None
    chosen |= {"label": options.label, "code": options.code, "chain": chain}
    return draw_with_classes(options.run_dir, 100 if count is None else count, **chosen)


_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_ARRAYS = {".npz": write_npz, ".npy": lambda samples, file: np.save(file, samples)}


class Chain(NamedTuple):
    """Langevin chain: number of steps, step size, and the prior of the noise in its target."""

    steps: int
    step_size: float
    prior: bool = True


def _chain(options: argparse.Namespace) -> Chain:
    return Chain(options.langevin, options.step_size, prior=not options.no_prior)


def draw(run_dir: Path, count: int, **options: Any) -> np.ndarray:
    """Return the samples of `draw_with_classes`."""
    return draw_with_classes(run_dir, count, **options).samples


def draw_with_classes(
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
) -> Drawn:
    """Draw samples of a run's or an exported generator; the k-th depends on the seed and k alone.

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
        (count, C, H, W) images in [-1, 1] or (count, d) points, float32; and their classes.

    Raises:
        ValueError: as of `restore.load`, or `chain` or `code` does not fit the run.
    """
    chosen: dict[str, Any] = {"raw": raw, "average": average, "checkpoint": checkpoint}
    players = load_mixture(run_dir, device=device, allow=allow, **chosen)
    if chain is not None:
        _check_chain(players)
    latents = _with_code(players.latents(seed, label), players.objective, code)
    samples = np.empty((count, *players.spec.shape), dtype=np.float32)
    labels: list[np.ndarray] = []
    for start, latent in zip(range(0, count, CHUNK), latents, strict=False):
        if chain is not None:
            latent = _follow(chain, players, latent, seeds=(seed, start, 1))
        chunk = generate(players.generator, latent, batch_size=CHUNK).cpu().numpy()
        samples[start : start + CHUNK] = chunk[: count - start]
        labels += _classes(latent, codes=categories(players.objective.prior))
    return Drawn(samples, classes=np.concatenate(labels)[:count] if labels else None)


def _classes(latent: Latent, *, codes: int) -> list[np.ndarray]:
    """Return the labels of noise, or else its categorical codes, in a list; [] without both."""
    if latent.y is None and not codes:
        return []
    classes = latent.z[:, :codes].argmax(1) if latent.y is None else latent.y
    return [classes.cpu().numpy()]


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


def _write(drawn: Drawn, path: Path, *, name: str) -> None:
    samples = drawn.samples
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in _ARRAYS:
        with path.open("wb") as file:  # numpy would append the ending to FILE.NPZ
            _ARRAYS[path.suffix.lower()](samples, file)
    elif samples.ndim == 4:
        columns = drawn.columns or ceil(sqrt(len(samples)))
        Image.fromarray(image_grid(torch.from_numpy(samples), columns=columns)).save(path)
    elif drawn.is_path and drawn.columns and samples.shape[1:] == (2,):
        paths = samples.reshape(-1, drawn.columns, 2)
        Image.fromarray(paint_paths(paths, None, name=name)).save(path)
    else:
        title = label_text(f"{name}: samples")
        Image.fromarray(scatter(None, samples, title=title, classes=drawn.classes)).save(path)


if __name__ == "__main__":
    main()

"""The command line of `gan-sample`."""

from __future__ import annotations

import argparse
from pathlib import Path

from gan_runner.commands.console import add_allow
from gan_runner.commands.options import OptionParser
from gan_runner.plots.noise_rows import STEPS

ROWS = 10  # of --interpolate and --grid
_ABOUT = "gan-sample: draw samples from the generator of a run, or from an exported one."


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = OptionParser(prog="gan-sample", description=_ABOUT)
    parser.add_argument(
        "run_dir", type=Path, metavar="RUN_DIR",
        help="directory of a gan-run; or FILE.safetensors or the folder of a gan-export",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=None, help="samples (default: 100)")
    parser.add_argument(
        "--out", default="samples.png",
        help="FILE.png: one image; FOLDER/: a PNG of each sample; FILE.npy: an array; FILE.npz:"
        " `samples` in [-1, 1] and, of images, `arr_0`, uint8 (N, H, W, C) (default: samples.png)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", default="auto", metavar="WHICH",
        help="last, best or a step (default: last; of a Bayesian run, a mixture of all that are"
        " kept)",
    )  # fmt: skip
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--interpolate", action="store_true",
        help=f"{STEPS} samples between two in each row; --count is the number of rows ({ROWS})",
    )  # fmt: skip
    rows.add_argument(
        "--grid", action="store_true",
        help="one row for each noise, one column for each class or code; --count as above",
    )  # fmt: skip
    _add_choices(parser)
    return parser


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose noise, weights and device."""
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    parser.add_argument(
        "--label", default=None, metavar="CLASS,CLASS",
        help="class of the samples, or several, by number or name (default: all in turn)",
    )  # fmt: skip
    parser.add_argument(
        "--code", type=int, default=None,
        help="value of InfoGAN's categorical code (default: random)",
    )  # fmt: skip
    parser.add_argument(
        "--langevin", type=int, default=0, metavar="STEPS",
        help="steps of Metropolis-adjusted Langevin sampling of the noise, in the energy"
        " -f(G(z)) - log p(z)",
    )  # fmt: skip
    parser.add_argument(
        "--step-size", type=float, default=0.01, metavar="A",
        help="Langevin step, the variance of its noise: twice alpha of Kumar et al. 2019"
        " (default: 0.01)",
    )  # fmt: skip
    parser.add_argument(
        "--no-prior", action="store_true",
        help="leave the density p(z) of the noise out of the energy, as Kumar et al. 2019 do",
    )  # fmt: skip
    parser.add_argument("--raw", action="store_true", help="use the generator without averaging")
    parser.add_argument(
        "--average", metavar="NAME", default=None,
        help="average of the generator, one of the run's `averages` (default: the first)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_allow(parser)

"""A page about the objectives: closed forms, modes of a mixture, labels and codes.

python scripts/objectives.py [--only SECTION ...] [--objectives NAME ...] [--published-rates]
    [--seeds 1] [--out FILE.md]

Sections: forms (seconds), modes (20 minutes per seed on one core) and labels (minutes). Finished
runs are kept in outputs/objectives/ and reused, so that a stopped command can continue.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator, Mapping
from math import log
from pathlib import Path
from textwrap import fill
from typing import Any

import labels
import modes
import torch
from closed_forms import (
    CLOSED_FORMS,
    discriminator,
    js,
    lines_estimate,
    lines_jensen_shannon,
    variational_scores,
)
from hydra.utils import instantiate
from torch import Tensor

from gan_runner.metrics.coverage import WITHIN
from gan_runner.objectives.losses import nonsaturating_generator, saturating_generator
from gan_runner.runs.files import atomic_write
from gan_runner.runs.provenance import versions
from gan_runner.training.device import device_name, resolve_device

RUNS = Path("outputs/objectives")
SHARED = (
    "The learning rate is the same for all, except for objectives with another kind of optimizer."
    " It is higher than the published ones, because the budget is small."
)
PUBLISHED = "The learning rates are the published ones, which were chosen for longer training."
LABELS_BUDGET = ["dataset=digits", "model=dcgan", "model.filters=32", "seed=0"]


def main() -> None:
    """Print the sections of the page, and write it to --out."""
    sections = {"forms": forms, "modes": mixture, "labels": digits}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections))
    parser.add_argument(
        "--objectives", nargs="+", choices=modes.cards(), default=modes.cards(), metavar="NAME",
        help="objectives of the section `modes` (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--published-rates", action="store_true", help="learning rates of the cards on the mixture"
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the runs on the mixture")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the tensors are too small for two threads
    parts = [opening(options)]
    for name in options.only:
        parts.append("\n".join(sections[name](options)))
        print(parts[-1], flush=True)
    if options.out is not None:
        atomic_write(options.out, ("\n\n".join(part.strip() for part in parts) + "\n").encode())


def opening(options: argparse.Namespace) -> str:
    """Return the head of the page: title, command, machine and versions."""
    installed = versions()
    packages = ", ".join(f"{name} {installed[name]}" for name in ("python", "torch", "numpy"))
    command = "python scripts/objectives.py"
    if set(options.only) != {"forms", "modes", "labels"}:
        command += f" --only {' '.join(options.only)}"
    if options.objectives != modes.cards():
        command += f" --objectives {' '.join(options.objectives)}"
    if options.published_rates:
        command += " --published-rates"
    if options.seeds > 1:
        command += f" --seeds {options.seeds}"
    processor = f"{platform.machine()} with {torch.backends.cpu.get_cpu_capability()}"
    device = device_name(resolve_device("auto"))
    return prose(f"""
        # Objectives: trained critics and generators against known answers

        Every number on this page comes from `{command}`, on {device}, {processor}; {packages}.
        Seeds are fixed: the same machine gives the same numbers, timings aside.
    """)


# -- Closed forms.


def forms(_: argparse.Namespace) -> Iterator[str]:
    """Yield the section that compares trained critics with closed forms."""
    yield prose("""
        ## Against closed forms

        Data N(0, 1), samples N(1, 1). A critic of two hidden layers maximizes the lower bound of
        each row of `objectives/f_divergence.py` (Nowozin et al. 2016) on a grid from -7 to 8. JS is
        computed by quadrature; `gan` is 2 JS - log 4.
    """)
    yield from header("divergence", "closed form", "the critic's bound", "difference")
    for name, exact in CLOSED_FORMS.items():
        bound = variational_scores(name)[1]
        yield line(f"`{name}`", f"{exact:.5f}", f"{bound:.5f}", f"{bound - exact:+.1e}")
    error, value = discriminator()
    yield prose(f"""

        A discriminator between the same two densities, trained on 2,000 quantiles of each: the mean
        of \\|D(x) - p / (p + q)\\| over these points is {error:.4f}, and the value of the game is
        V = {value:.4f} on them, where 2 JS - log 4 = {2 * js() - log(4):.4f} for the densities
        (Goodfellow et al. 2014, proposition 1 and theorem 1).
    """)
    yield from lines()
    yield from slopes()


def lines(lam: float = 2.0) -> Iterator[str]:
    """Yield the table of two parallel lines at growing distances."""
    key = "objective.critic_terms.gradient_penalty.weight"
    wgan_gp = instantiate(modes.composed(["objective=wgan_gp", f"{key}={lam}"]).objective)
    gan = instantiate(modes.composed(["objective=gan"]).objective)
    yield prose(f"""
        Parallel lines (Arjovsky et al. 2017, example 1): data (0, Z), samples (theta, Z), so that
        W1 = theta and JS = log 2 = {log(2):.4f}. A critic is trained by `wgan_gp` with lambda =
        {lam:g}, a discriminator by `gan`. The two-sided penalty allows a critic steeper than 1: the
        slope s that maximizes theta s - lambda (s - 1)^2 is 1 + theta / (2 lambda). The estimate
        divided by the steepest slope (`wasserstein/per_slope`) is again W1.
    """)
    expected = "theta (1 + theta / (2 lambda))"
    yield from header("theta = W1", "estimate", expected, "estimate / slope", "JS bound")
    for theta in (0.1, 0.2, 0.5, 1.0, 1.5, 2.0):
        torch.manual_seed(0)
        estimates = lines_estimate(wgan_gp, theta)
        jensen = lines_jensen_shannon(gan, theta)
        slope = estimates["wasserstein/per_slope"]
        values = estimates["estimate"], theta * (1 + theta / (2 * lam)), slope
        yield line(f"{theta:g}", *(f"{value:.4f}" for value in (*values, jensen)))


def slopes(probability: float = 0.01) -> Iterator[str]:
    """Yield the gradients of the generator's two losses for samples that are told apart."""
    yield prose(f"""

        The slope of the generator's loss in the score, at D(G(z)) = {probability:g}. The saturating
        loss hardly moves samples that the critic tells apart (Goodfellow et al. 2014, section 3).
    """)
    yield from header("loss", "slope", "by hand")
    losses: list[tuple[str, Callable[[Tensor], Tensor], float]] = [
        ("`gan`: E log(1 - D(G(z)))", saturating_generator, -probability),
        ("`ns_gan`: -E log D(G(z))", nonsaturating_generator, probability - 1),
    ]
    for name, loss, exact in losses:
        score = torch.tensor([log(probability / (1 - probability))], dtype=torch.float64)
        (slope,) = torch.autograd.grad(loss(score.requires_grad_()), score)
        yield line(name, f"{slope.item():.4f}", f"{exact:.4f}")


# -- Runs.


def mixture(options: argparse.Namespace) -> Iterator[str]:
    """Yield the table of modes of 25 Gaussians, one line per objective."""
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in options.objectives}
    published = options.published_rates
    runs_dir = RUNS / ("modes_published_rates" if published else "modes")
    for seed in range(options.seeds):
        for name, runs in reports.items():
            folder = runs_dir / name / f"seed_{seed}"
            runs.append(modes.measure(name, seed, folder, published_rate=published))
            print(f"# {name}, seed {seed}: {runs[-1].get('coverage', runs[-1])}", flush=True)
    seeds = "seed 0" if options.seeds == 1 else f"{options.seeds} seeds, mean (lowest to highest)"
    width = modes.composed(modes.BUDGET).model.width
    command = " ".join(
        ["gan-run objective=NAME", *modes.BUDGET, *([] if published else [modes.RATE])]
    )
    yield prose(f"""
        ## Modes of 25 Gaussians

        `{command}`; {seeds}.

        All objectives use the same networks, 3 hidden layers of {width} units, and the same number
        of generator iterations, regardless of their cost. {PUBLISHED if published else SHARED} All
        other constants are the objective's defaults, which were chosen for other data.
        The table shows the progress in little time; it is not a ranking of
        methods. `gan`, `fgan_gan` and `fgan_jensen_shannon` play the same game and differ by
        rounding, so their differences show the variation between seeds.

        A sample is good if it is within {WITHIN:g} standard deviations of the nearest mode (VEEGAN,
        Srivastava et al. 2017; PacGAN, Lin et al. 2018). There are {modes.COUNT:,} samples of the
        averaged generator. `modes` counts the modes with at least {modes.ENOUGH} good samples,
        where {modes.COUNT // 25} would be fair. `touched` counts those with at least 1, as in these
        papers; a uniform blur touches most modes. `good` is the share of good samples, 98.9% for
        real data. `raw` columns use the generator without averaging. `slope` and `W / slope` are
        `lipschitz/lower` and `wasserstein/per_slope` of the last evaluation. `s` is seconds on one
        core of a shared machine.
    """)
    names = ("modes", "touched", "good", "raw modes", "raw good", "slope", "W / slope", "s")
    yield from header("objective", *names)
    for name, runs in reports.items():
        if "skipped" not in runs[0]:
            yield modes.row(name, runs)
    yield from left_out({name: runs[0] for name, runs in reports.items()})
    sources = (report.get("versions", {}) for runs in reports.values() for report in runs)
    commits = sorted({commit[:7] for facts in sources if (commit := facts.get("git_commit"))})
    yield f"\nCommits of the runs: {', '.join(commits) or 'unknown'}."


def digits(_: argparse.Namespace) -> Iterator[str]:
    """Yield the section about labels and codes."""
    yield prose(f"""
        ## Labels and codes on the digits

        `gan-run objective=NAME {" ".join(LABELS_BUDGET)}`.

        The classifier of `scripts/score_digits.py`, trained on real digits, classifies
        {labels.COUNT:,} samples, generated for all labels or codes in turn. With labels, `share` is
        the share of samples classified as their label. With codes, it is the purity: the share of
        samples in the most frequent class of their code. A generator that ignores labels reaches
        about 10%; one that ignores its code reaches the share of the most frequent class.
    """)
    results = labels.measure(LABELS_BUDGET, RUNS / "labels")
    yield from header("run", "share", "classes found", "s")
    for name, result in results.items():
        if "skipped" not in result:
            share, classes = f"{result['share']:.1%}", str(result["classes"])
            yield line(f"`{name}`", share, classes, f"{result['seconds']:.0f}")
    yield from left_out(results)


def left_out(reports: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a line with the reason for each run that was skipped."""
    for name, report in reports.items():
        if "skipped" in report:
            yield f"\n`{name}` is left out: {report['skipped']}."


def prose(text: str) -> str:
    """Fill the paragraphs of a text; commands and headings stay on one line."""
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    filled = [p if p.startswith(("`gan-run", "#")) else fill(p, 118) for p in paragraphs]
    lead = "\n" if text.startswith("\n\n") else ""
    return lead + "\n\n".join(filled) + "\n"


def header(*names: str) -> Iterator[str]:
    """Yield the head of a Markdown table."""
    yield line(*names)
    yield line(*["---"] * len(names))


def line(*cells: str) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

"""Optimizers and orders of updates compared: on 8 Gaussians, and on the bilinear game.

    python scripts/optimizers.py outputs/reference/optimizers.md [--runs FOLDER]

Writes the table and, beside it, a picture of the bilinear game's paths. Each run is kept in the
folder of runs, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import gan_runner
from gan_runner.runs.files import atomic_path, atomic_write
from gan_runner.runs.read import read_points, read_summary

# learning rates: 1e-3 for Adam and its relatives; 5e-3 for plain gradients, which diverge at .05
CARDS: Mapping[str, Sequence[str]] = {
    "adam": ("optimizer=adam", "optimizer.lr=1e-3"),
    "adamw": ("optimizer=adamw", "optimizer.lr=1e-3"),
    "rmsprop": ("optimizer=rmsprop", "optimizer.lr=1e-3"),
    "sgd": ("optimizer=sgd", "optimizer.lr=5e-3"),
    "sgd, simultaneous": ("optimizer=sgd", "optimizer.lr=5e-3", "optimizer.order=simultaneous"),
    "sgd, momentum .9": ("optimizer=sgd", "optimizer.lr=5e-4", "optimizer.momentum=0.9"),
    "extragradient": ("optimizer=extragradient", "optimizer.lr=5e-3"),
    "extra_adam": ("optimizer=extra_adam", "optimizer.lr=1e-3"),
    "optimistic": ("optimizer=optimistic", "optimizer.lr=5e-3"),
    "optimistic_adam": ("optimizer=optimistic_adam", "optimizer.lr=1e-3"),
    "lookahead": ("optimizer=lookahead", "optimizer.lr=1e-3"),
    "unrolled": ("optimizer=unrolled", "optimizer.lr=1e-3"),
    "adam, cosine schedule": ("optimizer=adam", "optimizer.lr=1e-3", "schedule=cosine"),
    "hessian_free critic": (
        "optimizer=adam", "optimizer.lr=1e-3",
        "optimizer.critic._target_=gan_runner.optim.hessian_free.HessianFree",
        "optimizer.critic.lr=1", "~optimizer.critic.betas", "~optimizer.critic.eps",
        "~optimizer.critic.weight_decay", "~optimizer.critic.flavor",
    ),
}  # fmt: skip
FEWER = {"hessian_free critic": 200}  # iterations: each takes up to 50 products for the critic
ALONE = {"unrolled", "hessian_free critic"}  # they do not train as replicas
TOY = (
    "dataset=gaussians8", "model=mlp", "model.width=64", "model.init=he", "trainer.batch_size=64",
    "plots=none", "trainer.checkpoint_metric=null", "metrics.probe=null", "metrics.lipschitz=null",
)  # fmt: skip
STEPS, SEEDS = 1500, 3
GAMES = {
    "alternating, critic first": ("optimizer=sgd",),
    "alternating, generator first": ("optimizer=sgd", "optimizer.order=generator_first"),
    "simultaneous": ("optimizer=sgd", "optimizer.order=simultaneous"),
    "extragradient": ("optimizer=extragradient",),
    "optimistic": ("optimizer=optimistic",),
    "lookahead": (
        "optimizer=sgd",
        "optimizer.order={_target_: gan_runner.training.orders.Lookahead, every: 5, alpha: 0.5}",
    ),
    "adam": ("optimizer=adam",),
    "extra_adam": ("optimizer=extra_adam",),
    "optimistic_adam": ("optimizer=optimistic_adam",),
}


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    """Train a run, unless its folder has its result; return its summary, or why it is refused."""
    result = folder / "asked.json"
    if result.is_file():
        earlier: dict[str, Any] = json.loads(result.read_text())
        if earlier["asked"] == list(overrides):
            return {**read_summary(folder), **earlier}
    try:
        engine = gan_runner.build(gan_runner.compose(*overrides))
    except ValueError as error:
        return {"refused": str(error).splitlines()[0]}
    summary = gan_runner.fit(engine, folder)
    atomic_write(result, json.dumps({"asked": list(overrides)}).encode())
    return {**summary, "asked": list(overrides)}


def toy_rows(runs: Path, objective: str) -> list[str]:
    """Return a line for each optimizer: modes, exact W1 and seconds, over the seeds."""
    lines = []
    for name, words in CARDS.items():
        steps = FEWER.get(name, STEPS)
        every = (f"trainer.steps={steps}", f"trainer.evaluate_every={steps}")
        folder = runs / objective / name.replace(" ", "_").replace(",", "")
        asked = (*TOY, f"objective={objective}", *words, *every)
        if name in ALONE:
            results = [run(folder / f"seed_{k}", *asked, f"seed={k}") for k in range(SEEDS)]
        else:
            results = _each(run(folder, *asked, f"trainer.replicas={SEEDS}"))
        lines.append(_row(name, words, steps, results))
        print(lines[-1], flush=True)
    return lines


def _each(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the summary of each replica, each with its share of the seconds of all."""
    if "refused" in summary:
        return [dict(summary)]
    seconds = {"total": summary["seconds"]["total"] / SEEDS}
    return [{**replica, "seconds": seconds} for replica in summary["replicas"].values()]


def _row(name: str, words: Sequence[str], steps: int, results: Sequence[Mapping[str, Any]]) -> str:
    lr = next(word.partition("=")[2] for word in words if word.startswith("optimizer.lr="))
    if "refused" in results[0]:
        return f"| {name} | {lr} | | {results[0]['refused']} | | |"
    done = [result for result in results if "modes/found" in result.get("final", {})]
    lost = len(results) - sum(result["status"] == "completed" for result in results)
    modes = _spread([result["final"]["modes/found"] for result in done], ".1f")
    exact = _spread([result["final"]["wasserstein/exact"] for result in done], ".2f")
    seconds = np.mean([result["seconds"]["total"] for result in results])
    note = f" ({lost} of {len(results)} diverged)" if lost else ""
    return f"| {name}{note} | {lr} | {steps:,} | {modes} | {exact} | {seconds:.0f} |"


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def game_rows(runs: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return a line for each order on the bilinear game, and the paths."""
    lines, paths = [], {}
    for name, words in GAMES.items():
        folder = runs / "bilinear" / name.replace(" ", "_").replace(",", "")
        run(folder, "experiment=bilinear_game", *words, "optimizer.lr=0.1", "plots=none")
        points = read_points(folder / "metrics.jsonl")
        path = [(p["game/x"], p["game/y"]) for p in points if "game/x" in p]
        paths[name] = np.array([(1.0, 1.0), *path])
        radii = [hypot(*paths[name][step // 4]) for step in (40, 100, 400)]
        lines.append(f"| {name} | {' | '.join(f'{radius:.4f}' for radius in radii)} |")
    return lines, paths


def draw(paths: Mapping[str, np.ndarray], out: Path) -> None:
    """Draw the paths of the bilinear game, each in a panel."""
    figure = Figure(figsize=(10, 10), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, path) in zip(figure.subplots(3, 3).flat, paths.items(), strict=True):
        side = 1.05 * max(1.5, float(np.abs(path).max()))
        axes.plot(*path.T, lw=0.7, color="#0072B2", marker=".", ms=3)
        axes.plot(*path[0], "o", color="#009E73")
        axes.plot(0, 0, "*", color="#D55E00", ms=10)
        axes.set(title=name, xlim=(-side, side), ylim=(-side, side), aspect="equal")
        axes.grid(alpha=0.3)
    with atomic_path(out) as partial:
        figure.savefig(partial, format="png", dpi=90)


def processor() -> str:
    """Return the processor's name where Linux tells it, or the machine's kind."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Run what is left to run, and write the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="Markdown file to write")
    parser.add_argument("--runs", type=Path, default=Path("outputs/optimizers"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    games, paths = game_rows(options.runs)
    picture = options.out.with_name("bilinear_game.png")
    draw(paths, picture)
    head = [
        "| optimizer | rate | steps | modes of 8 | exact W1 | seconds |",
        "|---|---|---|---|---|---|",
    ]
    lines = [
        "# Optimizers and orders of updates", "",
        f"`python scripts/optimizers.py {options.out}`; {processor()}, torch"
        f" {torch.__version__}, one thread. Means over {SEEDS} seeds with lowest and highest, of"
        " the averaged generator. Seconds of a run count everything, beside other work; seeds train"
        " together where an optimizer allows it.",
        "",
        "## 8 Gaussians", "",
        f"`{' '.join(TOY[:5])}`. The W1 between held-out rows and as many training rows stands in"
        " each run as `wasserstein/exact_floor`.", "",
    ]  # fmt: skip
    for objective in ("ns_gan", "wgan_gp"):
        lines += [f"### `objective={objective}`", "", *head, *toy_rows(options.runs, objective), ""]
    lines += [
        "## The bilinear game", "",
        "`gan-run experiment=bilinear_game optimizer=... optimizer.lr=0.1`: min over x, max over y"
        " of x y from (1, 1), distance from the solution (0, 0). The start is at 1.4142.", "",
        "| order or optimizer | 40 steps | 100 steps | 400 steps |", "|---|---|---|---|", *games,
        "",
        f"![paths of x and y]({picture.name})",
    ]  # fmt: skip
    atomic_write(options.out, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()

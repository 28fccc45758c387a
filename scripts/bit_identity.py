"""Compare two checkouts bit for bit: losses, metrics and every number of the training state.

    python scripts/bit_identity.py OLD_CHECKOUT [NEW_CHECKOUT] [--all KEY=VALUE ...]

Both checkouts train each case in a process of its own. The script compares all lines of
metrics.jsonl but speeds, and all tensors and plain values of the last checkpoint. Values are
compared by content and order, so a key may have been renamed. `--all` adds overrides to every
case, such as `trainer.precision=fp32`. The exit status is 1 if a case differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

SHORT = ("device=cpu", "trainer.log_every=5", "trainer.evaluate_every=10", "trainer.steps=30")
IMAGES = (*SHORT, "model.filters=8")
POINTS = (*SHORT, "model=mlp", "model.width=32")
CASES: dict[str, list[tuple[str, ...]]] = {
    "wgan_gp, digits": [(*IMAGES, "objective=wgan_gp")],
    "ns_gan, gaussians25": [(*POINTS, "dataset=gaussians25", "objective=ns_gan")],
    "infogan, digits": [(*IMAGES, "objective=infogan")],
    "sn_gan, digits": [(*IMAGES, "objective=sn_gan")],
    "bayesian, gaussians8": [(*POINTS, "dataset=gaussians8", "objective=bayesian")],
    "wgan_gp, three replicas": [(*POINTS, "dataset=gaussians8", "trainer.replicas=3")],
    "wgan_gp, resumed": [(*IMAGES, "trainer.steps=17"), ("trainer.steps=30",)],
}
VOLATILE = {"seconds", "mode"}


def train(checkout: Path, commands: list[tuple[str, ...]], run_dir: Path) -> None:
    """Run commands of one checkout; the later ones resume the run of the first."""
    env = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    for i, overrides in enumerate(commands):
        where = f"resume={run_dir}" if i else f"hydra.run.dir={run_dir}"
        subprocess.run(
            [sys.executable, "-m", "gan_runner.train", where, *overrides],
            env=env, cwd=checkout, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def leaves(value: Any) -> Iterator[str]:
    """Yield the content of a nested value, leaf by leaf."""
    if isinstance(value, torch.Tensor):
        array = value.detach().contiguous()
        data = array.reshape(-1).view(torch.uint8).numpy().tobytes()
        yield f"{array.dtype} {tuple(array.shape)} {sha256(data).hexdigest()}"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in VOLATILE:
                yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield repr(value)


def contents(run_dir: Path) -> dict[str, Any]:
    """Return the curves and the final state of each run below a directory, without timings."""
    runs: dict[str, Any] = {}
    for log in sorted(run_dir.glob("**/metrics.jsonl")):
        folder = log.parent
        last = max((folder / "checkpoints").glob("step_*.pt"))
        state = torch.load(last, map_location="cpu", weights_only=True)["state"]
        points = [json.loads(line) for line in log.read_text().splitlines()]
        runs[str(folder.relative_to(run_dir))] = {
            "points": [{t: v for t, v in p.items() if not t.startswith("speed/")} for p in points],
            "state": list(leaves(state)),
        }
    return runs


def main() -> None:
    """Train every case in both checkouts and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    parser.add_argument("--all", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    different = 0
    for name, commands in CASES.items():
        with tempfile.TemporaryDirectory() as scratch:
            results = []
            for label in ("old", "new"):
                run_dir = Path(scratch) / label
                first = (*commands[0], *options.all)  # a resumed run keeps its configuration
                train(getattr(options, label).resolve(), [first, *commands[1:]], run_dir)
                results.append(contents(run_dir))
        same = results[0] == results[1]
        different += not same
        run = next(iter(results[1].values()))
        size = f"{len(results[1])} run(s), {len(run['points'])} points, {len(run['state'])} values"
        print(f"{name}: {'the same bits' if same else 'DIFFERENT'} ({size})", flush=True)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()

"""gan-run: compose a configuration, build its objects, train.

Imports of torch wait until there is something to train, so that `--help`, `--cfg job` and a typo
answer at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from gan_runner.explain import Refused, explain

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130


def config_dir() -> Path:
    """The folder of the configuration groups: inside an installed package, beside it in a checkout.

    Raises:
        FileNotFoundError: the package is neither.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or beside it")


def main() -> None:
    """Entry point of `gan-run` and `python -m gan_runner.train`."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here whole, to be explained in one line
    try:
        _run_app()
    except KeyboardInterrupt:
        print("gan-run: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = explain(error, sys.argv[1:], config_dir())
        if message is None:
            raise
        _exit(message, getattr(error, "exit_status", USAGE_ERROR))


def job(cfg: DictConfig) -> dict[str, Any]:
    """What Hydra calls. A refused job of a sweep raises, which spares the others."""
    try:
        return run(cfg)
    except Refused as refusal:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        _exit(str(refusal), refusal.exit_status)  # a raised error Hydra would announce by itself


def run(cfg: DictConfig) -> dict[str, Any]:
    """One run, or one job of a sweep; returns its summary.

    Raises:
        Refused: the configuration, the data or the machine does not allow it, or it has diverged.
        KeyboardInterrupt: SIGINT or SIGTERM ended it; all up to that step is on disk.
    """
    run_dir = Path(os.path.relpath(HydraConfig.get().runtime.output_dir))
    try:
        from gan_runner.build import build

        trainer = build(cfg)
        _claim(run_dir)
    except (ValueError, OSError) as error:
        _remove_if_empty(run_dir)
        raise Refused(str(error), USAGE_ERROR) from error
    except KeyboardInterrupt:
        _remove_if_empty(run_dir)
        raise
    _print_opening(cfg, trainer.facts, run_dir)
    try:
        summary = trainer.fit(run_dir)
    except OSError as error:
        raise Refused(f"{run_dir}: {error}; the run has stopped", FAILURE) from error
    _print_closing(summary, run_dir)
    if summary["status"] == "interrupted":
        raise KeyboardInterrupt
    if summary["status"] == "diverged":
        raise Refused(f"diverged by step {summary['steps']}: a loss is not finite", FAILURE)
    return summary


_run_app = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(job)


def _exit(message: str, status: int) -> NoReturn:
    print(f"gan-run: {message}", file=sys.stderr)
    sys.exit(status)


def _claim(run_dir: Path) -> None:
    """Hydra has made the directory; see that it holds no other run and can be written to."""
    if (run_dir / "config.yaml").exists():
        raise ValueError(f"{run_dir} holds a run already; name another with hydra.run.dir=FOLDER")
    probe = run_dir / ".writable"
    probe.touch()
    probe.unlink()


def _remove_if_empty(run_dir: Path) -> None:
    """A refused run leaves nothing behind: neither its directory nor the day's, if that was new."""
    try:
        run_dir.rmdir()
        run_dir.parent.rmdir()
    except OSError:  # not empty, or not there
        return


def _print_opening(cfg: DictConfig, facts: dict[str, Any], run_dir: Path) -> None:
    choices = HydraConfig.get().runtime.choices
    names = " ".join(f"{group}={choices[group]}" for group in _GROUPS if group in choices)
    sizes = ", ".join(f"{player} {count:,}" for player, count in facts["parameters"].items())
    print(f"gan-run {names} seed={cfg.seed}\n  data        {facts['data']}")
    print(f"  parameters  {sizes}\n  device      {facts['device']}\n  directory   {run_dir}")


def _print_closing(summary: dict[str, Any], run_dir: Path) -> None:
    pictures = sorted((run_dir / "samples").glob("step_*.png"))
    seconds = summary["seconds"]["total"]
    if pictures and _shows_pictures():
        from gan_runner.metrics.pictures import half_blocks

        print(half_blocks(pictures[-1], width=80, share=0.3))
    print(f"{summary['status']} at step {summary['steps']:,} after {seconds:.0f} s")
    print(f"  samples     {pictures[-1]}")
    print(f"  TensorBoard tensorboard --logdir {run_dir}")
    print(f"  more        gan-sample {run_dir} --count 100 --out samples.png")


def _shows_pictures() -> bool:
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")


_GROUPS = ("dataset", "model", "objective", "optimizer")

if __name__ == "__main__":
    main()

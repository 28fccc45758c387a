"""A process that has imported everything and forks for each command: gan-run without the wait.

Reads jobs as JSON lines: {"argv", "cwd", "out"}, and maybe "errors" (a file of its own for
standard error), "module" (another command than train), "env", "path" (folders of modules),
"ignored" (signals), "kill_in_save". It answers each with `process NUMBER` and, when that child has
ended, `exit CODE` (minus the signal's number if one killed it).
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import torch
from hydra.core.plugins import Plugins
from small_probe import SMALL, set_probe

import gan_runner
from gan_runner.runs import checkpoint
from gan_runner.runs.provenance import versions

# Packages that runs import late: each child would take seconds to do so.
LATE = ("torch._dynamo", "torch.utils.tensorboard", "sklearn.ensemble", "sklearn.neighbors")


def import_everything() -> None:
    """Import for the children; `gan_runner.train` is left out, since its import sets rules."""
    for name in LATE:
        import_module(name)
    for module in walk_packages(gan_runner.__path__, "gan_runner."):
        if module.name != "gan_runner.train":
            import_module(module.name)
    Plugins.instance()  # imports the launchers and sweepers
    versions()  # asks git


def main() -> None:
    torch.set_num_threads(1)
    import_everything()
    set_probe(SMALL)
    gc.freeze()  # a collection in a child would copy every page
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run(job))
        print("process", child, flush=True)
        print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def run(job: dict[str, Any]) -> int:
    os.chdir(job["cwd"])
    os.environ.update(job.get("env", {}))
    sys.path[:0] = job.get("path", [])
    out = os.open(job["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(os.open(job["errors"], os.O_WRONLY | os.O_CREAT) if job.get("errors") else out, 2)
    module = import_module(job.get("module", "gan_runner.train"))
    sys.argv = ["gan-run", *job["argv"]]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    for number in job.get("ignored", ()):  # as nohup does
        signal.signal(number, signal.SIG_IGN)
    if job.get("kill_in_save"):
        die_in_save(job["kill_in_save"])
    try:
        module.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def die_in_save(which: int) -> None:
    """Write half of the n-th checkpoint, then die as a power cut would have it."""
    write_whole, calls = checkpoint.atomic_write, []

    def write_half(path: Path, data: bytes) -> None:
        calls.append(1)
        if len(calls) == which:
            path.with_name(path.name + ".partial").write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write_whole(path, data)

    checkpoint.atomic_write = write_half  # type: ignore[assignment]


if __name__ == "__main__":
    main()

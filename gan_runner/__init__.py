"""Command-line GAN experiments, and the same from Python:

engine = gan_runner.build(gan_runner.compose("dataset=gaussians8", "model=mlp"))
logs = [engine.train_step() for _ in range(100)]  # no files
gan_runner.fit(engine, "my_run")                   # a run directory, to the last step
model = gan_runner.load("my_run")                  # the trained networks
rows = gan_runner.read("my_sweep")                 # settings and values of each run
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "compose": "gan_runner.config.compose",
    "build": "gan_runner.builder",
    "fit": "gan_runner.training.loop",
    "load": "gan_runner.restore",
    "read": "gan_runner.runs.rows",
}
__all__ = ["build", "compose", "fit", "load", "read"]  # noqa: F822  found by __getattr__


def __getattr__(name: str) -> Callable[..., Any]:
    """Import a public function when it is first asked for: `import gan_runner` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function: Callable[..., Any] = getattr(import_module(_HOMES[name]), name)
    globals()[name] = function  # the next access does not come here
    return function

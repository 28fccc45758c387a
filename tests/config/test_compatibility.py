"""Contradictions: each refused or warned about before any work, with its reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from eval_contexts import context_of
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_runner.config.compatibility import _with_best, check
from gan_runner.core import Nets
from gan_runner.metrics.probe_divergence import ProbeJensenShannon
from gan_runner.objectives import losses
from gan_runner.objectives.constraints import clip_weights, project_frobenius
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.penalties import gradient_penalty
from gan_runner.training.settings import Settings

PENALTY = {"critic_terms": {"gradient_penalty": partial(gradient_penalty, weight=10.0)}}
CLIPPING = {"constraint": partial(clip_weights, c=0.01)}


def look(
    critic: nn.Module,
    *,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.RMSprop,
    settings: dict[str, object] | None = None,
    **objective: object,
) -> None:
    built = Objective(
        critic_loss=losses.wasserstein_critic, generator_loss=losses.wasserstein_generator,
        **objective,  # type: ignore[arg-type]
    )  # fmt: skip
    generator = nn.Linear(2, 2)
    optimizers = {
        "critic": optimizer(critic.parameters()), "generator": torch.optim.SGD(generator.parameters()),
    }  # fmt: skip
    check(
        built, Nets(generator, critic, generator), optimizers, Settings(**(settings or {})),
        [ProbeJensenShannon(context_of(torch.zeros(100, 2)))],
    )  # fmt: skip


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


REFUSED = {
    "batch norm + penalty": (
        lambda: look(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), **PENALTY),
        r"norm=batch contradicts objective\.critic_terms\.gradient_penalty, .*defined per sample",
    ),
    "half precision + penalty": (lambda: look(plain().bfloat16(), **PENALTY), "need float32"),
    "spectral norm + clipping": (
        lambda: look(nn.Sequential(spectral_norm(nn.Linear(2, 1))), **CLIPPING),
        r"constraint=clip_weights contradicts the critic's spectral norm, .* has no effect",
    ),
    "spectral norm + projection": (
        lambda: look(nn.Sequential(spectral_norm(nn.Linear(2, 1))), constraint=project_frobenius),
        "constraint=project_frobenius contradicts",
    ),
    "batch norm + projection": (
        lambda: look(
            nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), constraint=project_frobenius
        ),
        r"critic\.norm contradicts objective\.constraint: .*; set model\.critic\.norm=none",
    ),
    "layer norm + projection": (
        lambda: look(
            nn.Sequential(nn.Linear(2, 2), nn.GroupNorm(1, 2)), constraint=project_frobenius
        ),
        r"critic\.norm contradicts objective\.constraint",
    ),
    "an optimizer of another order": (
        lambda: look(plain(), optimizer=torch.optim.LBFGS),
        r"optimizer\.critic=LBFGS evaluates the loss several times",
    ),
    "a best that is not measured": (
        lambda: look(plain(), settings={"checkpoint_metric": "jsd/critic"}),
        r"trainer\.checkpoint_metric=jsd/critic is not logged by this run; choose one of: ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    act, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        act()


WARNED = {
    "ELU + penalty": (
        lambda: look(nn.Sequential(nn.Linear(2, 1), nn.ELU()), **PENALTY),
        "ELU has a kink",
    ),
    "Adam + clipping": (
        lambda: look(plain(), optimizer=torch.optim.Adam, **CLIPPING),
        r"momentum \(0\.9\), with which clipped critics train unstably",
    ),
    "momentum + clipping": (
        lambda: look(plain(), optimizer=partial(torch.optim.SGD, momentum=0.5), **CLIPPING),
        r"momentum \(0\.5\)",
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_warned(name: str) -> None:
    act, words = WARNED[name]
    with pytest.warns(UserWarning, match=words):
        act()


@pytest.mark.filterwarnings("error")
def test_what_is_well_says_nothing() -> None:
    look(plain(), **PENALTY)
    look(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    look(plain(), **CLIPPING)
    look(nn.Sequential(nn.Linear(2, 1), nn.ELU()), constraint=project_frobenius)
    look(plain(), optimizer=partial(torch.optim.Adam, betas=(0.0, 0.9)), **CLIPPING)
    look(nn.Sequential(spectral_norm(nn.Linear(2, 1))), **PENALTY)


def test_deterministic_is_asked_of_torch(engine: Callable[..., object]) -> None:
    try:
        engine("deterministic=true")
        assert torch.are_deterministic_algorithms_enabled()
        engine()
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_metric_that_was_meant() -> None:
    """The line of a tag that is not logged has the nearest one, and all."""
    settings = Settings(steps=1, batch_size=2, checkpoint_metric="jsd/gird")
    objective = SimpleNamespace(tags=("loss/critic",))
    words = r"jsd/gird is not logged by this run; did you mean jsd/grid\? \(logged: .*jsd/grid"
    with pytest.raises(ValueError, match=words):
        _with_best(settings, {"jsd/grid", "wasserstein/exact"}, objective)


def test_the_check_of_convexity_is_silent() -> None:
    """torch loads rules for forward mode once in a process, with a warning about TorchScript."""
    code = (
        "import torch; from gan_runner.config.closures import _extreme_curvatures as f;"
        "print(f(lambda x: x.square().sum(), scores=1))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout == "(2.0, 2.0)\n" and not result.stderr

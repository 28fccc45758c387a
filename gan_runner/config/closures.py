"""Checks of optimizers that evaluate the loss themselves, and the choice of their curvature."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import hessian
from torch.optim import Optimizer

from gan_runner.objectives.objective import Objective
from gan_runner.objectives.requires import requirements_of
from gan_runner.training.settings import Settings
from gan_runner.training.update import takes_closure

_ROWS, _POINTS = 4, 8  # scores of each batch, and points, that convexity is tried at
_SPREAD = 3.0  # standard deviation of these scores
_ZERO = 1e-9  # eigenvalues above minus this count as nonnegative


def check_closures(
    optimizers: Mapping[str, Optimizer], objective: Objective, settings: Settings
) -> Settings:
    """Check the optimizers that evaluate the loss themselves, and choose their curvature.

    Returns:
        The settings; their precision is float32 where it was "auto".

    Raises:
        ValueError: the execution, the precision or the objective does not allow it.
    """
    players = [player for player, optimizer in optimizers.items() if takes_closure(optimizer)]
    if not players:
        return settings
    name = f"optimizer.{players[0]}={type(optimizers[players[0]]).__name__}"
    if settings.accelerate in ("compile", "cuda_graph"):
        raise ValueError(
            f"trainer.accelerate={settings.accelerate}: contradicts {name}, which reads losses from"
            " the device within a step; set trainer.accelerate=eager"
        )
    if settings.precision in ("bf16", "tf32"):
        raise ValueError(
            f"trainer.precision={settings.precision}: contradicts {name}, whose line search"
            " compares losses that this precision rounds alike; set trainer.precision=fp32"
        )
    for player in players:
        for group in optimizers[player].param_groups:
            group["curvature"] = _curvature(group["curvature"], objective, player)
    return replace(settings, precision="fp32")


def _curvature(requested: str, objective: Objective, player: str) -> str:
    """Replace "auto" by the Gauss-Newton matrix where it is useful, else by the Hessian.

    Raises:
        ValueError: "gauss_newton" is requested of a loss that it does not apply to.
    """
    if requested == "hessian":
        return requested
    reason = _why_not_gauss_newton(objective, player)
    if requested == "auto":
        return "hessian" if reason else "gauss_newton"
    if reason:
        raise ValueError(
            f"optimizer.{player}.curvature=gauss_newton: {reason}; set"
            f" optimizer.{player}.curvature=hessian"
        )
    return requested


def _why_not_gauss_newton(objective: Objective, player: str) -> str:
    """Return the reason why a player's loss is not a convex function of the scores, or nothing."""
    terms = objective.critic_terms if player == "critic" else objective.generator_terms
    if terms:
        return f"objective.{player}_terms.{next(iter(terms))} is not a function of the scores"
    loss = objective.critic_loss_fn if player == "critic" else objective.generator_loss_fn
    assert loss is not None  # a generator without a loss has terms
    takes_both = player == "critic" or requirements_of(loss).real_scores
    lowest, highest = _extreme_curvatures(loss, scores=2 if takes_both else 1)
    if lowest < -_ZERO:
        return f"objective.{player}_loss is not a convex function of the scores"
    return "" if highest > _ZERO else f"objective.{player}_loss is linear in the scores"


def _extreme_curvatures(loss: Callable[..., Tensor], *, scores: int) -> tuple[float, float]:
    """Return the extreme eigenvalues of a loss's Hessian in the scores, at random scores."""
    random = torch.Generator().manual_seed(0)
    shape = (_POINTS, scores, _ROWS)
    points = _SPREAD * torch.randn(shape, generator=random, dtype=torch.float64)
    with warnings.catch_warnings():
        # torch compiles its rules for forward mode with its own TorchScript
        warnings.filterwarnings("ignore", r"`torch\.jit\.script` is", category=Warning)
        second = hessian(lambda flat: loss(*flat.unflatten(0, (scores, _ROWS)).unbind()))
        matrices = [second(point.flatten()) for point in points]
    values = torch.linalg.eigvalsh(torch.stack(matrices))
    return float(values.min()), float(values.max())

"""Combinations across the axes that contradict themselves: refused or warned about, and why."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

import torch
from torch import nn
from torch.optim import Optimizer

from gan_runner.core import Metric, Nets
from gan_runner.models.critic_output import has_batch_statistics
from gan_runner.models.norms import has_batch_norm, has_feature_norm, has_spectral_norm
from gan_runner.objectives.constraints import clip_weights
from gan_runner.objectives.losses import relativistic_average_critic, relativistic_average_generator
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.priors import categories, code_dim
from gan_runner.runs.tags import deciding, record_of
from gan_runner.training.settings import Settings

_ALWAYS_LOGGED = ("grad_norm/critic", "grad_norm/generator", "speed/steps_per_second")


def check(
    objective: Objective,
    nets: Nets,
    optimizers: Mapping[str, Optimizer],
    settings: Settings,
    metrics: Sequence[Metric],
) -> Settings:
    """Look at everything that was built, before anything is trained.

    Returns:
        The settings, with `checkpoint_metric` decided.

    Raises:
        ValueError: for a contradiction; what is merely unwise is warned about.
    """
    _check_labels(objective, nets)
    _check_heads(objective)
    _check_ensemble(objective)
    if objective.constraint is not None:
        _check_constraint(objective.constraint, nets.critic, optimizers["critic"])
    for part in objective.per_sample_parts:
        _check_penalty(f"objective.{part}", nets.critic)
    for player, optimizer in optimizers.items():
        _check_order(player, optimizer)
    if settings.checkpoint_every > settings.steps > 0:
        warnings.warn(
            f"trainer.checkpoint_every={settings.checkpoint_every} is more than trainer.steps="
            f"{settings.steps}: only the first and the last step are saved",
            stacklevel=2,
        )
    provenances = [its for metric in metrics for its in metric.provenance.items()]
    measured = {
        tag for tag, provenance in provenances if record_of(tag, provenance).better != "neither"
    }
    return _with_best(settings, measured, objective)


def check_replicas(nets: Sequence[Nets], precision: str) -> None:
    """Look at the networks of several runs that are to be trained as one.

    Raises:
        ValueError: they cannot be stacked.
    """
    for player in ("generator", "critic"):
        first, *others = (getattr(its, player) for its in nets)
        if any(str(other) != str(first) for other in others):
            raise ValueError(
                f"trainer.replicas={len(nets)}: the {player}s differ in architecture, but replicas"
                " are one network with several weights; give all the same (model.seed=N)"
            )
        if any(isinstance(m, nn.Conv2d) for m in first.modules()) and precision == "bf16":
            raise ValueError(
                f"trainer.precision=bf16 does not work with trainer.replicas={len(nets)} and"
                " convolutions; set trainer.precision=fp32"
            )
        if has_spectral_norm(first):
            raise ValueError(
                f"model.{player}.norm=spectral cannot be trained in replicas: torch's power"
                " iteration works on one network at a time; set trainer.replicas=1"
            )


def check_features(objective: Objective, critic: nn.Module) -> None:
    """Raise a ValueError where terms need a last hidden layer that the critic does not show."""
    wanted = [*objective.needing("features"), *(f"heads.{name}" for name in objective.heads)]
    if wanted and not hasattr(critic, "features"):
        raise ValueError(
            f"objective.{wanted[0]} needs the critic's last hidden layer, but"
            f" {type(critic).__name__} has no module `features`; use another model"
        )


def _check_labels(objective: Objective, nets: Nets) -> None:
    """Both players must know the label, or the scores of generated samples have none."""
    generator, critic = (getattr(n, "n_classes", 0) for n in (nets.generator, nets.critic))
    if critic and not generator:
        raise ValueError(
            "the critic asks for labels, but the generator has none to give; set"
            " model.generator.labels=embedding or conditional_norm, or model.critic.labels=none"
        )
    for term in objective.needing("labels"):
        if critic:
            raise ValueError(
                f"objective.{term}: the critic is told the label that it is to find; set"
                " model.critic.labels=none"
            )
        if not generator:
            raise ValueError(
                f"objective.{term} needs samples with labels, but the generator takes none; set"
                " model.generator.labels=embedding or conditional_norm"
            )
    if generator and not critic and not objective.needing("labels"):
        warnings.warn(
            "the critic does not see the labels that the generator is given, so they will mean"
            " nothing; set model.critic.labels=projection or concatenation",
            stacklevel=3,
        )


def _check_heads(objective: Objective) -> None:
    """A term's network must be there, and be made for the code that the noise holds."""
    for name in ("classifier", "code", "pairs"):
        for term in objective.needing(f"head {name}"):
            if name not in objective.heads:
                raise ValueError(
                    f"objective.{term} needs a network objective.heads.{name}, as the cards acgan,"
                    " infogan and meg have one"
                )
    if objective.needing("head code"):
        values = categories(objective.prior)
        code = {"categorical": values, "continuous": code_dim(objective.prior) - values}
        for key, default in (("categorical", 10), ("continuous", 2)):
            its = getattr(objective.heads["code"], "keywords", {}).get(key, default)
            if code[key] != its:
                raise ValueError(
                    f"objective.heads.code.{key}={its}: the code of objective.prior has"
                    f" {code[key]}; make them equal"
                )
    if objective.heads and objective.constraint is not None:
        raise ValueError(
            "objective.constraint bounds all weights of the critic, those of objective.heads too,"
            " which could then not be fitted; set objective.constraint=null"
        )


def _check_ensemble(objective: Objective) -> None:
    averaging = {relativistic_average_critic, relativistic_average_generator}
    scores = (objective.critic_loss_fn, objective.generator_loss_fn)
    parts = [f"objective.{part}" for part in objective.per_sample_parts]
    parts += ["its average over all scores" for s in scores if getattr(s, "func", s) in averaging]
    if objective.critics > 1 and parts:
        raise ValueError(
            f"objective.critics={objective.critics} contradicts {parts[0]}, which is of one critic;"
            " set objective.critics=1"
        )


def _check_penalty(term: str, critic: nn.Module) -> None:
    if has_batch_norm(critic):
        raise ValueError(
            f"model.critic.norm=batch contradicts {term}: it is defined sample by sample, and batch"
            " norm makes each score depend on the whole batch; set model.critic.norm=none or layer"
        )
    if has_batch_statistics(critic):
        raise ValueError(
            f"model.critic.batch_statistics contradicts {term}: it is defined sample by sample, and"
            " minibatch statistics make each score depend on the whole batch; set"
            " model.critic.batch_statistics=none"
        )
    if term == "objective.constraint":  # which takes no gradient, unlike every such term
        return
    if any(p.dtype in {torch.float16, torch.bfloat16} for p in critic.parameters()):
        raise ValueError(
            f"the critic's weights are in half precision, which contradicts {term}: the norm of a"
            " gradient and its derivative need float32; keep the critic in float32"
        )
    if any(isinstance(module, nn.ELU) for module in critic.modules()):
        warnings.warn(
            f"ELU has a kink in its derivative, which {term} differentiates once more: Gulrajani et"
            " al. 2017 could not train such critics; softplus(2x + 2)/2 - 1 is a smooth relative",
            stacklevel=3,
        )


def _check_constraint(
    constraint: Callable[[nn.Module], None], critic: nn.Module, optimizer: Optimizer
) -> None:
    function = getattr(constraint, "func", constraint)
    if has_spectral_norm(critic):
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(
            f"objective.constraint={name} contradicts the critic's spectral norm: that"
            " divides by the norm of the very weights that the constraint bounds, so that it has no"
            " effect; set objective.constraint=null or the critic's norm to none"
        )
    if getattr(function, "undone_by_norms", False) and has_feature_norm(critic):
        raise ValueError(
            "model.critic.norm contradicts objective.constraint: a norm divides by the size of what"
            " the bounded weights make, so that they bound nothing; set model.critic.norm=none"
        )
    if function is not clip_weights:
        return
    group = optimizer.param_groups[0]
    momentum = max(group.get("betas", (0.0,))[0], group.get("momentum", 0.0))
    if momentum > 0:
        warnings.warn(
            f"optimizer.critic has momentum ({momentum}), with which clipped critics train unstably"
            " (Arjovsky et al. 2017, section 4); WGAN's own is optimizer=rmsprop",
            stacklevel=3,
        )


def _check_order(player: str, optimizer: Optimizer) -> None:
    """The alternating update gives an optimizer one gradient: one that asks for more is lost."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"optimizer.{player}={type(optimizer).__name__} evaluates the loss several times in a"
            " step, but alternating updates give one gradient; use adam, rmsprop or sgd"
        )


def _with_best(settings: Settings, measured: Set[str], objective: Objective) -> Settings:
    """Decide what best.pt is chosen by: what the user names, else the first that is measured."""
    checkpoint_metric = settings.checkpoint_metric
    if checkpoint_metric == "auto":
        return replace(settings, checkpoint_metric=deciding(measured))
    known = {*measured, *objective.tags, *_ALWAYS_LOGGED}
    if checkpoint_metric is not None and checkpoint_metric not in known:
        raise ValueError(
            f"trainer.checkpoint_metric={checkpoint_metric} is nothing that this run could be"
            " best by, as are"
            f" {', '.join(sorted(known))}"
        )
    return settings

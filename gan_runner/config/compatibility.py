"""Checks of the combination of objective, model and optimizer: errors and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

import torch
from torch import nn
from torch.optim import Optimizer

from gan_runner.config.adaptive import check_adaptive
from gan_runner.config.closures import check_closures
from gan_runner.core import Metric, Nets, forward_without_buffer_updates
from gan_runner.models.critic_output import has_batch_statistics
from gan_runner.models.norms import has_batch_norm, has_feature_norm, has_spectral_norm
from gan_runner.objectives.constraints import clip_weights
from gan_runner.objectives.losses import relativistic_average_critic, relativistic_average_generator
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.priors import categories, code_dim
from gan_runner.objectives.requires import requirements_of, unwrapped
from gan_runner.runs.old_tags import newer_name
from gan_runner.runs.tags import deciding, record_of
from gan_runner.training.settings import Settings
from gan_runner.training.update import needs_closure, takes_closure

Inputs = tuple[torch.Tensor, torch.Tensor | None]
_ALWAYS_LOGGED = ("grad_norm/critic", "grad_norm/generator", "speed/steps_per_second")


def check(
    objective: Objective,
    nets: Nets,
    optimizers: Mapping[str, Optimizer],
    settings: Settings,
    metrics: Sequence[Metric],
) -> Settings:
    """Check that the parts of a run fit together, before it is trained.

    Returns:
        The settings, with `checkpoint_metric` resolved from "auto".

    Raises:
        ValueError: two parts contradict each other; an unwise combination only gives a warning.
    """
    _check_labels(objective, nets)
    _check_heads(objective)
    _check_ensemble(objective)
    check_adaptive(objective)
    if objective.constraint is not None:
        _check_constraint(objective.constraint, nets.critic, optimizers["critic"])
    for part in objective.per_sample_parts:
        _check_penalty(f"objective.{part}", nets.critic)
    for player, optimizer in optimizers.items():
        _check_closure(player, optimizer)
    settings = check_closures(optimizers, objective, settings)
    provenances = [entry for metric in metrics for entry in metric.provenance.items()]
    measured = {
        tag for tag, provenance in provenances if record_of(tag, provenance).better != "neither"
    }
    return _with_best(settings, measured, objective)


def check_batch(nets: Nets, inputs: Mapping[str, Inputs], batch_size: int) -> None:
    """Check that batch norm can train on batches of one; it needs several values per channel.

    Args:
        nets: generator and critic.
        inputs: by player, rows to try it with: noise or samples, and labels or None.
        batch_size: rows of a training batch.

    Raises:
        ValueError: a network with batch norm does not accept one row.
    """
    for player in ("generator", "critic") if batch_size == 1 else ():
        network, (x, y) = getattr(nets, player), inputs[player]
        if not has_batch_norm(network):
            continue
        try:
            with torch.no_grad():
                forward_without_buffer_updates(network, x[:1], None if y is None else y[:1])
        except ValueError as error:  # torch: expected more than 1 value per channel
            raise ValueError(
                f"trainer.batch_size=1: batch norm of the {player} needs at least two samples; set"
                f" trainer.batch_size=2 or model.{player}.norm=layer"
            ) from error


def check_replicas(nets: Sequence[Nets], precision: str) -> None:
    """Check that the networks of several runs can be stacked and trained together.

    Raises:
        ValueError: the networks cannot be stacked.
    """
    for player in ("generator", "critic"):
        first, *others = (getattr(pair, player) for pair in nets)
        if any(str(other) != str(first) for other in others):
            raise ValueError(
                f"trainer.replicas={len(nets)}: the {player}s differ in architecture, but replicas"
                " are one network with several weights; fix the architecture (model.seed=N)"
            )
        if any(isinstance(m, nn.Conv2d) for m in first.modules()) and precision == "bf16":
            raise ValueError(
                f"trainer.precision=bf16: not supported with trainer.replicas={len(nets)} and"
                " convolutions; set trainer.precision=fp32"
            )
        if has_spectral_norm(first):
            raise ValueError(
                f"model.{player}.norm=spectral: not supported with replicas, because torch's power"
                " iteration works on one network at a time; set trainer.replicas=1"
            )


def check_features(objective: Objective, critic: nn.Module) -> None:
    """Check that the critic has a module `features` if terms or heads need its last hidden layer.

    Raises:
        ValueError: the module is needed but missing.
    """
    wanted = [*objective.needing("features"), *(f"heads.{name}" for name in objective.heads)]
    if wanted and not hasattr(critic, "features"):
        raise ValueError(
            f"objective.{wanted[0]} needs the critic's last hidden layer, but"
            f" {type(critic).__name__} has no module `features`; use another model"
        )


def _check_labels(objective: Objective, nets: Nets) -> None:
    """Check that generator and critic take labels, or do without, as the objective needs."""
    generator, critic = (getattr(n, "n_classes", 0) for n in (nets.generator, nets.critic))
    if critic and not generator:
        raise ValueError(
            "model.critic.labels: the critic takes labels, but the generator does not; set"
            " model.generator.labels=embedding or conditional_norm, or model.critic.labels=none"
        )
    for term in objective.needing("labels"):
        if critic:
            raise ValueError(
                f"objective.{term}: the critic receives the label that it should predict; set"
                " model.critic.labels=none"
            )
        if not generator:
            raise ValueError(
                f"objective.{term} needs samples with labels, but the generator takes none; set"
                " model.generator.labels=embedding or conditional_norm"
            )
    if generator and not critic and not objective.needing("labels"):
        warnings.warn(
            "model.generator.labels has no effect, because the critic does not take labels; set"
            " model.critic.labels=projection or concatenation",
            stacklevel=3,
        )


def _check_heads(objective: Objective) -> None:
    """Check that each term has its head, and that the head fits the code in the noise."""
    for name in ("classifier", "code", "pairs"):
        for term in objective.needing(f"head {name}"):
            if name not in objective.heads:
                raise ValueError(
                    f"objective.{term} needs a network; set objective.heads.{name}, as in"
                    " objective=acgan, infogan or meg"
                )
    if objective.needing("head code"):
        values = categories(objective.prior)
        code = {"categorical": values, "continuous": code_dim(objective.prior) - values}
        for key, default in (("categorical", 10), ("continuous", 2)):
            size = getattr(objective.heads["code"], "keywords", {}).get(key, default)
            if code[key] != size:
                raise ValueError(
                    f"objective.heads.code.{key}={size}: the code of objective.prior has"
                    f" {code[key]}; make them equal"
                )
    if objective.heads and objective.constraint is not None:
        raise ValueError(
            "objective.constraint bounds all weights of the critic, including those of"
            " objective.heads, which could then not be fitted; set objective.constraint=null"
        )


def _check_ensemble(objective: Objective) -> None:
    averaging = {relativistic_average_critic, relativistic_average_generator}
    scores = (objective.critic_loss_fn, objective.generator_loss_fn)
    parts = [f"objective.{part}" for part in objective.per_sample_parts]
    parts += ["its average over all scores" for s in scores if unwrapped(s) in averaging]
    if objective.critics > 1 and parts:
        raise ValueError(
            f"objective.critics={objective.critics} contradicts {parts[0]}, which needs a single"
            " critic; set objective.critics=1"
        )


def _check_penalty(term: str, critic: nn.Module) -> None:
    if has_batch_norm(critic):
        raise ValueError(
            f"model.critic.norm=batch contradicts {term}, which is defined per sample: batch norm"
            " makes each score depend on the whole batch; set model.critic.norm=none or layer"
        )
    if has_batch_statistics(critic):
        raise ValueError(
            f"model.critic.batch_statistics contradicts {term}, which is defined per sample:"
            " minibatch statistics make each score depend on the whole batch; set"
            " model.critic.batch_statistics=none"
        )
    if term == "objective.constraint":  # unlike the other terms, it does not take a gradient
        return
    if any(p.dtype in {torch.float16, torch.bfloat16} for p in critic.parameters()):
        raise ValueError(
            f"{term} contradicts the critic's half-precision weights: the norm of a gradient and"
            " its derivative need float32; keep the critic in float32"
        )
    if any(isinstance(module, nn.ELU) for module in critic.modules()):
        warnings.warn(
            f"ELU has a kink in its derivative, which {term} differentiates again: Gulrajani et al."
            " 2017 could not train such critics; use softplus(2x + 2)/2 - 1, which is smooth",
            stacklevel=3,
        )


def _check_constraint(
    constraint: Callable[[nn.Module], None], critic: nn.Module, optimizer: Optimizer
) -> None:
    function = getattr(constraint, "func", constraint)
    if has_spectral_norm(critic):
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(
            f"objective.constraint={name} contradicts the critic's spectral norm, which divides by"
            " the norm of the bounded weights, so that the constraint has no effect; set"
            " objective.constraint=null or the critic's norm to none"
        )
    if requirements_of(constraint).no_feature_norm and has_feature_norm(critic):
        raise ValueError(
            "model.critic.norm contradicts objective.constraint: a norm rescales the outputs of the"
            " bounded weights, so that the constraint has no effect; set model.critic.norm=none"
        )
    if function is not clip_weights:
        return
    group = optimizer.param_groups[0]
    momentum = max(group.get("betas", (0.0,))[0], group.get("momentum", 0.0))
    if momentum > 0:
        warnings.warn(
            f"optimizer.critic has momentum ({momentum}), with which clipped critics train unstably"
            " (Arjovsky et al. 2017, section 4); set optimizer=rmsprop, as in the WGAN paper",
            stacklevel=3,
        )


def _check_closure(player: str, optimizer: Optimizer) -> None:
    """Check that an optimizer needs one gradient per step, all that an alternating update has.

    Raises:
        ValueError: the optimizer's `step` requires a closure.
    """
    if needs_closure(optimizer) and not takes_closure(optimizer):
        raise ValueError(
            f"optimizer.{player}={type(optimizer).__name__} evaluates the loss several times in a"
            " step, but updates give one gradient; use adam, rmsprop, sgd or hessian_free"
        )


def _with_best(settings: Settings, measured: Set[str], objective: Objective) -> Settings:
    """Set the metric that selects best.pt: the user's, or the first computed one that may.

    Raises:
        ValueError: the run does not log the user's metric.
    """
    checkpoint_metric = settings.checkpoint_metric
    if checkpoint_metric == "auto":
        return replace(settings, checkpoint_metric=deciding(measured))
    others = {
        tag for tag in (*objective.tags, *_ALWAYS_LOGGED) if record_of(tag).better != "neither"
    }
    logged = {*measured, *others}
    if checkpoint_metric is not None and (now := newer_name(checkpoint_metric)) in logged:
        return replace(settings, checkpoint_metric=now)  # of a run that an older version began
    if checkpoint_metric is not None and checkpoint_metric not in logged:
        raise ValueError(
            f"trainer.checkpoint_metric={checkpoint_metric} is not logged by this run; choose one"
            f" of: {', '.join(sorted(logged))}"
        )
    return settings

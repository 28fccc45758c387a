"""Checks of adaptive augmentation, which follows the signs of one critic's scores."""

from __future__ import annotations

from gan_runner.core import StateDict
from gan_runner.objectives.objective import Objective
from gan_runner.objectives.requires import requirements_of, unwrapped


def check_adaptive(objective: Objective) -> None:
    """Check that the sign of a score, which adaptive augmentation follows, has a meaning.

    Raises:
        ValueError: the critic's loss does not set it.
    """
    loss = objective.critic_loss_fn
    if objective.adaptive is not None and not requirements_of(loss).zero_decides:
        name = getattr(unwrapped(loss), "__name__", type(loss).__name__)
        raise ValueError(
            f"objective.critic_loss={name}: gives the sign of a score no meaning, which adaptive"
            " augmentation follows; set objective=ns_gan, hinge or sn_gan, or"
            " +augmentation=diffaugment"
        )


def check_shared(objective_state: StateDict, replicas: int) -> None:
    """Check that replicas, which share an objective, do not share a state of it.

    Raises:
        ValueError: the augmentation adapts its probability to one critic.
    """
    if objective_state:
        raise ValueError(
            f"trainer.replicas={replicas}: adaptive augmentation follows the scores of one critic;"
            " set trainer.replicas=1 or +augmentation=diffaugment"
        )

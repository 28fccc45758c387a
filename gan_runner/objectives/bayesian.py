"""The Bayesian GAN: several generators and critics, each a posterior sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gan_runner.objectives.objective import (
    CriticLoss,
    GeneratorLoss,
    Objective,
    PositiveInt,
    Term,
)


class BayesianObjective(Objective):
    """An objective for ensembles of both players (Saatci & Wilson 2017).

    critic:    critics * critic_loss(f(x), f(G(z))) + sum of critic_terms
    generator: generators * generator_loss(f(G(z))) + sum of generator_terms

    The losses are means over all scores. Each member has a likelihood of its own: a player's loss
    is summed over its own members and averaged over those of the other player.

    Args:
        critic_loss: see `Objective`, like all that follow but the last two.
        generator_loss: must not compare samples with data.
        critic_terms: log priors of the critics.
        generator_terms: log priors of the generators.
        estimates: logged by their names.
        n_critic: critic updates for each generator update.
        generators: members of the mixture; see `models.ensemble`.
        critics: members of the ensemble of critics.
    """

    def __init__(
        self,
        *,
        critic_loss: CriticLoss,
        generator_loss: GeneratorLoss,
        critic_terms: Mapping[str, Term] | None = None,
        generator_terms: Mapping[str, Term] | None = None,
        estimates: Mapping[str, CriticLoss] | None = None,
        n_critic: PositiveInt = 1,
        generators: PositiveInt = 5,
        critics: PositiveInt = 2,
    ) -> None:
        super().__init__(
            critic_loss=SumOverMembers(critic_loss, critics),
            generator_loss=SumOverMembers(generator_loss, generators),
            critic_terms=critic_terms,
            generator_terms=generator_terms,
            estimates=estimates,
            n_critic=n_critic,
        )
        self.generators, self.critics = generators, critics


class SumOverMembers:
    """A mean over an ensemble's scores times the number of its members."""

    def __init__(self, func: Any, members: int) -> None:
        self.func, self.members = func, members

    def __call__(self, *scores: Tensor) -> Tensor:
        """Return members * func(scores)."""
        value: Tensor = self.func(*scores)
        return value if self.members == 1 else self.members * value

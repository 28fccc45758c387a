"""An objective: a score for each player plus terms, as a card in conf/objective/ composes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import Batch, Critic, Loss
from gan_runner.objectives.scores import wasserstein_estimate

CriticScore = Callable[[Tensor, Tensor], Tensor]
GeneratorScore = Callable[[Tensor], Tensor]
Term = Callable[[Critic, Batch, Batch], Tensor]


class Objective:
    """What each player minimises.

    critic:    critic_score(f(x), f(G(z))) + sum of terms
    generator: generator_score(f(G(z)))

    Args:
        critic_score: of the scores of real and of generated samples; see `scores`.
        generator_score: of the scores of generated samples.
        critic_terms: added to the critic's loss, each logged as `loss/NAME`; see `terms`.
        constraint: projects the critic's weights after each of its updates; see `constraints`.
        estimates: of the scores of real and of generated samples, logged by their names.
        n_critic: critic updates for each generator update.
    """

    def __init__(
        self,
        *,
        critic_score: CriticScore,
        generator_score: GeneratorScore,
        critic_terms: Mapping[str, Term] | None = None,
        constraint: Callable[[nn.Module], None] | None = None,
        estimates: Mapping[str, CriticScore] | None = None,
        n_critic: Annotated[int, Ge(1)] = 1,
    ) -> None:
        self.critic_score, self.generator_score = critic_score, generator_score
        self.critic_terms = dict(critic_terms or {})
        self.constraint = constraint
        self.estimates = {"wasserstein/critic": wasserstein_estimate, **(estimates or {})}
        self.n_critic = n_critic

    @property
    def per_sample_terms(self) -> list[str]:
        """Names of the terms that need the critic to score each sample by itself."""
        return [name for name, term in self.critic_terms.items() if _is_per_sample(term)]

    def critic_loss(self, critic: Critic, real: Batch, fake: Batch) -> Loss:
        """The critic's loss on a batch of data and one of (detached) generated samples."""
        r, f = _scores(critic, real, fake)
        terms = {name: term(critic, real, fake) for name, term in self.critic_terms.items()}
        total = sum(terms.values(), start=self.critic_score(r, f))
        estimates = {
            tag: estimate(r.detach(), f.detach()) for tag, estimate in self.estimates.items()
        }
        parts = {f"loss/{name}": value for name, value in terms.items()}
        return Loss(total, {"loss/critic": total, **parts, **estimates})

    def generator_loss(self, critic: Critic, fake: Batch) -> Loss:
        """The generator's loss on a batch of its samples."""
        total = self.generator_score(critic(fake.x, fake.y))
        return Loss(total, {"loss/generator": total})


def _scores(critic: Critic, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
    """Scores of both batches: in one pass, if the critic promises to score row by row."""
    if not getattr(critic, "by_row", False):
        return critic(real.x, real.y), critic(fake.x, fake.y)
    y = None if real.y is None or fake.y is None else torch.cat([real.y, fake.y])
    r, f = critic(torch.cat([real.x, fake.x]), y).split(len(real.x))
    return r, f


def _is_per_sample(term: Callable[..., Tensor]) -> bool:
    return getattr(getattr(term, "func", term), "needs_per_sample_scores", False)

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
GeneratorScore = Callable[..., Tensor]
Term = Callable[[Critic, Batch, Batch], Tensor]


class Objective:
    """What each player minimises.

    critic:    critic_score(f(x), f(G(z))) + sum of critic_terms
    generator: generator_score(f(G(z))) + sum of generator_terms

    A term whose weight is the number 0 is absent: it is neither computed nor logged.

    Args:
        critic_score: of the scores of real and of generated samples; see `scores`.
        generator_score: of the scores of generated samples, or of both; see `scores.compares`.
        critic_terms: added to the critic's loss, each logged as `loss/NAME`; see `terms`.
        generator_terms: added to the generator's loss, each logged as `loss/generator/NAME`.
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
        generator_terms: Mapping[str, Term] | None = None,
        constraint: Callable[[nn.Module], None] | None = None,
        estimates: Mapping[str, CriticScore] | None = None,
        n_critic: Annotated[int, Ge(1)] = 1,
    ) -> None:
        self.critic_score, self.generator_score = critic_score, generator_score
        self.critic_terms = _present(critic_terms)
        self.generator_terms = _present(generator_terms)
        self.constraint = constraint
        self.estimates = {"wasserstein/critic": wasserstein_estimate, **(estimates or {})}
        self.n_critic = n_critic

    @property
    def per_sample_parts(self) -> list[str]:
        """Keys of what needs the critic to score each sample by itself."""
        parts: dict[str, Callable[..., object]] = {
            **{f"critic_terms.{name}": term for name, term in self.critic_terms.items()},
            **{f"generator_terms.{name}": term for name, term in self.generator_terms.items()},
        }
        if self.constraint is not None:
            parts["constraint"] = self.constraint
        return [key for key, part in parts.items() if _marked(part, "needs_per_sample_scores")]

    @property
    def tags(self) -> list[str]:
        """What the losses log."""
        terms = [f"loss/{name}" for name in self.critic_terms]
        terms += [f"loss/generator/{name}" for name in self.generator_terms]
        return ["loss/critic", "loss/generator", *terms, *self.estimates]

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

    def generator_loss(self, critic: Critic, real: Batch, fake: Batch) -> Loss:
        """The generator's loss on a batch of its samples, compared with one of data if need be."""
        f = critic(fake.x, fake.y)
        if _marked(self.generator_score, "needs_real_scores"):
            with torch.no_grad():  # data does not depend on the generator
                r = critic(real.x, real.y)
            score = self.generator_score(r, f)
        else:
            score = self.generator_score(f)
        terms = {name: term(critic, real, fake) for name, term in self.generator_terms.items()}
        total = sum(terms.values(), start=score)
        parts = {f"loss/generator/{name}": value for name, value in terms.items()}
        return Loss(total, {"loss/generator": total, **parts})


def _scores(critic: Critic, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
    """Scores of both batches: in one pass, if the critic promises to score row by row."""
    if not getattr(critic, "by_row", False):
        return critic(real.x, real.y), critic(fake.x, fake.y)
    y = None if real.y is None or fake.y is None else torch.cat([real.y, fake.y])
    r, f = critic(torch.cat([real.x, fake.x]), y).split(len(real.x))
    return r, f


def _present(terms: Mapping[str, Term] | None) -> dict[str, Term]:
    """The terms that are not switched off by a weight of 0."""
    return {name: term for name, term in (terms or {}).items() if not _is_off(term)}


def _is_off(term: Term) -> bool:
    weight = getattr(term, "keywords", {}).get("weight")
    return isinstance(weight, int | float) and weight == 0


def _marked(function: Callable[..., object], mark: str) -> bool:
    """Whether a function, or the one that a partial calls, carries a mark."""
    return getattr(getattr(function, "func", function), mark, False)

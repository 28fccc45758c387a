"""An objective: a score for each player plus terms, as a card in conf/objective/ composes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import Batch, Critic, HasParameters, Latent, Loss
from gan_runner.objectives.instance_noise import InstanceNoise
from gan_runner.objectives.losses import wasserstein_estimate
from gan_runner.objectives.priors import gaussian

CriticLoss = Callable[[Tensor, Tensor], Tensor]
PositiveInt = Annotated[int, Ge(1)]
GeneratorLoss = Callable[..., Tensor]
Term = Callable[[Any, Batch, Batch], Tensor | Loss]


class Objective:
    """What each player minimises.

    critic:    critic_loss(f(x), f(G(z))) + sum of critic_terms
    generator: generator_loss(f(G(z))) + sum of generator_terms

    A term whose weight is the number 0 is absent: it is neither computed nor logged.

    Args:
        critic_loss: of the scores of real and of generated samples; see `losses`.
        generator_loss: of the scores of generated samples, or of both; see `losses.compares`. None
            for a generator that its terms alone lead.
        critic_terms: added to the critic's loss, each logged as `loss/NAME`; see `penalties`.
        generator_terms: added to the generator's loss, each logged as `loss/generator/NAME`.
        constraint: projects the critic's weights after each of its updates; see `constraints`.
        estimates: of the scores of real and of generated samples, logged by their names.
        n_critic: critic updates for each generator update.
        input_noise: on what the critic is given, data and samples; see `instance_noise`.
        prior: of the latent variable; see `priors`.
        heads: networks that the builder adds to the critic, by name; see `models.heads`.
        generators: members of a mixture, of which each is a generator; see `models.ensemble`. A
            player's score is summed over its own members, and averaged over those of the other.
        critics: members of an ensemble, of which each is a critic.
    """

    def __init__(
        self,
        *,
        critic_loss: CriticLoss,
        generator_loss: GeneratorLoss | None,
        critic_terms: Mapping[str, Term] | None = None,
        generator_terms: Mapping[str, Term] | None = None,
        constraint: Callable[[nn.Module], None] | None = None,
        estimates: Mapping[str, CriticLoss] | None = None,
        n_critic: PositiveInt = 1,
        input_noise: InstanceNoise | None = None,
        prior: Callable[..., Latent] = gaussian,
        heads: Mapping[str, Callable[..., nn.Module]] | None = None,
        generators: PositiveInt = 1,
        critics: PositiveInt = 1,
    ) -> None:
        if generator_loss is None and not _present(generator_terms):
            raise ValueError(
                "objective.generator_loss is null, and there are no objective.generator_terms: the"
                " generator has nothing to minimise; give it one of them"
            )
        self.critic_loss_fn, self.generator_loss_fn = critic_loss, generator_loss
        self.critic_terms = _present(critic_terms)
        self.generator_terms = _present(generator_terms)
        self.constraint = constraint
        self.estimates = {"wasserstein/critic": wasserstein_estimate, **(estimates or {})}
        self.n_critic = n_critic
        self.prior, self.heads = prior, dict(heads or {})
        self.generators, self.critics = generators, critics
        self.input_noise = input_noise if input_noise is not None and input_noise.std else None

    def set_step(self, step: int) -> None:
        """Called before each step: what follows a schedule is set to it."""
        if self.input_noise is not None:
            self.input_noise.set_step(step)

    @property
    def per_sample_parts(self) -> list[str]:
        """Keys of what needs the critic to score each sample by itself."""
        parts: dict[str, Callable[..., object]] = {**self._terms}
        if self.constraint is not None:
            parts["constraint"] = self.constraint
        return [key for key, part in parts.items() if _marked(part, "needs_per_sample_scores")]

    @property
    def tags(self) -> list[str]:
        """What the losses log."""
        terms = [f"loss/{name}" for name in self.critic_terms]
        terms += [f"loss/generator/{name}" for name in self.generator_terms]
        found = [tag for term in self._terms.values() for tag in _marked(term, "logs", ())]
        return ["loss/critic", "loss/generator", *terms, *found, *self.estimates]

    def needing(self, what: str) -> list[str]:
        """Keys of the terms that are marked to need something: "features" or "labels"."""
        return [k for k, term in self._terms.items() if what in _marked(term, "needs", ())]

    @property
    def _terms(self) -> dict[str, Term]:
        return {
            **{f"critic_terms.{name}": term for name, term in self.critic_terms.items()},
            **{f"generator_terms.{name}": term for name, term in self.generator_terms.items()},
        }

    def critic_loss(self, critic: Critic, real: Batch, fake: Batch) -> Loss:
        """The critic's loss on a batch of data and one of (detached) generated samples."""
        real, fake = self._add_noise(real), self._add_noise(fake)
        r, f = _scores(critic, real, fake)
        terms, logs = _evaluate(self.critic_terms, "loss", critic, real, fake, own=critic)
        score = self.critic_loss_fn(r, f)  # a mean over the critics; each has its own likelihood
        total = sum(terms, start=score if self.critics == 1 else self.critics * score)
        estimates = {
            tag: estimate(r.detach(), f.detach()) for tag, estimate in self.estimates.items()
        }
        return Loss(total, {"loss/critic": total, **logs, **estimates})

    def generator_loss(
        self, critic: Critic, real: Batch, fake: Batch, generator: HasParameters | None = None
    ) -> Loss:
        """The generator's loss on a batch of its samples, compared with one of data if need be.

        `generator` is for terms of its own weights.
        """
        real, fake = self._add_noise(real), self._add_noise(fake)
        scores = self._generator_scores(critic, real, fake)
        terms, logs = _evaluate(
            self.generator_terms, "loss/generator", critic, real, fake, own=generator
        )
        total = torch.stack([*scores, *terms]).sum()
        return Loss(total, {"loss/generator": total, **logs})

    def _add_noise(self, batch: Batch) -> Batch:
        return batch if self.input_noise is None else self.input_noise(batch)

    def _generator_scores(self, critic: Critic, real: Batch, fake: Batch) -> list[Tensor]:
        """The generator's score, without a pass through the critic that it does not need."""
        if self.generator_loss_fn is None:
            return []
        f = critic(fake.x, fake.y)
        if _marked(self.generator_loss_fn, "needs_real_scores"):
            with torch.no_grad():  # data does not depend on the generator
                r = critic(real.x, real.y)
            score = self.generator_loss_fn(r, f)
        else:
            score = self.generator_loss_fn(f)
        return [score if self.generators == 1 else self.generators * score]


def _evaluate(
    terms: Mapping[str, Term], prefix: str, critic: Critic, real: Batch, fake: Batch, *, own: Any
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The values of terms, and what is logged of them; `own` is the player whose terms they are."""
    values: list[Tensor] = []
    logs: dict[str, Tensor] = {}
    for name, term in terms.items():
        value = term(own if _marked(term, "of_own_weights") else critic, real, fake)
        if isinstance(value, Loss):
            logs |= value.logs
            value = value.total
        values.append(value)
        logs[f"{prefix}/{name}"] = value
    return values, logs


def _scores(critic: Critic, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
    """Scores of both batches: in one pass, if the critic promises to score row by row."""
    if not getattr(critic, "is_per_sample", False):
        return critic(real.x, real.y), critic(fake.x, fake.y)
    y = None if real.y is None or fake.y is None else torch.cat([real.y, fake.y])
    r, f = critic(torch.cat([real.x, fake.x]), y).split(len(real.x))
    return r, f


def _present(terms: Mapping[str, Term] | None) -> dict[str, Term]:
    """The terms that are not switched off by a weight of 0."""
    return {name: term for name, term in (terms or {}).items() if not _is_off(term)}


def _is_off(term: Term) -> bool:
    given = getattr(term, "keywords", {})
    weights = [given.get(name) for name in _marked(term, "weights", ("weight",))]
    return all(isinstance(weight, int | float) and weight == 0 for weight in weights)


def _marked(function: Callable[..., object], mark: str, default: Any = False) -> Any:
    """The mark of a function, or of the one that a partial calls."""
    return getattr(getattr(function, "func", function), mark, default)

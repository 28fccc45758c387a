"""An objective: a loss for each player plus terms, as a card in conf/objective/ composes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_runner.core import (
    CRITIC_GAP,
    CRITIC_W,
    Batch,
    Critic,
    DataSpec,
    HasParameters,
    Latent,
    Loss,
    StateDict,
)
from gan_runner.objectives.augmentation import AdaptiveAugment, DiffAugment
from gan_runner.objectives.instance_noise import InstanceNoise
from gan_runner.objectives.losses import wasserstein_estimate
from gan_runner.objectives.priors import gaussian
from gan_runner.objectives.requires import requirements_of

REAL_SIGN = "augmentation/real_sign"  # tag of E sign f(x), which adaptive augmentation follows

CriticLoss = Callable[[Tensor, Tensor], Tensor]
PositiveInt = Annotated[int, Ge(1)]
GeneratorLoss = Callable[..., Tensor]
Term = Callable[[Any, Batch, Batch], Tensor | Loss]


class Objective:
    """The losses of both players.

    critic:    critic_loss(f(x), f(G(z))) + sum of critic_terms
    generator: generator_loss(f(G(z))) + sum of generator_terms

    A term whose weight is the number 0 is absent: it is neither computed nor logged.

    Args:
        critic_loss: of the scores of real and of generated samples; see `losses`.
        generator_loss: of the scores of generated samples, or of both where it requires real
            scores. None for a generator that minimises its terms alone.
        critic_terms: added to the critic's loss, each logged as `loss/NAME`; see `penalties`.
        generator_terms: added to the generator's loss, each logged as `loss/generator/NAME`.
        constraint: projects the critic's weights after each of its updates; see `constraints`.
        estimates: of the scores of real and of generated samples, logged by their names.
        n_critic: critic updates of an iteration.
        n_generator: generator updates of an iteration, after those of the critic.
        input_noise: on the critic's input, data and samples; see `instance_noise`.
        augmentation: of the critic's input, data and samples; see `augmentation`.
        prior: of the latent variable; see `priors`.
        heads: networks that the builder adds to the critic, by name; see `models.heads`.

    Attributes:
        generators: networks that the builder makes for the generator; see `bayesian`.
        critics: networks that it makes for the critic.
        critic_tag: tag of E f(x) - E f(G(z)): `wasserstein/critic` if the critic is Lipschitz by a
            penalty, a constraint or spectral norm, else `critic/gap`, a number without a scale.
    """

    generators: int = 1
    critics: int = 1

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
        n_generator: PositiveInt = 1,
        input_noise: InstanceNoise | None = None,
        augmentation: DiffAugment | None = None,
        prior: Callable[..., Latent] = gaussian,
        heads: Mapping[str, Callable[..., nn.Module]] | None = None,
    ) -> None:
        if generator_loss is None and not _present(generator_terms):
            raise ValueError(
                "objective.generator_loss=null: the generator has nothing to minimise;"
                " set it or objective.generator_terms"
            )
        self.critic_loss_fn, self.generator_loss_fn = critic_loss, generator_loss
        self.critic_terms = _present(critic_terms)
        self.generator_terms = _present(generator_terms)
        self.constraint = constraint
        self._estimates = dict(estimates or {})
        bounding = (*self.critic_terms.values(), constraint)
        bounded = any(requirements_of(part).bounds_slope for part in bounding)
        self.critic_tag = CRITIC_W if bounded else CRITIC_GAP
        self.n_critic, self.n_generator = n_critic, n_generator
        self.prior, self.heads = prior, dict(heads or {})
        self._compares = requirements_of(generator_loss).real_scores
        self.augmentation = augmentation
        self.input_noise = input_noise if input_noise is not None and input_noise.std else None

    def set_step(self, step: int) -> None:
        """Set schedules to a step, before it is taken."""
        if self.input_noise is not None:
            self.input_noise.set_step(step)

    def adapt(self, step: int, logs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Adapt the augmentation after a step, outside of compiled code; return logs by tag."""
        augmentation = self.adaptive
        if augmentation is None:
            return {}
        in_force = augmentation.p.clone()
        augmentation.adapt(step, logs[REAL_SIGN])
        return {"augmentation/p": in_force}

    def state_dict(self) -> StateDict:
        """Return the state that the next steps depend on; empty for most objectives."""
        return {} if self.adaptive is None else {"augmentation": self.adaptive.state_dict()}

    def load_state_dict(self, state: StateDict) -> None:
        """Continue where `state_dict` was called."""
        if self.adaptive is not None:
            self.adaptive.load_state_dict(state["augmentation"])

    @property
    def adaptive(self) -> AdaptiveAugment | None:
        """Return the augmentation if it adapts to the critic's scores, else None."""
        return self.augmentation if isinstance(self.augmentation, AdaptiveAugment) else None

    def schedule_weight(self, name: str, *, player: str, device: torch.device) -> Tensor:
        """Replace the weight of a term by a tensor on the device for a schedule to fill.

        Raises:
            ValueError: the objective has no such term in use, or the term has no weight.
        """
        terms = {"critic": self.critic_terms, "generator": self.generator_terms}[player]
        if name not in terms:
            raise ValueError(f"no such term in use; choose one of: {', '.join(terms) or 'none'}")
        if "weight" not in signature(terms[name]).parameters:
            raise ValueError("has no key `weight` to schedule; set another term")
        weight = torch.zeros((), device=device)
        function: Callable[..., Any] = terms[name]
        terms[name] = partial(function, weight=weight)
        return weight

    def note_data(self, spec: DataSpec, rows: int) -> None:
        """Tell the terms that are priors, which are divided by it, the number of training rows.

        Raises:
            ValueError: an augmentation of images for data without images.
        """
        if self.augmentation is not None and not spec.is_image:
            raise ValueError(f"objective.augmentation: needs images, but the data is {spec}")
        for terms in (self.critic_terms, self.generator_terms):
            for name, term in terms.items():
                argument = signature(term).parameters.get("data_size")
                if argument is not None and argument.default is None:
                    function: Callable[..., Any] = term
                    terms[name] = partial(function, data_size=rows)

    @property
    def estimates(self) -> dict[str, CriticLoss]:
        """Return the estimates of both players' distance by tag, that of the critic first."""
        return {self.critic_tag: wasserstein_estimate, **self._estimates}

    def note_lipschitz_critic(self) -> None:
        """Take note that the critic itself is Lipschitz, as with spectral norm."""
        self.critic_tag = CRITIC_W

    @property
    def per_sample_parts(self) -> list[str]:
        """Return the keys of parts that need the critic to score each sample by itself."""
        parts: dict[str, Callable[..., object]] = {**self._terms}
        if self.constraint is not None:
            parts["constraint"] = self.constraint
        return [key for key, part in parts.items() if requirements_of(part).per_sample_scores]

    @property
    def tags(self) -> list[str]:
        """Return the tags that the losses log."""
        terms = [f"loss/{name}" for name in self.critic_terms]
        terms += [f"loss/generator/{name}" for name in self.generator_terms]
        others = [tag for term in self._terms.values() for tag in requirements_of(term).logs]
        own = [] if self.adaptive is None else [REAL_SIGN, "augmentation/p"]
        return ["loss/critic", "loss/generator", *terms, *others, *self.estimates, *own]

    def needing(self, what: str) -> list[str]:
        """Return the keys of the terms that need something: "features", "labels" or a head."""
        return [k for k, term in self._terms.items() if what in requirements_of(term).needs]

    @property
    def _terms(self) -> dict[str, Term]:
        return {
            **{f"critic_terms.{name}": term for name, term in self.critic_terms.items()},
            **{f"generator_terms.{name}": term for name, term in self.generator_terms.items()},
        }

    def critic_loss(self, critic: Critic, real: Batch, fake: Batch) -> Loss:
        """Return the critic's loss on a batch of data and one of detached generated samples."""
        real, fake = self._perturb(real), self._perturb(fake)
        r, f = _scores(critic, real, fake)
        terms, logs = _evaluate(self.critic_terms, "loss", critic, real, fake, own=critic)
        total = sum(terms, start=self.critic_loss_fn(r, f))
        estimates = {
            tag: estimate(r.detach(), f.detach()) for tag, estimate in self.estimates.items()
        }
        signs = {} if self.adaptive is None else {REAL_SIGN: r.detach().sign().mean()}
        return Loss(total, {"loss/critic": total, **logs, **estimates, **signs})

    def generator_loss(
        self, critic: Critic, real: Batch, fake: Batch, generator: HasParameters | None = None
    ) -> Loss:
        """Return the generator's loss on a batch of its samples and, if it compares, one of data.

        `generator` is for terms of its own weights.
        """
        # unused where the loss does not compare, but the random numbers of earlier runs include it
        if self.adaptive is None or self._compares or self.generator_terms:
            real = self._perturb(real)
        fake = self._perturb(fake)
        scores = self._generator_scores(critic, real, fake)
        terms, logs = _evaluate(
            self.generator_terms, "loss/generator", critic, real, fake, own=generator
        )
        total = torch.stack([*scores, *terms]).sum()
        return Loss(total, {"loss/generator": total, **logs})

    def _perturb(self, batch: Batch) -> Batch:
        """Augment and blur what the critic sees, which the generator is differentiated through."""
        if self.augmentation is not None:
            batch = self.augmentation(batch)
        return batch if self.input_noise is None else self.input_noise(batch)

    def _generator_scores(self, critic: Critic, real: Batch, fake: Batch) -> list[Tensor]:
        """Compute the generator's loss, without a pass through the critic that it does not need."""
        if self.generator_loss_fn is None:
            return []
        f = critic(fake.x, fake.y)
        if self._compares:
            with torch.no_grad():  # data does not depend on the generator
                r = critic(real.x, real.y)
            score = self.generator_loss_fn(r, f)
        else:
            score = self.generator_loss_fn(f)
        return [score]


def _evaluate(
    terms: Mapping[str, Term], prefix: str, critic: Critic, real: Batch, fake: Batch, *, own: Any
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Compute terms and their logs; `own` is the player that minimises them."""
    values: list[Tensor] = []
    logs: dict[str, Tensor] = {}
    for name, term in terms.items():
        wants_own = own is not critic and requirements_of(term).own_weights
        value = term(own if wants_own else critic, real, fake)
        if isinstance(value, Loss):
            logs |= value.logs
            value = value.total
        values.append(value)
        logs[f"{prefix}/{name}"] = value
    return values, logs


def _scores(critic: Critic, real: Batch, fake: Batch) -> tuple[Tensor, Tensor]:
    """Score both batches, in one pass if the critic scores row by row."""
    if not getattr(critic, "is_per_sample", False):
        return critic(real.x, real.y), critic(fake.x, fake.y)
    y = None if real.y is None or fake.y is None else torch.cat([real.y, fake.y])
    r, f = critic(torch.cat([real.x, fake.x]), y).split(len(real.x))
    return r, f


def _present(terms: Mapping[str, Term] | None) -> dict[str, Term]:
    """Return the terms that a weight of 0 does not disable."""
    return {name: term for name, term in (terms or {}).items() if not _is_off(term)}


def _is_off(term: Term) -> bool:
    keywords = getattr(term, "keywords", {})
    weights = [keywords.get(name) for name in requirements_of(term).weights]
    return all(isinstance(weight, int | float) and weight == 0 for weight in weights)

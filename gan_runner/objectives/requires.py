"""Requirements of losses, terms and constraints, declared beside their mathematics.

A function says with `@requires(...)` what the builder and the objective have to provide; everybody
else reads it with `requirements_of`, through any number of partials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Part = TypeVar("Part", bound=Callable[..., object])


@dataclass(frozen=True)
class Requirements:
    """Declarations of one loss, term or constraint.

    Attributes:
        per_sample_scores: the score of a sample must not depend on other samples; the builder
            refuses batch norm in the critic.
        no_feature_norm: a norm of features would undo it, as it divides by the size of weights.
        real_scores: a generator's loss is called as `loss(r, f)`; others need no scores of data.
        own_weights: a term of a player's weights: the generator's terms then get the generator.
        needs: of the critic or the data: "features", "labels", "head NAME".
        logs: tags that a term logs besides its value.
        zero_decides: a critic's loss under which scores above 0 mean real, below 0 generated.
        bounds_slope: the critic becomes Lipschitz with a constant that the part sets.
        weights: names of the arguments that disable a term when all of them are 0.
    """

    per_sample_scores: bool = False
    no_feature_norm: bool = False
    real_scores: bool = False
    own_weights: bool = False
    needs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    zero_decides: bool = False
    bounds_slope: bool = False
    weights: tuple[str, ...] = ("weight",)


def requires(**declared: Any) -> Callable[[Part], Part]:
    """Return a decorator that attaches `Requirements` to a function; arguments as its fields."""
    requirements = Requirements(**declared)

    def attach(part: Part) -> Part:
        part.requirements = requirements  # type: ignore[attr-defined]
        return part

    return attach


def requirements_of(part: Any) -> Requirements:
    """Return the declarations of a function or of the one that partials call; defaults without."""
    declared = getattr(unwrapped(part), "requirements", None)
    return declared if isinstance(declared, Requirements) else Requirements()


def unwrapped(part: Any) -> Any:
    """Return the function below partials and other wrappers with an attribute `func`."""
    while hasattr(part, "func"):
        part = part.func
    return part

"""One record for each metric tag: kind, direction, chart and order.

The log, gan-compare, the tables of sweeps and the report read these records. The tag of a user's
own metric does not need a record: provenance.json contains the same facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal

Kind = Literal[
    "loss", "gradient", "slope", "speed", "health", "estimate", "information", "distance",
    "divergence", "score", "spread", "share", "other",
]  # fmt: skip
Better = Literal["lower", "higher", "neither"]
Panel = Literal["", "distances", "divergences", "qualities"]

RAW = "_raw"  # suffix: computed with the generator without averaged weights
FLOOR = "_floor"  # suffix: the value between two sets of real rows
STD = "_std"  # suffix: the standard deviation over draws or splits
_ARROWS = {"lower": " \u2193", "higher": " \u2191"}
TRAINING = 70  # a tag of this order or above describes training and not the samples
_OTHERS = 60  # the order of tags whose group has no record


@dataclass(frozen=True)
class Tag:
    """Facts about the tags that match a pattern.

    Attributes:
        pattern: a tag without the suffix `_raw`; * matches any text.
        kind: group of the tag; an "estimate" uses the critic and first rises while it learns.
        better: the direction of improvement.
        meaning: one line for a tooltip.
        order: rank of the tag's group among columns and curves; from `TRAINING` on, last.
        chart: the tag whose TensorBoard chart shows this one; empty for none.
        panel: the panel of the learning-curve plot that shows this tag; empty for none.
        column: True if the tables of a sweep always show the tag.
    """

    pattern: str
    kind: Kind
    better: Better
    meaning: str
    order: int
    chart: str = ""
    panel: Panel = ""
    column: bool = False

    @property
    def arrow(self) -> str:
        """Return an arrow in the better direction, after a space; empty for neither."""
        return _ARROWS.get(self.better, "")

    @property
    def is_training(self) -> bool:
        """Return whether the tag describes training, not samples."""
        return self.order >= TRAINING

    @property
    def depends_on_objective(self) -> bool:
        """Return whether the objective sets the scale; then it is part of the provenance."""
        return self.kind in ("loss", "gradient")

    @property
    def is_quality(self) -> bool:
        """Return whether the tag has a best value; health and speed have a direction alone."""
        return self.better != "neither" and self.kind not in ("health", "speed")

    @property
    def is_comparable(self) -> bool:
        """Return whether runs of other objectives and machines have the same scale."""
        return self.kind not in ("loss", "gradient", "speed")


def _with_spread(tag: Tag) -> tuple[Tag, Tag, Tag]:
    """Return a tag, its floor, and the standard deviation of the floor over draws of real rows."""
    own, floor = _with_floor(tag, floor_panel=bool(tag.panel))
    spread = replace(
        floor, pattern=f"{floor.pattern}{STD}", kind="spread", chart="", panel="",
        meaning=f"{floor.meaning}: standard deviation over draws of the rows",
    )  # fmt: skip
    return own, floor, spread


def _with_floor(tag: Tag, *, floor_panel: bool = False) -> tuple[Tag, Tag]:
    """Return a tag and its floor, the value between two sets of real rows, in one chart."""
    floor = replace(
        tag, pattern=f"{tag.pattern}{FLOOR}", meaning=f"{tag.meaning}, between real rows",
        chart=tag.pattern, panel=tag.panel if floor_panel else "", column=False, better="neither",
    )  # fmt: skip
    return replace(tag, chart=tag.pattern), floor


_W, _JSD, _F = "wasserstein/", "jsd/", "divergence/"
TAGS: tuple[Tag, ...] = (
    Tag("game/radius", "distance", "lower", "distance of both players' weights from the solution 0",
        0),
    Tag("game/*", "other", "neither", "weight of a player with a single one", 0),
    Tag("images/fid", "distance", "lower", "Frechet distance of Inception's features", 0,
        panel="qualities", column=True),
    Tag("images/frechet", "distance", "lower", "Frechet distance of another network's features", 0,
        panel="qualities", column=True),
    Tag("images/classifier_score", "score", "higher", "inception score by the classes of the"
        " network", 0, panel="qualities"),
    Tag("images/classifier_score_std", "spread", "neither", "standard deviation of the classifier"
        " score over splits", 0),
    Tag("images/kid", "distance", "lower", "kernel distance (MMD^2) of Inception's features", 0,
        panel="qualities"),
    Tag("images/kernel", "distance", "lower", "kernel distance (MMD^2) of another network's"
        " features", 0, panel="qualities"),
    Tag("images/precision", "score", "higher", "share of samples within the data's manifold", 0),
    Tag("images/recall", "score", "higher", "share of the data within the samples' manifold", 0),
    Tag("images/density", "score", "higher", "mean number of data's balls around a sample over k",
        0),
    Tag("images/coverage", "score", "higher", "share of the data with a sample in its ball", 0),
    Tag("images/class_entropy", "score", "higher", "entropy of the classes of samples, in nats", 0),
    Tag("images/class_share_*", "share", "neither", "share of samples of one class", 0),
    Tag("modes/found", "score", "higher", "modes with a fair share of samples", 20,
        panel="qualities", column=True),
    Tag("modes/touched", "score", "higher", "modes with any sample", 20),
    Tag("modes/high_quality", "score", "higher", "share of samples near a mode", 20,
        panel="qualities"),
    Tag("modes/reverse_kl", "divergence", "lower", "KL(shares of modes | equal shares)", 20),
    Tag(f"{_W}critic", "estimate", "lower", "E critic(real) - E critic(fake), training rows", 30,
        panel="distances"),
    Tag(f"{_W}critic_heldout", "estimate", "lower", "E critic(real) - E critic(fake), held-out"
        " rows", 30, chart=f"{_W}critic", panel="distances"),
    Tag(f"{_W}per_slope", "estimate", "lower", "ratio without a guarantee: held-out critic estimate"
        " over the steepest slope found", 30, panel="distances"),
    Tag(f"{_W}per_slope_q99", "estimate", "lower", "ratio without a guarantee: held-out critic"
        " estimate over the 99% quantile of its slopes", 30),
    Tag(f"{_W}bound", "estimate", "lower", "lower bound on W1: held-out critic estimate over an"
        " upper bound of its slope", 30, panel="distances"),
    *_with_spread(Tag(f"{_W}exact", "distance", "lower", "W1 by optimal assignment; between"
                     " pixels it rewards blur", 30,
                     panel="distances", column=True)),
    *_with_spread(Tag(f"{_W}sliced", "distance", "lower", "sliced W1", 30, panel="distances")),
    *_with_spread(Tag(f"{_W}sliced_w2", "distance", "lower", "sliced W2", 30)),
    Tag("jsd/critic", "estimate", "lower", "lower bound on JSD from the critic, in nats", 40,
        panel="divergences"),
    *_with_spread(Tag("jsd/probe", "divergence", "lower", "lower bound on JSD by separate"
                     " classifiers, in nats", 40, panel="divergences", column=True)),
    Tag("jsd/probe_se", "spread", "neither", "standard error of jsd/probe over rows", 40),
    *_with_floor(Tag(f"{_JSD}grid", "divergence", "lower", "JSD on a grid, in nats", 40,
                     panel="divergences"), floor_panel=True),
    Tag("divergence/critic", "estimate", "lower", "lower bound on the objective's f-divergence", 50,
        panel="divergences"),
    *_with_floor(Tag(f"{_F}kl", "divergence", "lower", "KL(data | samples) on a grid, skewed", 50)),
    *_with_floor(Tag(f"{_F}reverse_kl", "divergence", "lower", "KL(samples | data) on a grid,"
                     " skewed", 50)),
    *_with_floor(Tag(f"{_F}total_variation", "divergence", "lower", "total variation on a grid",
                     50)),
    Tag("convergence/squared_distance", "distance", "lower", "squared distance between the means of"
        " samples and data", 25),
    Tag("coverage/diversity", "score", "higher", "mean distance of samples over that of data", 60),
    *_with_floor(Tag("coverage/near_duplicates", "share", "lower", "share of samples with a near"
                     " duplicate", 60)),
    *_with_floor(Tag("coverage/support", "score", "higher", "support size by the birthday paradox",
                     60)),
    Tag("information/*", "information", "higher", "mutual information, lower bound in nats", 60),
    Tag("loss/*", "loss", "neither", "loss of a player or one of its terms", 70),
    Tag("critic/input_gradient_norm", "slope", "neither", "mean norm of the critic's gradient at"
        " its input", 71),
    Tag("critic/gap", "estimate", "neither", "E critic(real) - E critic(fake), training rows; the"
        " critic's slope is not bounded", 30),
    Tag("critic/gap_heldout", "estimate", "neither", "the same on held-out rows", 30,
        chart="critic/gap"),
    Tag("lipschitz/slope_q99", "slope", "neither", "99% quantile of the critic's slopes", 72),
    Tag("lipschitz/lower", "slope", "neither", "steepest slope of the critic found", 72),
    Tag("lipschitz/upper", "slope", "neither", "upper bound on the critic's slope", 72),
    Tag("grad_norm/*", "gradient", "neither", "norm of a player's gradient", 73),
    Tag("lr/*", "other", "neither", "learning rate in force, where it follows a schedule", 73),
    Tag("beta2/*", "other", "neither", "Adam's beta2 in force, where it follows a schedule", 73),
    Tag("weight/*", "other", "neither", "weight of a term, where it follows a schedule", 73),
    Tag("augmentation/*", "other", "neither", "probability of adaptive augmentation, and the mean"
        " sign of the real scores that it follows", 73),
    Tag("health/state", "health", "lower", "0 ok, 1 stalled, 2 collapsed, 3 diverged", 74),
    Tag("optimizer/*", "other", "neither", "cost or state of one step of hessian_free", 73),
    Tag("speed/*_step_seconds", "speed", "lower", "seconds of one step of a player's optimizer",
        75),
    Tag("speed/*", "speed", "higher", "speed of training", 75),
    Tag("score/*", "other", "lower", "a score of a user's own", 10),
)  # fmt: skip
"""All tags that the package logs; the order is that of the curves in a panel."""


def record_of(tag: str, provenance: Mapping[str, Any] | None = None) -> Tag:
    """Return the record of a tag; `better` and `beside` of a provenance take precedence.

    A floor has no direction. A tag without a record takes the order of its group, the part before
    the slash.
    """
    record = _record(tag.removesuffix(RAW))
    provenance = provenance or {}
    better: Better = provenance.get("better", record.better)
    better = "neither" if tag.endswith(FLOOR) else better
    chart = provenance.get("beside", record.chart)
    return replace(record, better=better, chart=chart) if provenance else record


@cache
def _record(tag: str) -> Tag:
    matching = [record for record in TAGS if fnmatchcase(tag, record.pattern)]
    if matching:
        return matching[0]
    group = tag.partition("/")[0]
    orders = [record.order for record in TAGS if record.pattern.startswith(f"{group}/")]
    return Tag(tag, "other", "lower", "", orders[0] if orders else _OTHERS)


def is_compared(tag: str) -> bool:
    """Return whether groups of runs are compared by a tag: not by health, shares or spreads."""
    record = record_of(tag)
    is_share = record.kind == "share" and record.better == "neither"
    return record.is_comparable and record.kind not in ("health", "spread") and not is_share


def is_detail(tag: str) -> bool:
    """Return whether a tag describes the raw generator, a single class or a spread."""
    return tag.endswith((RAW, f"{FLOOR}{STD}", "_se")) or "class_share" in tag


def columns() -> tuple[str, ...]:
    """Return the tags that the tables of a sweep always show."""
    return tuple(record.pattern for record in TAGS if record.column)


DECIDING = (
    "images/frechet",  # sees quality and diversity, in features
    "images/fid",
    "images/classifier_score",  # quality only: it ignores missing variety within a class
    "jsd/grid",  # in the plane, nearly exact
    "wasserstein/sliced",  # all held-out rows; unlike pixel distances, it does not reward blur
    "wasserstein/exact",
    "jsd/probe",  # last: it is computed at few steps
)
"""The tags that may select the best checkpoint, most telling first; each moves until the end.

None is clipped, so a later and better step always wins over an earlier one.
"""


def deciding(measured: Iterable[str]) -> str | None:
    """Return the first of `DECIDING` that is logged; None if there is none."""
    logged = set(measured)
    return next((tag for tag in DECIDING if tag in logged), None)


def panel(name: Panel) -> tuple[str, ...]:
    """Return the patterns of the tags in one panel of the learning-curve plot."""
    return tuple(record.pattern for record in TAGS if record.panel == name)

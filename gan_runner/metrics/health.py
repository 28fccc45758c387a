"""Whether a run is well: ok, stalled, collapsed or diverged, from the points of its log alone.

Nothing is computed but comparisons of numbers that were logged anyway, so health costs nothing and
cannot change a run. What is not measured is not judged: collapse needs `coverage/diversity_raw`,
the slope of the critic `critic/input_gradient_norm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any

from annotated_types import Ge, Gt

from gan_runner.core import StateDict

STATES = ("ok", "stalled", "collapsed", "diverged")  # the later, the worse
_BROKEN = "not finite"
_SIGNS = {  # what shows an illness, and which
    _BROKEN: "diverged",
    "explosion": "diverged",
    "sameness": "collapsed",
    "flat critic": "stalled",
    "no gradient": "stalled",
    "frozen loss": "stalled",
}
_LOSSES = ("loss/critic", "loss/generator")
_STEEP = 1e3  # a loss that begins above may have begun with the explosion
_GROWTH = 1.01  # from one evaluation to the next
_FINITE = ("loss/", "grad_norm/")  # beginnings of the tags whose values training depends on


class Health:
    """The health of one run; `health/state` is 0 ok, 1 stalled, 2 collapsed, 3 diverged.

    - diverged: a loss or a gradient is not finite; or |loss/critic| or |loss/generator| exceeds
      `loss_blowup` times what it was at the first point, that taken between 1 and 1,000.
    - collapsed: `coverage/diversity_raw` is below `min_diversity`: whatever its noise, the
      generator as it stands makes nearly one sample. Some modes of a mixture are diverse enough,
      and a generator that has never been above it is excused while it grows, as every one does from
      its start, unless it has collapsed before.
    - stalled: the critic has nothing to teach. Its slope at data and samples,
      `critic/input_gradient_norm`, or the generator's gradient, `grad_norm/generator`, is at most
      `min_gradient`; or `loss/critic` repeats its value up to a share of `loss_rtol`, which the
      noise of batches does not let happen while anything moves.

    A loss that is not finite counts at once, any other sign when `patience` points in a row that
    can tell show it. The state began at the first of these, or at the very step whose loss is not
    finite. Of several illnesses the worst is named, and a run that recovers is ok again.

    Args:
        loss_blowup: factor by which a loss has to outgrow its beginning.
        min_diversity: of the diversity, as a share of the data's.
        min_gradient: norm of a gradient that moves nothing: the epsilon of Adam and of RMSProp.
        loss_rtol: relative difference of two means of a loss that did not change.
        patience: points in a row.
    """

    def __init__(
        self,
        *,
        loss_blowup: Annotated[float, Gt(1)] = 1e5,
        min_diversity: Annotated[float, Ge(0)] = 0.05,
        min_gradient: Annotated[float, Ge(0)] = 1e-8,
        loss_rtol: Annotated[float, Ge(0)] = 1e-6,
        patience: Annotated[int, Ge(1)] = 2,
    ) -> None:
        self.loss_blowup, self.min_diversity, self.min_gradient = (
            loss_blowup,
            min_diversity,
            min_gradient,
        )
        self.loss_rtol, self.patience = loss_rtol, patience
        self.state, self.since, self.because = "ok", 0, ""
        self.history: list[tuple[int, str]] = [(0, "ok")]
        self._shown: dict[str, tuple[int, int, str]] = {}  # sign: since when, how often, why
        self._first: dict[str, float] = {}
        self._last: float | None = None  # critic's loss
        self._peak: float | None = None  # diversity

    @property
    def diverged(self) -> bool:
        """Whether its losses are not finite, or explode."""
        return self.state == "diverged"

    def update(
        self, step: int, values: Mapping[str, float], first_nonfinite_step: int | None = None
    ) -> dict[str, float]:
        """Look at a point of the log; returns `health/state` for it.

        Args:
            step: of the point.
            values: by tag.
            first_nonfinite_step: the first step since the last point whose loss or gradient was not
                finite, where that is known.
        """
        for sign, reason in self._signs(values).items():
            since, times, _ = self._shown.pop(sign, (step, 0, ""))
            if reason:
                if sign == _BROKEN and times == 0 and first_nonfinite_step is not None:
                    since = first_nonfinite_step
                self._shown[sign] = since, times + 1, reason
        self._judge(step)
        return {"health/state": float(STATES.index(self.state))}

    def summary(self) -> dict[str, Any]:
        """For the summary."""
        return {
            "state": self.state,
            "since": self.since,
            "because": self.because,
            "history": [list(entry) for entry in self.history],
        }

    def state_dict(self) -> StateDict:
        """What it remembers of the points."""
        return {
            **self.summary(),
            "shown": {sign: list(entry) for sign, entry in self._shown.items()},
            "first": dict(self._first),
            "last": self._last,
            "peak": self._peak,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Continue where `state` was taken."""
        self.state, self.since, self.because = state["state"], state["since"], state["because"]
        self.history = [(since, name) for since, name in state["history"]]
        self._shown = {sign: (since, n, why) for sign, (since, n, why) in state["shown"].items()}
        self._first, self._last = dict(state["first"]), state["last"]
        self._peak = state["peak"]

    def _judge(self, step: int) -> None:
        """Take the worst state of which a sign has shown long enough."""
        held = {
            sign: (since, why)
            for sign, (since, times, why) in self._shown.items()
            if sign == _BROKEN or times >= self.patience
        }
        worst = max((_SIGNS[sign] for sign in held), key=STATES.index, default="ok")
        its = [entry for sign, entry in held.items() if _SIGNS[sign] == worst]
        since, self.because = min(its, default=(step, ""))
        if worst != self.state:
            self.state, self.since = worst, since
            self.history.append((since, worst))

    def _signs(self, values: Mapping[str, float]) -> dict[str, str]:
        """For each sign that these values can tell of: why it shows, or "" if it does not."""
        broken = [tag for tag, v in values.items() if tag.startswith(_FINITE) and not isfinite(v)]
        known = {tag: value for tag, value in values.items() if isfinite(value)}
        signs = {_BROKEN: f"{broken[0]} is not finite" if broken else ""}
        signs |= self._explosion(known) | self._frozen(known)
        if (diversity := known.get("coverage/diversity_raw")) is not None:
            signs["sameness"] = self._sameness(diversity)
        if (slope := known.get("critic/input_gradient_norm")) is not None:
            signs["flat critic"] = (
                f"critic's slope {slope:.2g}" if slope <= self.min_gradient else ""
            )
        if (norm := known.get("grad_norm/generator")) is not None:
            shows = norm <= self.min_gradient
            signs["no gradient"] = f"generator's gradient {norm:.2g}" if shows else ""
        return signs

    def _explosion(self, known: Mapping[str, float]) -> dict[str, str]:
        losses = {tag: known[tag] for tag in _LOSSES if tag in known}
        for tag, loss in losses.items():
            self._first.setdefault(tag, min(max(1.0, abs(loss)), _STEEP))
        large = [tag for tag in losses if abs(losses[tag]) > self.loss_blowup * self._first[tag]]
        reason = f"{large[0]} {losses[large[0]]:.2g}" if large else ""
        return {"explosion": reason} if losses else {}

    def _sameness(self, diversity: float) -> str:
        _, times, _ = self._shown.get("sameness", (0, 0, ""))
        # What has collapsed has to come back above the floor: from nothing, anything is growth.
        young = (self._peak is None or self._peak < self.min_diversity) and times < self.patience
        grows = young and self._peak is not None and diversity > _GROWTH * self._peak
        self._peak = max(diversity, self._peak or 0.0)
        shows = diversity < self.min_diversity and not grows
        return f"diversity {diversity:.2g} of the data's" if shows else ""

    def _frozen(self, known: Mapping[str, float]) -> dict[str, str]:
        loss, last = known.get("loss/critic"), self._last
        self._last = loss
        if loss is None or last is None:
            return {}
        same = abs(loss - last) <= self.loss_rtol * max(abs(loss), abs(last))
        return {"frozen loss": f"loss/critic stays {loss:.3g}" if same else ""}

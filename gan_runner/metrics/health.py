"""Health of a run (ok, stalled, collapsed or diverged), from logged points alone.

The checks only compare numbers that are logged anyway, so health costs nothing and cannot change a
run. A check without a logged metric is skipped: collapse needs `coverage/diversity_raw`, the slope
of the critic `critic/input_gradient_norm`, and unlearned samples
`images/classifier_score_raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any

from annotated_types import Ge, Gt

from gan_runner.core import StateDict

STATES = ("ok", "stalled", "collapsed", "diverged")  # from best to worst
_BROKEN = "not finite"
_SIGNS = {  # symptom: state
    _BROKEN: "diverged",
    "explosion": "diverged",
    "sameness": "collapsed",
    "one shape": "collapsed",
    "flat critic": "stalled",
    "no gradient": "stalled",
    "frozen loss": "stalled",
    "unlearned": "stalled",
}
_LOSSES = ("loss/critic", "loss/generator")
_STEEP = 1e3  # a loss that starts above this value may already be exploding
_GROWTH = 1.01  # least factor between evaluations that counts as growth
_LEAST_GROWTH = 1e-4  # of diversity: rounding also moves what is the same
_TOLD_APART = 0.66  # nats of `jsd/probe_raw`, below which samples resemble data; log 2 = 0.693
_ALIKE_SCORE, _ALIKE_DIVERSITY = 1.5, 0.4  # below both, samples are variants of one shape
_FINITE = ("loss/", "grad_norm/")  # prefixes of tags whose values training depends on


class Health:
    """Health of one run; `health/state` is 0 ok, 1 stalled, 2 collapsed, 3 diverged.

    - diverged: a loss or a gradient is not finite; or |loss/critic| or |loss/generator| exceeds
      `loss_blowup` times the first logged value. The first value is clipped to [1, 1,000].
    - collapsed: `coverage/diversity_raw` is below `min_diversity`, so the current (raw) generator
      makes nearly one sample. Covering only some modes of a mixture is not a collapse. Every
      generator starts with little diversity. One that has never exceeded the limit is excused while
      its diversity grows, unless it has collapsed before. Or the samples are variants of one shape:
      the classifier's score is below 1.5 and the diversity below 0.4.
    - stalled: the critic gives no training signal. Its slope at data and samples,
      `critic/input_gradient_norm`, or the generator's gradient, `grad_norm/generator`, is at most
      `min_gradient`. Or `loss/critic` repeats its value within the relative tolerance `loss_rtol`;
      batch noise prevents this while weights change. Or the samples are noise or one image:
      `images/classifier_score_raw` is below `min_classifier_score`, while a probe, where there is
      one, tells them from data.

    A loss or gradient that is not finite counts at once. Any other symptom counts after `patience`
    points in a row that log its metric. The state began at the first of these points, or at the
    first step that is not finite. The worst of several states is reported; a run that recovers is
    ok again.

    Args:
        loss_blowup: factor between a loss and its first value that means divergence.
        min_diversity: least diversity, as a share of the data's.
        min_gradient: norm of a gradient without effect: the epsilon of Adam and of RMSProp.
        loss_rtol: relative difference below which two means of a loss count as equal.
        min_classifier_score: least score of samples; 1 means that all samples look alike to the
            classifier, as noise and a constant image do.
        patience: points in a row.
    """

    def __init__(
        self,
        *,
        loss_blowup: Annotated[float, Gt(1)] = 1e5,
        min_diversity: Annotated[float, Ge(0)] = 0.05,
        min_gradient: Annotated[float, Ge(0)] = 1e-8,
        loss_rtol: Annotated[float, Ge(0)] = 1e-6,
        min_classifier_score: Annotated[float, Ge(1)] = 1.15,
        patience: Annotated[int, Ge(1)] = 2,
    ) -> None:
        self.loss_blowup, self.loss_rtol = loss_blowup, loss_rtol
        self.min_diversity, self.min_gradient = min_diversity, min_gradient
        self.min_classifier_score, self.patience = min_classifier_score, patience
        self.state, self.since, self.because = "ok", 0, ""
        self.history: list[tuple[int, str]] = [(0, "ok")]
        self._shown: dict[str, tuple[int, int, str]] = {}  # symptom: first step, count, reason
        self._first: dict[str, float] = {}
        self._last: float | None = None  # critic's loss
        self._peak: float | None = None  # diversity
        self._probe = 1.0  # the last bound of the probe, which few points have

    @property
    def diverged(self) -> bool:
        """Return whether the run has diverged: losses are not finite, or explode."""
        return self.state == "diverged"

    def update(
        self, step: int, values: Mapping[str, float], first_nonfinite_step: int | None = None
    ) -> dict[str, float]:
        """Judge one logged point and return its `health/state`.

        Args:
            step: step of the point.
            values: logged values by tag.
            first_nonfinite_step: the first step since the last point whose loss or gradient was not
                finite; None if unknown.
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
        """Return state, first step, reason and history for the run's summary file."""
        return {
            "state": self.state,
            "since": self.since,
            "because": self.because,
            "history": [list(entry) for entry in self.history],
        }

    def state_dict(self) -> StateDict:
        """Return everything that later judgements depend on."""
        return {
            **self.summary(),
            "shown": {sign: list(entry) for sign, entry in self._shown.items()},
            "first": dict(self._first),
            "last": self._last,
            "peak": self._peak,
            "probe": self._probe,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Restore the state that `state_dict` returned."""
        self.state, self.since, self.because = state["state"], state["since"], state["because"]
        self.history = [(since, name) for since, name in state["history"]]
        self._shown = {sign: (since, n, why) for sign, (since, n, why) in state["shown"].items()}
        self._first, self._last = dict(state["first"]), state["last"]
        self._peak, self._probe = state["peak"], state.get("probe", 1.0)  # older: no probe

    def _judge(self, step: int) -> None:
        """Set the worst state whose symptom has lasted long enough."""
        held = {
            sign: (since, why)
            for sign, (since, times, why) in self._shown.items()
            if sign == _BROKEN or times >= self.patience
        }
        worst = max((_SIGNS[sign] for sign in held), key=STATES.index, default="ok")
        reasons = [entry for sign, entry in held.items() if _SIGNS[sign] == worst]
        since, self.because = min(reasons, default=(step, ""))
        if worst != self.state:
            self.state, self.since = worst, since
            self.history.append((since, worst))

    def _signs(self, values: Mapping[str, float]) -> dict[str, str]:
        """Return {symptom: reason} for each symptom whose metric is logged; "" if it is absent."""
        broken = [tag for tag, v in values.items() if tag.startswith(_FINITE) and not isfinite(v)]
        finite = {tag: value for tag, value in values.items() if isfinite(value)}
        signs = {_BROKEN: f"{broken[0]} is not finite" if broken else ""}
        signs |= self._explosion(finite) | self._frozen(finite)
        if (diversity := finite.get("coverage/diversity_raw")) is not None:
            signs["sameness"] = self._sameness(diversity)
        if (score := finite.get("images/classifier_score_raw")) is not None:
            self._probe = finite.get("jsd/probe_raw", self._probe)
            shows = score < self.min_classifier_score and self._probe >= _TOLD_APART
            seen = f"classifier score {score:.2f}"
            signs["unlearned"] = f"{seen}: noise or one image" if shows else ""
            signs["one shape"] = ""
            if diversity is not None and diversity < _ALIKE_DIVERSITY and score < _ALIKE_SCORE:
                signs["one shape"] = f"{seen}, diversity {diversity:.2g}: variants of one shape"
        if (slope := finite.get("critic/input_gradient_norm")) is not None:
            signs["flat critic"] = (
                f"critic's slope {slope:.2g}" if slope <= self.min_gradient else ""
            )
        if (norm := finite.get("grad_norm/generator")) is not None:
            shows = norm <= self.min_gradient
            signs["no gradient"] = f"generator's gradient {norm:.2g}" if shows else ""
        return signs

    def _explosion(self, values: Mapping[str, float]) -> dict[str, str]:
        losses = {tag: values[tag] for tag in _LOSSES if tag in values}
        for tag, loss in losses.items():
            self._first.setdefault(tag, min(max(1.0, abs(loss)), _STEEP))
        large = [tag for tag in losses if abs(losses[tag]) > self.loss_blowup * self._first[tag]]
        reason = f"{large[0]} {losses[large[0]]:.2g}" if large else ""
        return {"explosion": reason} if losses else {}

    def _sameness(self, diversity: float) -> str:
        _, times, _ = self._shown.get("sameness", (0, 0, ""))
        # After a collapse, growth does not excuse: from near 0 any noise looks like growth.
        young = (self._peak is None or self._peak < self.min_diversity) and times < self.patience
        peak = self._peak or 0.0
        least = max(_GROWTH * peak, peak + _LEAST_GROWTH)
        grows = young and self._peak is not None and diversity > least
        self._peak = max(diversity, peak)
        shows = diversity < self.min_diversity and not grows
        return f"diversity {diversity:.2g} of the data's" if shows else ""

    def _frozen(self, values: Mapping[str, float]) -> dict[str, str]:
        loss, last = values.get("loss/critic"), self._last
        self._last = loss
        if loss is None or last is None:
            return {}
        same = abs(loss - last) <= self.loss_rtol * max(abs(loss), abs(last))
        return {"frozen loss": f"loss/critic stays {loss:.3g}" if same else ""}

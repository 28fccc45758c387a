"""The verdict at the end of a run: comparable numbers beside their floors, and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from typing import Any

from gan_runner.runs.printable import printable_cell
from gan_runner.runs.read import read_provenance
from gan_runner.runs.tags import FLOOR, RAW, STD

Values = Mapping[str, float | None]
Provenances = Mapping[str, Mapping[str, Any]]

_ACCURATE = 0.85  # accuracy of a classifier below which its classes are not to be believed
_ONE_CLASS = 0.5  # share of samples above which one class is named
_ALIKE = 0.5  # diversity below which samples are called alike
_NOT_LEARNED = 0.95  # share of log 2 above which a probe always tells samples from data
_DIFFERENT = 0.1  # relative difference from which the raw generator is shown too
_LITTLE = 0.1  # recall, as a share of the precision, below which samples cover little


@dataclass(frozen=True)
class _Number:
    """A number of the verdict.

    Attributes:
        tags: the first one that was measured counts.
        name: as shown.
        digits: decimals.
        floor: value of a perfect generator where the run does not measure one.
    """

    tags: tuple[str, ...]
    name: str
    digits: int
    floor: str = ""


_NUMBERS = (
    _Number(("images/frechet", "images/fid"), "Frechet", 2),
    _Number(("modes/found",), "modes", 0),
    _Number(("wasserstein/exact",), "W1", 2),
    _Number(("jsd/probe",), "jsd", 2, floor="0.00"),
    _Number(("coverage/diversity",), "diversity", 2),
)
_MOST_SHOWN = 4


def verdict(summary: Mapping[str, Any], run_dir: Path) -> list[str]:
    """Return the lines of the verdict on a run, or on the mean of its replicas.

    The first line shows comparable numbers of the averaged generator with the value of real data.
    The second shows those of the raw generator where they differ; sentences follow. The list is
    empty where nothing was measured.
    """
    replicas = summary.get("replicas")
    first = run_dir / next(iter(replicas)) if replicas else run_dir
    settings = summary.get("settings", {})
    texts = lines(_final_values(summary), read_provenance(first), settings=settings)
    return texts + _spread(summary) if texts else []


def _spread(summary: Mapping[str, Any]) -> list[str]:
    """Return how far the replicas of a run lie apart, in the first number of the verdict."""
    runs = [run.get("final", {}) for run in summary.get("replicas", {}).values()]
    if len(runs) < 2:
        return []
    number, tag = _shown(mean_values(runs))[0]
    values = [run[tag] for run in runs]
    ends = f"{min(values):.{number.digits}f} to {max(values):.{number.digits}f}"
    return [f"means of {len(runs)} replicas, whose {number.name} is {ends}"]


def names_of_tags(summary: Mapping[str, Any]) -> str:
    """Return the names in the verdict's first line, each with its tag in the log; "" without."""
    shown = _shown(_final_values(summary))
    return ", ".join(f"{number.name} = {tag}" for number, tag in shown)


def _final_values(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the final values of a run, or their means over replicas."""
    runs: Sequence[Mapping[str, Any]] = list(summary.get("replicas", {"": summary}).values())
    return mean_values([run.get("final", {}) for run in runs])


def _shown(final: Values) -> list[tuple[_Number, str]]:
    """Return the numbers that the first line shows, each with the tag that was measured."""
    measured = [(n, tag) for n in _NUMBERS if (tag := _measured(n, final)) is not None]
    return measured[:_MOST_SHOWN]


def lines(final: Values, provenances: Provenances, *, settings: Mapping[str, Any]) -> list[str]:
    """Return the lines of the verdict on final values; see `verdict`.

    Args:
        final: value by tag.
        provenances: provenance by tag; `real` is the value of real data.
        settings: of the trainer.
    """
    shown = _shown(final)
    if not shown:
        return []
    numbers = [_with_floor(n, tag, final, provenances) for n, tag in shown]
    texts = ["  ".join([numbers[0].replace("(", "(real ", 1), *numbers[1:]])]
    raw = [(n, f"{tag}{RAW}") for n, tag in shown if _differs(final, tag)]
    if raw and settings.get("ema_decay"):
        own = "  ".join(f"{n.name} {final[tag]:.{n.digits}f}" for n, tag in raw)
        texts.append(f"without averaged weights: {own}")
    return texts + sentences(final, provenances, settings=settings)


def sentences(final: Values, provenances: Provenances, *, settings: Mapping[str, Any]) -> list[str]:
    """Return what a reader of the numbers should know, one sentence each; see `lines`."""
    found = [
        _not_learned(final),
        _one_class(final, provenances),
        _alike(final),
        _missed(final, provenances),
        _lagging(final, settings),
        _pixels(final, provenances),
    ]
    return [sentence for sentence in found if sentence]


def mean_values(finals: Sequence[Values]) -> dict[str, float | None]:
    """Return the mean of each tag over runs; None where a run's value is missing or not finite."""
    tags = dict.fromkeys(tag for final in finals for tag in final)
    means: dict[str, float | None] = {}
    for tag in tags:
        values = [value for final in finals if (value := final.get(tag)) is not None]
        whole = len(values) == len(finals) and all(map(isfinite, values))
        means[tag] = sum(values) / len(values) if whole else None
    return means


def _measured(number: _Number, final: Values) -> str | None:
    return next((tag for tag in number.tags if final.get(tag) is not None), None)


def _with_floor(number: _Number, tag: str, final: Values, provenances: Provenances) -> str:
    text = f"{number.name} {final[tag]:z.{number.digits}f}"
    real = floor_of(tag, final, provenances)
    floor = number.floor if real is None else f"{real:z.{number.digits}f}"
    if spread := final.get(f"{tag}{FLOOR}{STD}"):
        floor += f" \u00b1 {spread:.{number.digits}f}"
    return f"{text} ({floor})" if floor else text


def floor_of(tag: str, final: Values, provenances: Provenances) -> float | None:
    """Return the value of real data for a tag: its floor, `real` or `of` in its provenance."""
    floor = final.get(f"{tag}{FLOOR}")
    provenance = provenances.get(tag, {})
    real = provenance.get("of" if tag.startswith("modes/") else "real")
    return floor if floor is not None else real if isinstance(real, int | float) else None


def _differs(final: Values, tag: str) -> bool:
    averaged, raw = final.get(tag), final.get(f"{tag}{RAW}")
    if averaged is None or raw is None:
        return False
    return abs(raw - averaged) > _DIFFERENT * max(abs(averaged), abs(raw))


def _not_learned(final: Values) -> str:
    jsd = final.get("jsd/probe")
    exact, floor = final.get("wasserstein/exact"), final.get(f"wasserstein/exact{FLOOR}")
    is_near = exact is not None and floor is not None and exact < 1.5 * floor
    if jsd is None or jsd < _NOT_LEARNED * log(2) or is_near:
        return ""
    return "not learned yet: a small classifier always tells the samples from data (jsd near log 2)"


def _one_class(final: Values, provenances: Provenances) -> str:
    shares = {tag: v for tag, v in final.items() if "class_share_" in tag and RAW not in tag and v}
    if not shares:
        return ""
    tag = max(shares, key=lambda tag: shares[tag] or 0.0)
    share, real = shares[tag] or 0.0, floor_of(tag, final, provenances)
    provenance = provenances.get(tag, {})
    accuracy = provenance.get("accuracy")
    if isinstance(accuracy, int | float) and accuracy < _ACCURATE:
        return (
            f"numbers of classes mean little: the classifier knows {100 * accuracy:.0f}% of"
            " held-out images"
        )
    if share < _ONE_CLASS or (real is not None and share < 2 * real):
        return ""
    of = "" if real is None else f" (of data {100 * real:.0f}%)"
    name = printable_cell(provenance.get("class", tag.rpartition("_")[2]))
    return f"one class makes {100 * share:.0f}% of samples: {name}{of}"


def _alike(final: Values) -> str:
    diversity = final.get("coverage/diversity")
    if diversity is None or diversity >= _ALIKE:
        return ""
    return f"samples are alike: their distances are {100 * diversity:.0f}% of the data's"


def _missed(final: Values, provenances: Provenances) -> str:
    """Return a sentence on modes or parts of the data without samples."""
    found, modes = final.get("modes/found"), floor_of("modes/found", final, provenances)
    if found is not None and modes is not None and found < modes:
        return f"{modes - found:.0f} of {modes:.0f} modes have less than a fifth of their share"
    precision, recall = final.get("images/precision"), final.get("images/recall")
    if precision is None or recall is None or recall >= _LITTLE * precision:
        return ""
    return f"samples cover {100 * recall:.1f}% of the data (recall), at precision {precision:.2f}"


def _lagging(final: Values, settings: Mapping[str, Any]) -> str:
    decay, steps = settings.get("ema_decay") or 0.0, settings.get("steps") or 0
    better = [
        tag for tag in ("images/frechet", "images/fid", "wasserstein/exact")
        if _differs(final, tag) and (final[f"{tag}{RAW}"] or 0.0) < (final[tag] or 0.0)
    ]  # fmt: skip
    if not better or decay <= 0 or steps * (1 - decay) >= 3:
        return ""
    return (
        f"the averaged weights lag: {steps:,} steps are few for trainer.ema_decay={decay:g};"
        f" quote {better[0]}{RAW}, or train longer"
    )


def _pixels(final: Values, provenances: Provenances) -> str:
    units = str(provenances.get("wasserstein/exact", {}).get("units", ""))
    if final.get("wasserstein/exact") is None or not units.startswith("pixels"):
        return ""
    frechet = _measured(_NUMBERS[0], final)
    better = f"{frechet} and recall" if frechet else "the numbers of metrics=images"
    return f"W1 between pixels rewards blur; to compare methods, prefer {better}"

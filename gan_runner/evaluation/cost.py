"""The time of an evaluation, told before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from gan_runner.core import EvalContext, Latent
from gan_runner.evaluation.subjects import Subject
from gan_runner.metrics.images.watched import WatchedFeatures
from gan_runner.runs.printable import echo
from gan_runner.training.sampling import generate

_TRIED = 8  # images that the speed of a network is measured with, at least
_OTHERS = 2.0  # seconds of everything else


def announce(
    subject: Subject, context: EvalContext, features: WatchedFeatures | None, *, has_fresh: bool
) -> None:
    """Print what is compared with what, and about how long it takes, to standard error."""
    name, reference = subject.facts["path"], context.reference
    rows = f"{reference['rows']:,} {reference['reference']} rows"
    network = f" in features of {features.name}" if features else ""
    seconds = _seconds(subject, context, features, has_fresh=has_fresh)
    echo(
        f"gan-evaluate: {subject.count:,} samples of {name} against {rows}{network}:"
        f" about {seconds:,.0f} s",
        error=True,
    )


def _seconds(
    subject: Subject, context: EvalContext, features: WatchedFeatures | None, *, has_fresh: bool
) -> float:
    """Return the expected time, from the speeds of generator and feature network on a few rows."""
    total = _OTHERS
    if subject.nets is not None and subject.noise is not None:
        size = subject.batch_size
        few = Latent(*(None if part is None else part[:size] for part in subject.noise))  # type: ignore[arg-type]
        net = subject.nets.generator_ema
        total += subject.count / size * _time(lambda: generate(net, few, batch_size=size))
    if features is not None:
        x = context.heldout.x[: max(_TRIED, features.at_once // 8)]
        fresh = min(subject.count, len(context.dataset.train.x)) if has_fresh else 0
        real = 0 if features.has(context.heldout.x) else len(context.heldout.x) + fresh
        total += (subject.count + real) / len(x) * _time(lambda: features(x))
    return total


def _time(call: Callable[[], Any]) -> float:
    call()  # the first call prepares
    begun = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun

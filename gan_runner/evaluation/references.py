"""The real rows that samples are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gan_runner.builder import SEED_OF_MEASURES
from gan_runner.core import Dataset, EvalContext
from gan_runner.data.stream import held_out
from gan_runner.evaluation.own_data import dataset_at
from gan_runner.evaluation.request import HELD_OUT, TRAIN, Request
from gan_runner.evaluation.subjects import Subject


@dataclass(frozen=True, eq=False)
class Reference(EvalContext):
    """Constants of an evaluation whose reference is not the held-out split.

    Attributes:
        label: of the reference, for the provenance.
    """

    label: str = "training"

    @cached_property
    def reference(self) -> dict[str, Any]:
        """Return the provenance of the reference samples."""
        return {**super().reference, "reference": self.label}


def context_of(subject: Subject, request: Request) -> tuple[EvalContext, bool]:
    """Return the constants of an evaluation, and whether fresh real rows have equal numbers.

    The training split as the reference trades places with the held-out one: values of real data
    are those of held-out rows.
    """
    data, reference = subject.dataset, request.reference or HELD_OUT
    is_path = reference not in (HELD_OUT, TRAIN)
    if reference == TRAIN:
        data = Dataset(data.spec, train=data.heldout, heldout=data.train)
    elif is_path:
        own = dataset_at(Path(reference))
        if own.spec.shape != data.spec.shape:
            problem = f"has samples of another shape than {data.spec}"
            raise ValueError(f"--reference {reference}: {problem}")
        data = Dataset(data.spec, own.train, own.heldout)
    rows = len(data.heldout.x) if request.all_rows or is_path else subject.count
    real = held_out(data.heldout, rows, device=subject.device, seed=SEED_OF_MEASURES)
    constants: dict[str, Any] = {
        "seed": SEED_OF_MEASURES, "device": subject.device, "categories": subject.categories,
        "code": subject.code, "samples": subject.count,
    }  # fmt: skip
    if reference == HELD_OUT:
        return EvalContext(data, real, subject.batch_size, **constants), True
    label = reference if is_path else "training"
    has_fresh = not is_path and len(data.train.x) >= subject.count
    return Reference(data, real, subject.batch_size, **constants, label=label), has_fresh

"""Published protocols by name: each fixes everything that its number depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """A measurement as the literature defines it, always in Inception's features.

    Attributes:
        name: as the command line knows it.
        measures: metrics to compute.
        count: generated samples.
        all_rows: compare with all of the training split, not with as many rows as samples.
        options: arguments of `ImageScores`.
        source: publication.
        text: the settings in words, for a table's caption.
    """

    name: str
    measures: tuple[str, ...]
    count: int
    source: str
    text: str
    all_rows: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


_ALL = "against all of the training split"
_FEATURES = "Inception v3 of torch-fidelity"
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "fid50k_train", ("frechet",), 50_000,
            source="Heusel et al. 2017",
            text=f"FID, {_FEATURES}, 50,000 samples {_ALL}",
            all_rows=True,
        ),
        Protocol(
            "is50k", ("classifier_score",), 50_000,
            source="Salimans et al. 2016",
            text=f"inception score, {_FEATURES}, 50,000 samples in ten splits",
            options={"splits": 10},
        ),
        Protocol(
            "kid", ("kernel",), 50_000,
            source="Binkowski et al. 2018",
            text=f"KID, {_FEATURES}, 50,000 samples {_ALL}, 100 subsets of 1,000",
            all_rows=True,
            options={"subsets": 100, "subset_size": 1000},
        ),
        Protocol(
            "precision_recall", ("precision_recall",), 10_000,
            source="Kynkaanniemi et al. 2019, Naeem et al. 2020",
            text=f"precision, recall, density and coverage, {_FEATURES} (the papers: VGG-16),"
            " 10,000 samples against 10,000 training images, k = 5",
            options={"k": 5},
        ),
    )
}  # fmt: skip

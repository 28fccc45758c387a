"""The settings of an evaluation, apart from its subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from gan_runner.evaluation.protocols import PROTOCOLS

HELD_OUT, TRAIN = "heldout", "train"
_FIXED = ("count", "reference", "network", "measures")  # by a protocol


@dataclass(frozen=True)
class Request:
    """The choices that the numbers of an evaluation depend on.

    Attributes:
        checkpoint: "last", "best" or a step.
        count: samples; None: `trainer.num_eval_samples` of a run, all of a file.
        reference: "heldout" (None as well), "train", or a path of images or points.
        network: of image metrics; None: that of the run, else auto.
        weights: file of Inception's weights.
        measures: names of metrics; None: all that apply.
        seed: of the noise, as in gan-sample; None: the fixed noise of the run.
        raw: take the generator without averaging.
        average: name in the run's `averages` of the average to take; None: the first.
        protocol: name of a published protocol, which fixes count, reference, network and measures.
        overrides: of the data set, as on gan-run's command line.
        allow: prefixes of targets besides our own.
        device: auto, cpu, cuda or cuda:N.
    """

    checkpoint: str = "last"
    count: int | None = None
    reference: str | None = None
    network: str | None = None
    weights: str | None = None
    measures: tuple[str, ...] | None = None
    seed: int | None = None
    raw: bool = False
    average: str | None = None
    protocol: str | None = None
    overrides: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    device: str = "auto"

    @property
    def key(self) -> Mapping[str, Any]:
        """Return the entries that decide the numbers."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "allow"}

    @property
    def options(self) -> Mapping[str, Any]:
        """Return the arguments of `ImageScores` that the protocol fixes."""
        return PROTOCOLS[self.protocol].options if self.protocol else {}

    @property
    def all_rows(self) -> bool:
        """Return whether samples are compared with all rows of the reference."""
        return PROTOCOLS[self.protocol].all_rows if self.protocol else False

    def checked(self) -> Request:
        """Return the request with the settings of its protocol filled in.

        Raises:
            ValueError: an option is out of range or contradicts the protocol.
        """
        if self.count is not None and self.count < 2:
            raise ValueError(f"--count {self.count}: should be 2 or more")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ValueError(f"--seed {self.seed}: should be 0 to 2^63 - 1")
        if self.raw and self.average is not None:
            raise ValueError(f"--average {self.average}: contradicts --raw; omit one of them")
        if self.protocol is None:
            if self.weights is not None and self.network != "inception":
                raise ValueError("--weights: are Inception's; add --network inception")
            return self
        if self.protocol not in PROTOCOLS:
            names = ", ".join(PROTOCOLS)
            raise ValueError(f"--protocol {self.protocol}: unknown; choose one of: {names}")
        protocol = PROTOCOLS[self.protocol]
        if given := [name for name in _FIXED if getattr(self, name) is not None]:
            problem = f"the protocol {self.protocol} fixes it ({protocol.text})"
            raise ValueError(f"--{given[0]}: {problem}; omit it, or omit --protocol")
        return replace(
            self, count=protocol.count, reference=TRAIN, network="inception",
            measures=protocol.measures,
        )  # fmt: skip

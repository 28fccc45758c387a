"""A probe of few fits, for tests of something else: the same code in a twentieth of the time."""

from __future__ import annotations

from types import ModuleType

from gan_runner.metrics import probe_bound, probe_classifiers, probe_divergence

Constants = tuple[tuple[ModuleType, str, int], ...]
SMALL: Constants = (
    (probe_bound, "FOLDS", 2),
    (probe_divergence, "FOLDS", 2),
    (probe_divergence, "_DRAWS", 2),
    (probe_classifiers, "_TREES", 2),
    (probe_classifiers, "_UPDATES", 2),
)
WHOLE: Constants = tuple((module, name, getattr(module, name)) for module, name, _ in SMALL)


def set_probe(constants: Constants) -> None:
    for module, name, value in constants:
        setattr(module, name, value)

"""The facts of one run that its recorder needs: what to measure, when, and what to write down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gan_runner.core import Batch, DataSpec, Latent, Metric, Plot
from gan_runner.runs.layout import check_plot_name
from gan_runner.runs.log import HealthLike
from gan_runner.training.settings import Settings


@dataclass(eq=False)
class RunSpec:
    """One run as the builder describes it; training changes `health` alone.

    Attributes:
        spec: facts about the data.
        settings: how long, how often and how fast.
        heldout: samples for the metrics, on the device.
        noise: the fixed noise of metrics and plots.
        metrics: metrics, computed every `evaluate_every` steps.
        plots: plots by name, drawn every `sample_every` steps.
        health: judges the run from the points of its log.
        facts: for the summary: seed, versions, parameters ...
        config: the configuration as YAML text.
        data: rows, hash and class names of the training set; see `data.content`.
        architecture: every layer of both networks as text.
        summary: the architecture in short, for the terminal.
        folder: of this run inside the directory that is trained into; "" is that directory itself.
        replicas: runs that are trained as one with this one, itself included.
        hyperparameters: the values that TensorBoard compares runs by.

    Raises:
        ValueError: the name of a plot is not a word; it names a folder.
    """

    spec: DataSpec
    settings: Settings
    heldout: Batch
    noise: Latent
    metrics: Sequence[Metric]
    plots: Mapping[str, Plot]
    health: HealthLike
    facts: dict[str, Any]
    config: str
    architecture: str = ""
    summary: str = ""
    folder: str = ""
    replicas: int = 1
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.plots:
            check_plot_name(name)

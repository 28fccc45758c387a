"""Data sets on the device, each loaded once."""

from __future__ import annotations

import torch

from gan_runner.config.instantiate import instantiate
from gan_runner.config.signature import ConfigTree
from gan_runner.core import Batch, Dataset
from gan_runner.data.stream import place


class Tables:
    """Data sets, and their tables on the device; each is loaded once, for any number of runs."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._loaded: list[tuple[ConfigTree, Dataset, Batch]] = []

    def of(self, node: ConfigTree) -> tuple[Dataset, Batch]:
        """Return the data set of a node, and its training table on the stream's device."""
        for other, dataset, table in self._loaded:
            if other == node:
                return dataset, table
        dataset = instantiate(node)
        self._loaded.append((node, dataset, place(dataset.train, self.device)))
        return self._loaded[-1][1:]

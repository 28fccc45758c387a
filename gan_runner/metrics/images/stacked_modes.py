"""Modes of stacked MNIST: the 1,000 numbers that a classifier of digits reads in three channels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gan_runner.core import Batch, Dataset, DataSpec, EvalContext, Provenance, Snapshot
from gan_runner.metrics.grid_divergence import kl
from gan_runner.metrics.images.features import Features, classifier
from gan_runner.metrics.provenance import of_generators

_NUMBERS, _DIGITS = 1000, 10
_OF_TRAINING, _OF_HELD_OUT = 20_000, 3000  # images that the classifier is trained and tested on


class StackedModes:
    """`modes/touched` and `modes/reverse_kl` of samples of stacked MNIST.

    The classifier of the digits in single channels, trained once on the training data, reads a
    number of 0 to 999 in each sample. Touched are the numbers that occur; the divergence is
    KL(shares of the numbers | equal shares) in nats. Both depend on the number of samples, 26,000
    in Srivastava et al. 2017 and Lin et al. 2018. `real` in the provenance is the value of held-out
    data.
    """

    def __init__(self, context: EvalContext) -> None:
        self.provenance: dict[str, Provenance] = {}
        if context.spec.name != "stacked_mnist":
            return
        digits = digits_of(context.dataset)
        self.features = classifier(digits, device=context.device)
        real = self._measure(context.heldout.x)
        about = {**self.features.facts, "reference": "equal shares", "of": _NUMBERS}
        about["samples"] = context.samples or len(context.heldout.x)
        self.provenance = of_generators(
            {
                "modes/touched": {**about, "better": "higher", "real": real["modes/touched"]},
                "modes/reverse_kl": {**about, "better": "lower", "real": real["modes/reverse_kl"]},
            }
        )

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute the metrics for both generators."""
        values: dict[str, float] = {}
        for which, x in snapshot.samples_by_generator.items():
            if x.isfinite().all():
                values |= {f"{tag}{which}": value for tag, value in self._measure(x).items()}
        return values

    def _measure(self, x: Tensor) -> dict[str, float]:
        counts = np.bincount(numbers_in(x, self.features), minlength=_NUMBERS)
        shares, equal = counts / counts.sum(), np.full(_NUMBERS, 1 / _NUMBERS)
        return {
            "modes/touched": float((counts > 0).sum()),
            "modes/reverse_kl": kl(shares, equal),
        }


def numbers_in(x: Tensor, features: Features) -> np.ndarray:
    """Read the number in each image (N, 3, H, W) in [-1, 1], (N,): its channels are the digits."""
    _, probabilities = features(x.flatten(0, 1)[:, None])
    assert probabilities is not None
    digits = probabilities.argmax(1).view(-1, 3)
    return (digits @ torch.tensor([100, 10, 1], device=digits.device)).cpu().numpy()


def digits_of(stacked: Dataset) -> Dataset:
    """Take stacked images apart, into a data set of single digits with 10 classes."""
    train = _apart(stacked.train, _OF_TRAINING)
    heldout = _apart(stacked.heldout, _OF_HELD_OUT)
    return Dataset(DataSpec("mnist", tuple(train.x.shape[1:]), n_classes=_DIGITS), train, heldout)


def _apart(batch: Batch, count: int) -> Batch:
    assert batch.y is not None
    x, y = batch.x[:count], batch.y[:count]
    labels = torch.stack([y // 100, y // 10 % 10, y % 10], dim=1)
    return Batch(x.flatten(0, 1)[:, None].contiguous(), labels.flatten())

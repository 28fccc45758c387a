"""Image metrics of both generators' samples, computed with one network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Ge
from torch import Tensor

from gan_runner.core import EvalContext, Provenance, Snapshot, to_unit
from gan_runner.metrics.images.features import Features, Network, features_of
from gan_runner.metrics.images.fid import Frechet
from gan_runner.metrics.images.kid import Kernel
from gan_runner.metrics.images.precision_recall import Manifolds
from gan_runner.metrics.images.scores import ClassBalance, ClassifierScore
from gan_runner.metrics.provenance import of_generators

Measure = Literal[
    "classifier_score", "frechet", "kernel", "precision_recall", "classes", "fid", "kid",
]  # fmt: skip
"""`fid` and `kid` are other names of `frechet` and `kernel`."""

INCEPTION = "inception"  # the network whose distances are called FID and KID


class _Measure(Protocol):
    facts: dict[str, dict[str, Any]]

    def __call__(self, features: Tensor, probabilities: Tensor | None) -> dict[str, float]: ...


class ImageScores:
    """Image metrics in the feature space of one network, which runs once per set of samples.

    images/classifier_score (and _std): the inception score by this network's classes.
    images/frechet, images/kernel: distances between features of samples and of held-out images; in
    Inception's features, and only there, they are called images/fid and images/kid.
    images/precision, images/recall: shares of samples and of data in each other's manifold.
    images/density, images/coverage: the same of balls instead of manifolds; see `Manifolds`.
    images/class_entropy, images/class_share_K: frequencies of the classes that are predicted.

    The provenance names the network, and holds in `real` the value of real images. For class scores
    these are held-out images. For distances to held-out images they are training images, as many
    as there are samples.

    Args:
        context: constants of the run.
        network: `classifier` (trained once on the labelled training images), `inception` (the
            standard weights), `random` (fixed random weights); `auto`: `classifier` if the data has
            labels, else `random`.
        weights: file of inception's weights; None: torchmetrics downloads them.
        measures: metrics to compute; those that the network does not support are omitted.
        splits: parts of the samples with one classifier score each.
        k: number of neighbours that defines a manifold.
        subsets: number of subsets that the kernel distance is averaged over.
        subset_size: largest number of rows of a subset.
        singular: compute the Frechet distance even if images do not outnumber features.
        real: compute the values of real images for the provenance.
        features: the network itself, instead of `network` and `weights`.

    Raises:
        ValueError: the network does not fit the data or is not available.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        network: Network = "auto",
        weights: str | None = None,
        measures: Sequence[Measure] = (
            "classifier_score", "frechet", "kernel", "precision_recall", "classes",
        ),
        splits: Annotated[int, Ge(1)] = 10,
        k: Annotated[int, Ge(1)] = 3,
        subsets: Annotated[int, Ge(1)] = 100,
        subset_size: Annotated[int, Ge(2)] = 1000,
        singular: bool = False,
        real: bool = True,
        features: Features | None = None,
    ) -> None:  # fmt: skip
        self.provenance: Mapping[str, Provenance] = {}
        if not context.spec.is_image:
            return
        self.features = features or features_of(
            context.dataset, network, weights=weights, device=context.device
        )
        tags = _tags(self.features.name)
        data, probabilities = self._seen(context.heldout.x)
        count = min(len(data), context.samples or len(data))
        self.of_classes: list[_Measure] = []
        self.of_distances: list[_Measure] = []
        if probabilities is not None and "classifier_score" in measures:
            self.of_classes.append(ClassifierScore(splits=splits, seed=context.seed))
        if self.features.name == "classifier" and "classes" in measures:
            self.of_classes.append(ClassBalance(context.spec.n_classes, context.spec.class_names))
        if {"frechet", "fid"} & {*measures} and (
            singular or _enough(count, self.features, tags[0])
        ):
            self.of_distances.append(Frechet(data, tag=tags[0], singular=singular))
        if {"kernel", "kid"} & {*measures} and count > 1:
            size = min(subset_size, count)
            kernel = Kernel(data, subsets=subsets, subset_size=size, seed=context.seed, tag=tags[1])
            self.of_distances.append(kernel)
        if "precision_recall" in measures and count > k:
            self.of_distances.append(Manifolds(data, k=k))
        best = _values(self.of_classes, data, probabilities) if real else {}
        if self.of_distances and real:
            best |= _values(self.of_distances, *self._seen(_training_images(context)))
        self.provenance = of_generators(self._provenances(context, best))

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Compute the metrics for both generators."""
        values: dict[str, float] = {}
        for which, x in snapshot.samples_by_generator.items():
            if x.isfinite().all():
                by_tag = _values([*self.of_classes, *self.of_distances], *self._seen(x))
                values |= {f"{tag}{which}": value for tag, value in by_tag.items()}
        return values

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute features, in float64, and class probabilities of images."""
        features, probabilities = self.features(x)
        return features.double(), probabilities

    def _provenances(
        self, context: EvalContext, best: dict[str, float]
    ) -> dict[str, dict[str, Any]]:
        common = {**self.features.facts, "samples": context.samples or len(context.heldout.x)}
        provenances = {}
        for measures, about in ((self.of_classes, {}), (self.of_distances, context.reference)):
            for measure in measures:
                for tag, facts in measure.facts.items():
                    real = {"real": best[tag]} if tag in best else {}
                    provenances[tag] = {**facts, **common, **about, **real}
        return provenances


def _values(
    measures: Sequence[_Measure], features: Tensor, probabilities: Tensor | None
) -> dict[str, float]:
    values: dict[str, float] = {}
    for measure in measures:
        values |= measure(features, probabilities)
    return values


def _tags(network: str) -> tuple[str, str]:
    """Return the tags of the Frechet and the kernel distance in the features of a network."""
    if network == INCEPTION:
        return "images/fid", "images/kid"
    return "images/frechet", "images/kernel"


def _enough(count: int, features: Features, tag: str) -> bool:
    """Return whether `count` images determine the covariance of the features; warn if not."""
    if count > features.dimension:
        return True
    warnings.warn(
        f"{tag} is omitted: {count} images do not determine the covariance of"
        f" {features.dimension} features; if there is more held-out data, raise"
        " trainer.num_eval_samples, or --count of gan-evaluate",
        stacklevel=3,
    )
    return False


def _training_images(context: EvalContext) -> Tensor:
    """Draw training images without replacement, as many as a snapshot has samples."""
    x = context.dataset.train.x
    random = torch.Generator().manual_seed(context.seed)
    rows = torch.randperm(len(x), generator=random)[: context.samples or len(context.heldout.x)]
    return to_unit(x[rows.to(x.device)].to(context.device))

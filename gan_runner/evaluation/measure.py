"""The metrics of a subject: chosen, built, computed, each with its provenance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from gan_runner.config.instantiate import instantiate
from gan_runner.config.signature import ConfigTree
from gan_runner.core import EvalContext, Latent, Metric, Nets, Snapshot
from gan_runner.evaluation.cost import announce
from gan_runner.evaluation.references import context_of
from gan_runner.evaluation.request import Request
from gan_runner.evaluation.subjects import Subject
from gan_runner.metrics.images.features import features_of
from gan_runner.metrics.images.image_scores import INCEPTION, ImageScores
from gan_runner.metrics.images.watched import WatchedFeatures
from gan_runner.runs.files import cache_folder
from gan_runner.training.sampling import generate

IMAGES = "images"  # the node of image metrics
_OF_IMAGES = ("classifier_score", "frechet", "fid", "kernel", "kid", "precision_recall", "classes")
_OF_CRITIC = ("critic", "lipschitz")
_SHOWN = ("better", "beside")  # for display, not about the number


@dataclass(frozen=True, eq=False)
class OneGenerator(Snapshot):
    """A snapshot in which one set of samples is looked at.

    Attributes:
        suffix: of its tags, "" or "_raw".
    """

    suffix: str = ""

    @property
    def samples_by_generator(self) -> dict[str, Tensor]:
        """Return the samples by the suffix of their tags."""
        return {self.suffix: self.samples if self.suffix else self.samples_ema}


def measure(
    subject: Subject, request: Request, *, plots: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Compute the metrics of a subject.

    Args:
        subject: has samples.
        request: which metrics, against which rows.
        plots: folder that all plots that apply are drawn into; None: none.

    Returns:
        {tag: {"value": number, and the provenance of the number}}.

    Raises:
        ValueError: a metric does not exist or does not fit, none applies, or memory does not
            suffice.
    """
    nodes = chosen(subject.metrics, request)
    context, has_fresh = context_of(subject, request)
    features = _features(subject, request, nodes) if IMAGES in nodes else None
    announce(subject, context, features, has_fresh=has_fresh)
    metrics: list[Metric] = []
    with ExitStack() as stack:
        if features is not None:
            stack.enter_context(features.cached())
        for node in nodes.values():
            metric = _metric(node, context, features=features, real=has_fresh)
            metrics += [metric] if metric.provenance else []  # others do not fit the data
    snapshot = _snapshot(subject, context, request, both=bool({*_OF_CRITIC} & {*nodes}))
    results = {}
    for metric in metrics:
        for tag, value in metric(snapshot).items():
            results[tag] = _with_provenance(value, metric.provenance.get(tag, {}), subject, request)
    if plots is not None:
        draw(subject, context, snapshot, plots)
    if not results:
        asked = "" if request.measures is None else f"--measures {','.join(request.measures)}: "
        raise ValueError(f"{asked}no metric applies to these samples of {subject.dataset.spec}")
    return results


def chosen(nodes: ConfigTree, request: Request) -> ConfigTree:
    """Return the nodes of the metrics that are asked for, by their names or those of image metrics.

    Raises:
        ValueError: a name is unknown.
    """
    options = {key: value for key, value in request.options.items() if IMAGES in nodes}
    if IMAGES in nodes:
        nodes = {**nodes, IMAGES: {**nodes[IMAGES], **options}}
    if request.measures is None:
        return nodes
    known = [*nodes, *(_OF_IMAGES if IMAGES in nodes else ())]
    if unknown := [name for name in request.measures if name not in known]:
        raise ValueError(f"--measures {unknown[0]}: unknown; choose from: {', '.join(known)}")
    kept = {name: node for name, node in nodes.items() if name in request.measures}
    of_images = [name for name in request.measures if name in _OF_IMAGES]
    if of_images and IMAGES not in kept:
        kept[IMAGES] = {**nodes[IMAGES], "measures": of_images}
    return kept


def draw(subject: Subject, context: EvalContext, snapshot: Snapshot, folder: Path) -> None:
    """Draw all plots that apply into a folder, as NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, node in subject.plots.items():
        picture = instantiate(node, context)(snapshot)
        if picture is not None:
            Image.fromarray(picture).save(folder / f"{name}.png")


def _features(subject: Subject, request: Request, nodes: ConfigTree) -> WatchedFeatures | None:
    """Return the network of image metrics; None for points."""
    if not subject.dataset.spec.is_image:
        return None
    node = nodes[IMAGES]
    network: Any = request.network or node.get("network", "auto")
    weights = request.weights or (node.get("weights") if network == INCEPTION else None)
    try:
        features = features_of(subject.dataset, network, weights=weights, device=subject.device)
    except ValueError as error:
        words = str(error).replace("metrics.images.weights=", "--weights ")
        raise ValueError(words.replace("metrics.images.network=", "--network ")) from error
    return WatchedFeatures.of(features, cache_folder() / "features")


def _metric(
    node: ConfigTree,
    context: EvalContext,
    *,
    features: WatchedFeatures | None,
    real: bool,
) -> Metric:
    if features is None or not node["_target_"].endswith(f".{ImageScores.__name__}"):
        metric: Metric = instantiate(node, context)
        return metric
    options = {key: value for key, value in node.items() if not key.startswith("_")}
    options |= {"network": "auto", "weights": None}  # `features` is both
    singular = features.name == INCEPTION  # published programs compute it for any number
    count = min(context.samples, len(context.heldout.x))
    if singular and count <= features.dimension:
        warnings.warn(
            f"{count:,} images do not determine the covariance of {features.dimension:,} features;"
            " the Frechet distance is mostly bias",
            stacklevel=2,
        )
    scores: Metric = ImageScores(
        context, **options, singular=singular, real=real, features=features
    )
    return scores


def _snapshot(
    subject: Subject, context: EvalContext, request: Request, *, both: bool
) -> OneGenerator:
    """Draw the samples that metrics look at; of both generators where a critic is measured."""
    spec, heldout = subject.dataset.spec, context.heldout
    if subject.samples is not None or subject.nets is None:
        assert subject.samples is not None
        empty = Nets(nn.Identity(), nn.Identity(), nn.Identity())
        x = subject.samples
        return OneGenerator(empty, spec, heldout, x, x, Latent(x.new_zeros(len(x), 0)))
    assert subject.noise is not None
    nets = subject.nets
    raw, averaged = (
        generate(network, subject.noise, batch_size=subject.batch_size, progress=True)
        if both or request.raw == is_raw
        else None
        for network, is_raw in ((nets.generator, True), (nets.generator_ema, False))
    )
    raw, averaged = (averaged if raw is None else raw), (raw if averaged is None else averaged)
    assert raw is not None and averaged is not None
    return OneGenerator(
        nets, spec, heldout, raw, averaged, subject.noise, subject.history,
        suffix="_raw" if request.raw else "",
    )  # fmt: skip


def _with_provenance(
    value: float, provenance: Mapping[str, Any], subject: Subject, request: Request
) -> dict[str, Any]:
    about = {key: fact for key, fact in provenance.items() if key not in _SHOWN}
    entry = {"value": value, "samples": subject.count, **subject.facts, **about}
    if weights := subject.weights.get(entry.get("generator", "")):
        entry["generator_weights"] = weights
    if subject.samples is not None:
        entry.pop("generator", None)  # unknown
    return {**entry, "protocol": request.protocol}

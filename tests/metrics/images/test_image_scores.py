"""Scores of images against closed forms, and the evaluator that takes them all at once."""

from __future__ import annotations

import time
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from eval_contexts import context_of, snapshot_of
from scipy.linalg import sqrtm
from torch import Tensor, nn

from gan_runner.core import Batch, Dataset, DataSpec, EvalContext, to_unit
from gan_runner.data.stream import held_out
from gan_runner.data.torchvision import mnist
from gan_runner.metrics.images import image_scores
from gan_runner.metrics.images.features import Features
from gan_runner.metrics.images.fid import Frechet
from gan_runner.metrics.images.image_scores import ImageScores
from gan_runner.metrics.images.kid import Kernel
from gan_runner.metrics.images.precision_recall import Manifolds
from gan_runner.metrics.images.scores import ClassBalance, ClassifierScore, classifier_score

CPU = torch.device("cpu")
DISTANCES = (
    "images/frechet", "images/kernel", "images/precision", "images/recall", "images/density",
    "images/coverage",
)  # fmt: skip


class Flat(nn.Module):
    """The pixels are the features."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x.flatten(1), None


def flat_scores(
    monkeypatch: pytest.MonkeyPatch,
    real: Tensor,
    fake: Tensor,
    *measures: image_scores.Measure,
    **options: int,
) -> dict[str, float]:
    """What the evaluator says of points as images of one row."""
    features = Features("flat", Flat(), "none", real.shape[1])
    monkeypatch.setattr(image_scores, "features_of", lambda *_, **__: features)
    x, samples = real[:, None, None].float(), fake[:, None, None].float()
    context = context_of(x, train=Batch(x[:2]))  # too few to be compared
    scores = ImageScores(context, measures=measures, **options)
    return scores(snapshot_of(context, samples, raw=samples[:1] * torch.nan))


def gaussian(n: int, mean: np.ndarray, cov: np.ndarray, seed: int) -> Tensor:
    noise = np.random.default_rng(seed).normal(size=(n, len(mean)))
    return torch.from_numpy(mean + noise @ np.linalg.cholesky(cov).T)


M, N = np.array([0.5, -0.3, 0.8, 0.0]), np.array([-0.4, 0.6, 0.1, 1.0])
ROOT = np.array([[1.0, 0.3, 0, 0], [0, 0.8, -0.5, 0.2], [0, 0, 0.7, 0.4], [0, 0, 0, 1.2]])
A, B = ROOT @ ROOT.T, np.diag([0.3, 1.5, 0.6, 0.9])


def frechet() -> float:
    """Between N(M, A) and N(N, B)."""
    return float(((M - N) ** 2).sum() + np.trace(A + B - 2 * sqrtm(A @ B).real))


def moments(m: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E x, E x x^T and E x x x of a Gaussian."""
    three = np.einsum("i,j,k->ijk", m, m, m)
    for one, two in (("i", "jk"), ("j", "ik"), ("k", "ij")):
        three = three + np.einsum(f"{one},{two}->ijk", m, cov)
    return m, cov + np.outer(m, m), three


def kernel_distance() -> float:
    """MMD^2 of the kernel (x.y / 4 + 1)^3: E (s + 1)^3 = 1 + 3 E s + 3 E s^2 + E s^3, s = x.y / 4."""
    p, q = moments(M, A), moments(N, B)

    def mean(one: tuple, two: tuple) -> float:
        s = [float((a * b).sum()) / 4**k for k, (a, b) in enumerate(zip(one, two, strict=True), 1)]
        return 1 + 3 * s[0] + 3 * s[1] + s[2]

    return mean(p, p) + mean(q, q) - 2 * mean(p, q)


def test_fid_and_kid_of_gaussians(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = gaussian(100_000, M, A, 0), gaussian(100_000, N, B, 1)
    values = flat_scores(monkeypatch, real, fake, "frechet", "kernel", subsets=200, subset_size=500)
    assert values["images/frechet"] == pytest.approx(frechet(), rel=0.01)
    assert values["images/kernel"] == pytest.approx(kernel_distance(), rel=0.01)


def test_equal_distributions_have_no_distance() -> None:
    real, fake = gaussian(20_000, M, A, 0), gaussian(20_000, M, A, 1)
    assert Frechet(real)(fake)["images/frechet"] == pytest.approx(0.0, abs=2e-3)
    kid = Kernel(real, subsets=50, subset_size=400, seed=0)(fake)["images/kernel"]
    assert kid == pytest.approx(0.0, abs=0.03)  # of kernel values of 8 in the mean


def test_kid_is_unbiased_and_counts_no_point_twice() -> None:
    """By hand: k = (x y + 1)^3 in one dimension, data 0 and 1, samples 1 and 2."""
    real, fake = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[1.0], [2.0]]).double()
    among_real, among_fake, across = 1.0, 27.0, (1 + 1 + 8 + 27) / 4
    values = Kernel(real, subsets=3, subset_size=2, seed=0)(fake)
    assert values["images/kernel"] == pytest.approx(among_real + among_fake - 2 * across)


def test_distances_do_not_wear_out() -> None:
    """The second evaluation gives what the first one gave."""
    real, fake = gaussian(300, M, A, 0), gaussian(200, N, B, 1)
    for measure in (
        Frechet(real),
        Kernel(real, subsets=5, subset_size=100, seed=0),
        Manifolds(real, k=3),
    ):
        first = measure(fake)
        measure(real)
        assert measure(fake) == first


def by_name(*values: float) -> dict[str, float]:
    names = ("precision", "recall", "density", "coverage")
    return {f"images/{name}": value for name, value in zip(names, values, strict=True)}


def test_precision_recall_density_and_coverage_by_hand() -> None:
    """On a line; k = 2, so that a ball ends at the second nearest other point.

    Data 0, 1, 2, 10: radii 2, 1, 2, 9, so the balls cover [-2, 4] and [1, 19].
    Samples -3, 3, 4, 30: radii 7, 6, 7, 27, so the balls cover [-10, 4], [-3, 9], [-3, 11], [3, 57].
    Of the samples 3 and 4 are covered, by the balls of 2 and 10 each; of the data all are.
    """
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]]).double()
    fake = torch.tensor([[-3.0], [3.0], [4.0], [30.0]]).double()
    manifolds = Manifolds(real, k=2)
    assert manifolds.radii.tolist() == [2.0, 1.0, 2.0, 9.0]
    assert manifolds(fake) == by_name(0.5, 1.0, 4 / 8, 0.5)
    assert Manifolds(fake, k=2)(real) == by_name(1.0, 0.5, 11 / 8, 1.0)
    near = torch.tensor([[0.5], [1.0], [1.5]]).double()  # radii 1, 0.5, 1: [-0.5, 2.5]
    assert manifolds(near) == by_name(1.0, 0.75, 11 / 6, 1.0)
    assert manifolds(near[:2]) == {}  # there is no second neighbour


def test_precision_and_recall_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = gaussian(57, M, A, 0), gaussian(41, N, B, 1)
    whole = Manifolds(real, k=3)(fake)
    monkeypatch.setattr("gan_runner.metrics.images.precision_recall._AT_ONCE", 10)
    assert Manifolds(real, k=3)(fake) == whole


def test_classifier_score_of_known_probabilities() -> None:
    sure, none = torch.eye(5).repeat(40, 1), torch.zeros(200, 0)
    assert ClassifierScore(splits=1, seed=0)(none, sure) == {
        "images/classifier_score": pytest.approx(5.0)
    }
    one = ClassifierScore(splits=4, seed=0)(none, sure[:1].repeat(200, 1))
    assert one["images/classifier_score"] == pytest.approx(1.0)
    assert one["images/classifier_score_std"] == pytest.approx(0.0)
    unsure = torch.rand(200, 5).softmax(1)
    score = ClassifierScore(splits=1, seed=0)(none, unsure)["images/classifier_score"]
    assert score == pytest.approx(classifier_score(unsure.numpy()), rel=1e-6)


def test_classes_by_hand() -> None:
    seen = torch.eye(4)[[0, 0, 1, 3]]
    values = ClassBalance(4)(torch.zeros(4, 0), seen)
    assert values.pop("images/class_entropy") == pytest.approx(1.5 * log(2))
    assert [values[f"images/class_share_{k}"] for k in range(4)] == [0.5, 0.25, 0.0, 0.25]
    many = ClassBalance(11)(torch.zeros(11, 0), torch.eye(11))
    assert many == {"images/class_entropy": pytest.approx(log(11))}


def squares(count: int = 200) -> Dataset:
    """Dark images of class 0 and bright ones of class 1, which differ a little."""
    y = torch.arange(count) % 2
    noise = torch.randint(0, 50, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    x = (noise + y[:, None, None, None] * 150).to(torch.uint8)
    return Dataset(DataSpec("squares", (1, 8, 8), n_classes=2), Batch(x, y), Batch(x, y))


def scene_of_data(data: Dataset, samples: int) -> EvalContext:
    heldout = held_out(data.heldout, samples, device=CPU, seed=0)
    return EvalContext(data, heldout, 4, seed=0, device=CPU, samples=samples)


def test_everything_of_labelled_images_at_once() -> None:
    context = scene_of_data(squares(), 100)
    state = torch.random.get_rng_state()
    scores = ImageScores(context)
    bright = context.heldout.x[context.heldout.y == 1].repeat(2, 1, 1, 1)
    seen: list[int] = []
    network = scores.features.network
    handle = network.register_forward_hook(lambda *inputs: seen.append(len(inputs[1][0])))
    snapshot = snapshot_of(context, context.heldout.x, raw=bright)
    values = scores(snapshot)
    handle.remove()
    assert seen == [100, len(bright)]  # each set once, and the data not again
    assert scores(snapshot) == values
    assert torch.equal(torch.random.get_rng_state(), state)

    assert set(values) == set(scores.provenance)
    assert values["images/frechet"] == pytest.approx(0.0, abs=1e-6)
    assert values["images/frechet_raw"] > 0.1
    assert values["images/precision"] == values["images/recall"] == 1.0
    assert values["images/recall_raw"] < 0.7
    assert 1.8 < values["images/classifier_score"] < 2.0  # parts of ten are not half and half
    assert values["images/classifier_score_raw"] == pytest.approx(1.0, abs=0.1)
    assert values["images/class_entropy_raw"] == 0.0
    assert values["images/class_share_1_raw"] == 1.0


def test_cards_say_what_made_the_number() -> None:
    context = scene_of_data(squares(), 100)
    provenances = ImageScores(context).provenance
    fid = provenances["images/frechet_raw"]
    assert fid["network"] == "classifier" and fid["accuracy"] == 1.0 and fid["samples"] == 100
    assert fid["generator"] == "raw" and fid["content"] == context.reference["content"]
    assert fid["features"] == 64 and 0 <= fid["real"] < 1 and "better" not in fid
    score = provenances["images/classifier_score"]
    assert score["better"] == "higher"
    assert 1.8 < score["real"] < 2.0  # ten images a part are not half and half
    assert provenances["images/class_share_0"]["real"] == pytest.approx(0.5, abs=0.1)
    assert {"images/precision", "images/recall", "images/kernel"} < set(provenances)


def test_too_few_images_for_a_covariance_have_no_fid() -> None:
    with pytest.warns(UserWarning, match=r"images/frechet is omitted: 64 images .* 64 features"):
        scores = ImageScores(scene_of_data(squares(), 64))
    assert not any("frechet" in tag for tag in scores.provenance)
    assert "images/kernel" in scores.provenance


def test_unlabelled_images_are_compared_in_random_features() -> None:
    data = squares()
    plain = Dataset(DataSpec("grey", (1, 8, 8)), Batch(data.train.x), Batch(data.heldout.x))
    scores = ImageScores(scene_of_data(plain, 100))
    assert {tag.removesuffix("_raw") for tag in scores.provenance} == set(DISTANCES)
    assert all(entry["network"] == "random" for entry in scores.provenance.values())


def test_points_have_no_scores() -> None:
    assert ImageScores(context_of(torch.zeros(8, 2))).provenance == {}


def test_samples_that_are_not_finite_have_no_values() -> None:
    context = scene_of_data(squares(), 100)
    scores = ImageScores(context)
    values = scores(snapshot_of(context, context.heldout.x * torch.nan, raw=context.heldout.x))
    assert values and all("_raw" in tag for tag in values)


@pytest.mark.slow
def test_mnist(shared_data: Path) -> None:
    data = mnist(root=str(shared_data), download=False)
    context = scene_of_data(data, 10_000)
    begun = time.process_time()
    scores = ImageScores(context)
    assert scores.features.accuracy is not None and scores.features.accuracy >= 0.985
    assert time.process_time() - begun < 180
    snapshot = snapshot_of(context, to_unit(data.train.x[:10_000]), raw=context.heldout.x)
    begun = time.process_time()
    scores(snapshot)
    assert time.process_time() - begun < 30  # two cores' 15 s, of both generators

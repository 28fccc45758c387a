"""Scores of images: the classifier is trained once, and what it says is known."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from scenes import view_of

from gan_runner.core import Batch, Dataset, DataSpec, Scene, to_unit
from gan_runner.data.digits import digits
from gan_runner.metrics import classifier as making
from gan_runner.metrics.features import classifier
from gan_runner.metrics.images import ClassifierScore

CPU = torch.device("cpu")


def squares(count: int = 64) -> Dataset:
    """Dark images of class 0 and bright ones of class 1: learned at once."""
    y = torch.arange(count) % 2
    x = (y * 200).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    x[:, 0, 0, 0] = torch.arange(count)
    return Dataset(DataSpec("squares", (1, 8, 8), n_classes=2), Batch(x, y), Batch(x, y))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that a classifier is trained."""
    times: list[int] = []
    train = making.train

    def counted(*args: object, **options: object) -> None:
        times.append(1)
        train(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(making, "train", counted)
    return times


def test_digits_are_learned_and_kept(tmp_path: Path, trained: list[int]) -> None:
    data = digits()
    first = classifier(data, cache=tmp_path)
    assert first.accuracy is not None and first.accuracy > 0.97
    x, y = to_unit(data.heldout.x), data.heldout.y
    features, probabilities = first(x)
    assert features.shape == (len(x), 64) and probabilities is not None
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(x)))
    assert (probabilities.argmax(1) == y).float().mean().item() == pytest.approx(first.accuracy)
    again = classifier(data, cache=tmp_path)
    assert (len(trained), again.weights, again.accuracy) == (1, first.weights, first.accuracy)
    torch.testing.assert_close(again(x)[0], features, rtol=0, atol=0)


def test_other_data_has_another_classifier(tmp_path: Path, trained: list[int]) -> None:
    data = squares()
    classifier(data, cache=tmp_path)
    flipped = Batch(data.train.x, 1 - data.train.y)  # type: ignore[operator]
    classifier(Dataset(data.spec, flipped, data.heldout), cache=tmp_path)
    assert len(trained) == 2 and len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_training_is_repeatable_and_leaves_random_states_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    one = classifier(squares(), cache=tmp_path / "one")
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(123)
    assert classifier(squares(), cache=tmp_path / "two").weights == one.weights


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_classifier_is_made_again(
    damage: str, tmp_path: Path, trained: list[int]
) -> None:
    first = classifier(squares(), cache=tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    whole = file.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:]
    file.write_bytes({"cut": whole[:-100], "flip": flipped, "empty": b""}[damage])
    assert classifier(squares(), cache=tmp_path).weights == first.weights
    assert len(trained) == 2
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not cached"):
        assert classifier(squares(), cache=tmp_path / "cache").accuracy == 1.0


def _classify(cache: Path) -> tuple[str, int]:
    """The hash of the weights, and how often this process trained."""
    torch.set_num_threads(1)
    times, train = [], making.train

    def slow(*args: object, **options: object) -> None:
        times.append(1)
        train(*args, **options)  # type: ignore[arg-type]
        time.sleep(1)  # so that the others arrive meanwhile

    making.train = slow  # type: ignore[assignment]
    return classifier(squares(), cache=cache).weights, len(times)


def test_processes_that_want_it_at_once_train_it_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, get_context("fork")) as pool:
        jobs = [pool.submit(_classify, tmp_path) for _ in range(3)]
        made = [job.result() for job in jobs]
    assert len({weights for weights, _ in made}) == 1
    assert sorted(times for _, times in made) == [0, 0, 1]


def test_points_and_unlabelled_images_have_no_classifier() -> None:
    x = torch.zeros(4, 1, 8, 8)
    unlabelled = Dataset(DataSpec("grey", (1, 8, 8)), Batch(x), Batch(x))
    with pytest.raises(ValueError, match="grey has none; set network=random"):
        classifier(unlabelled)
    scene = Scene(unlabelled, unlabelled.heldout, 4, seed=0, device=CPU)
    assert ClassifierScore(scene).cards == {}


def test_the_score_is_the_number_of_classes_that_are_seen_for_certain() -> None:
    data = squares()
    scene = Scene(data, Batch(to_unit(data.heldout.x), data.heldout.y), 4, seed=0, device=CPU)
    score = ClassifierScore(scene, splits=1)
    assert score.cards["score/classifier"]["real"] == pytest.approx(2.0, abs=0.02)
    assert score.cards["score/classifier"]["accuracy"] == 1.0
    one_class = scene.heldout.x[1::2]
    values = score(view_of(scene, one_class, raw=scene.heldout.x))
    assert values["score/classifier"] == pytest.approx(1.0, abs=0.02)
    assert values["score/classifier_raw"] == pytest.approx(2.0, abs=0.02)
    assert set(values) == set(score.cards)
    assert score(view_of(scene, one_class * torch.nan, raw=one_class)).keys() == {
        "score/classifier_raw"
    }

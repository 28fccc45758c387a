"""Feature networks: the classifier is trained once; the others are what they are said to be."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

from gan_runner.core import Batch, Dataset, DataSpec, to_unit
from gan_runner.data.digits import digits
from gan_runner.metrics.images import classifier as making
from gan_runner.metrics.images.features import classifier, features_of, inception, random
from gan_runner.metrics.images.residual import augmented

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
    data, begun = digits(), time.process_time()
    first = classifier(data, cache=tmp_path)
    assert time.process_time() - begun < 10  # one thread
    assert first.accuracy is not None and first.accuracy > 0.97
    x, y = to_unit(data.heldout.x), data.heldout.y
    features, probabilities = first(x)
    assert features.shape == (len(x), 64) and probabilities is not None
    assert features.square().mean().item() == pytest.approx(1.0, abs=0.1)
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
    with pytest.raises(ValueError, match=r"grey has none; set metrics.images.network=auto"):
        classifier(unlabelled)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 9, 13), (3, 64, 48)])
def test_images_of_any_size_have_features(shape: tuple[int, ...], tmp_path: Path) -> None:
    y = torch.arange(64) % 2
    x = (y * 200).to(torch.uint8)[:, None, None, None].expand(-1, *shape).contiguous()
    data = Dataset(DataSpec("squares", shape, n_classes=2), Batch(x, y), Batch(x, y))
    made = classifier(data, cache=tmp_path)
    assert made.accuracy == 1.0
    assert made.facts.get("resize") == ([32, 24] if shape == (3, 64, 48) else None)
    assert random(shape)(to_unit(x))[0].shape == (64, 64)


def test_random_features_are_the_same_in_every_run_and_never_called_classifier() -> None:
    x = torch.rand(6, 1, 8, 8)
    data = Dataset(DataSpec("grey", (1, 8, 8)), Batch(x), Batch(x))
    made = features_of(data, "auto", device=CPU)
    torch.manual_seed(77)
    again = random((1, 8, 8))
    assert made.name == again.name == "random" and made.weights == again.weights
    features, probabilities = made(x)
    assert probabilities is None
    torch.testing.assert_close(features, again(x)[0], rtol=0, atol=0)
    assert not torch.equal(features[0], features[1])
    assert features_of(squares(), "auto", device=CPU).name == "classifier"


def test_features_do_not_depend_on_the_precision_of_training() -> None:
    x, made = torch.rand(6, 1, 8, 8), random((1, 8, 8))
    exact = made(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(made(x)[0], exact, rtol=0, atol=0)


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in a file such as torch-fidelity publishes."""
    published = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        network = published.FeatureExtractorInceptionV3("inception", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


def test_inception_is_that_of_torch_fidelity(inception_file: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    outputs = ["2048", "logits_unbiased"]
    original = FeatureExtractorInceptionV3("original", outputs, str(inception_file))
    pixels = torch.randint(0, 256, (2, 1, 20, 24), dtype=torch.uint8)
    features, logits = original(pixels.expand(-1, 3, -1, -1))
    before = torch.random.get_rng_state()
    made = inception(str(inception_file), channels=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    found, probabilities = made(to_unit(pixels))
    torch.testing.assert_close(found, features)
    assert features.shape == (2, 2048) and probabilities is not None
    torch.testing.assert_close(probabilities, logits.softmax(1))
    assert made.facts["network"] == "inception" and made.facts["resize"] == [299, 299]


def test_what_is_not_inception_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    with pytest.raises(
        ValueError, match=r"metrics.images.weights=\S*none.pth: the file does not exist"
    ):
        inception(str(tmp_path / "none.pth"))
    text = tmp_path / "text.pth"
    text.write_text("no tensors")
    with pytest.raises(ValueError, match="is not a file of tensors"):
        inception(str(text))
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, other)
    with pytest.raises(ValueError, match="does not hold the Inception v3 weights"):
        inception(str(other))
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        inception(None, channels=2)
    with pytest.raises(ValueError, match=r"is for metrics.images.network=inception, not random"):
        features_of(squares(), "random", weights="file", device=CPU)


class _Executed:
    """What a pickle of it executes when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["EXECUTED"],)


def test_a_file_of_weights_cannot_execute_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("EXECUTED", str(tmp_path / "executed"))
    torch.save({"weight": _Executed()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="is not a file of tensors"):
        inception(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "executed").exists()


def test_inception_without_a_network_or_its_package_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(published, "load_state_dict_from_url", unreachable)
    with pytest.raises(ValueError, match=r"cannot be downloaded .*metrics.images.weights=FILE"):
        inception(None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ValueError, match="pip install torch-fidelity"):
        inception(None)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 32), (3, 48, 64)])
def test_the_residual_network_has_the_same_interface(shape: tuple[int, int, int]) -> None:
    network = making.seeded_net(shape, 10, seed=0, residual=True).eval()
    features, logits = network(torch.rand(5, *shape) * 2 - 1)
    assert features.shape == (5, making.DIMENSION) and logits.shape == (5, 10)
    again = making.seeded_net(shape, 10, seed=0, residual=True).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_the_residual_network_learns_real_digits() -> None:
    """From 300 of them, so that a CPU can, and each moved by a pixel: 10% would be guessing."""
    data = digits()
    few = Batch(data.train.x[:300], data.train.y[:300])
    network = making.seeded_net(data.spec.shape, 10, seed=0, residual=True)
    making.train(network, few, device=torch.device("cpu"))
    assert making.accuracy_of(network, data.heldout, device=torch.device("cpu")) > 0.85


@pytest.mark.parametrize("channels", [1, 3])
def test_training_images_are_moved_and_those_in_colour_mirrored(channels: int) -> None:
    """Each result is a window of the padded image, or of its mirror image."""
    x = torch.rand(40, channels, 16, 16)
    moved = augmented(x, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(x, (2,) * 4, mode="reflect")
    mirrored, shifts = 0, set()
    for one, image in zip(moved, padded, strict=True):
        windows = {
            (dy, dx): image[:, dy : dy + 16, dx : dx + 16] for dy in range(5) for dx in range(5)
        }
        plain = {shift for shift, window in windows.items() if torch.equal(window, one)}
        flipped = {shift for shift, window in windows.items() if torch.equal(window.flip(2), one)}
        assert plain or flipped
        mirrored += not plain
        shifts |= plain | flipped
    assert len(shifts) > 15 and (8 < mirrored < 32 if channels == 3 else mirrored == 0)

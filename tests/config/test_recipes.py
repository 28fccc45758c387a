"""Recipes of papers' trainings: each takes 20 steps at a tiny size, with its own constants."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_runner.core import Batch, Dataset, DataSpec
from gan_runner.data.stacked_mnist import stacked_mnist
from gan_runner.metrics.images.stacked_modes import StackedModes, digits_of
from gan_runner.optim.adam import TensorFlowRMSProp
from gan_runner.training.settings import Settings

CHEAP = ("metrics=default", "plots=none", "trainer.precision=fp32", "trainer.accelerate=eager")
SMALL = ("device=cpu", "trainer.batch_size=8", "trainer.num_eval_samples=16")
COLOUR = ("wgan_gp_cifar", "wgan_gp_cifar_labels", "sngan_cifar", "r3gan_cifar")
OTHERS = {
    "dcgan_mnist": ("dataset.download=false", "model.filters=4"),
    "wgan_clip_demo": ("model.width=8",),
    "collapse": (),
}


@pytest.fixture(scope="session")
def few_of_cifar(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Take six images of each class out of the real data."""
    folder = tmp_path_factory.mktemp("cifar")
    with zipfile.ZipFile(shared_data / "cifar10" / "test.zip") as archive:
        by_class: dict[str, list[str]] = {}
        for name in archive.namelist():
            if name.endswith((".jpg", ".jpeg", ".png")):
                by_class.setdefault(Path(name).parent.name, []).append(name)
        for names in by_class.values():
            for name in names[:6]:
                archive.extract(name, folder)
    classes = [path for path in folder.rglob("*") if path.is_dir() and any(path.glob("*.*"))]
    assert len(classes) == 10
    return str(classes[0].parent)


STEPS = 20


def steps_of(engine: Callable[..., Any], *command: str) -> tuple[Settings, dict[str, float]]:
    """Take the steps; return the settings and the last logs."""
    built = engine(*SMALL, *command)
    for _ in range(STEPS):
        (logs,) = built.train_step()
    assert all(torch.isfinite(value) for value in logs.values())
    return built.runs[0].settings, {tag: float(value) for tag, value in logs.items()}


@pytest.mark.parametrize("name", COLOUR)
def test_cifar(engine: Callable[..., Any], few_of_cifar: str, name: str) -> None:
    data = ("dataset=image_folder", f"dataset.path={few_of_cifar}")
    size = ["model.filters=4"] + (["model.generator.filters=4"] if name == "sngan_cifar" else [])
    settings, logs = steps_of(engine, f"experiment={name}", *data, *size, *CHEAP)
    half = 2 if name != "r3gan_cifar" else 1
    assert settings.generator_batch_multiple == half
    assert settings.dequantize == (name != "r3gan_cifar")
    assert settings.horizontal_flips == (name == "r3gan_cifar")
    steps = {"r3gan_cifar": 39063, "sngan_cifar": 50000}.get(name, 100000)
    assert settings.steps == steps
    if name != "r3gan_cifar":
        assert logs["lr/critic"] == pytest.approx(2e-4 * (1 - (STEPS - 1) / steps), rel=1e-6)
    assert ("loss/classification" in logs) == name.endswith("labels")


@pytest.mark.parametrize("name", OTHERS)
def test_others(engine: Callable[..., Any], shared_data: Path, name: str) -> None:
    steps_of(engine, f"experiment={name}", *OTHERS[name], *CHEAP)


def test_stacked_mnist(engine: Callable[..., Any], shared_data: Path) -> None:
    """Its metric has a test of its own, so that the classifier is trained once."""
    small = ("dataset.n_samples=64", "dataset.n_heldout=16", "dataset.image_size=8")
    more = ("dataset.download=false", "model.filters=4", *CHEAP)
    settings, _ = steps_of(engine, "experiment=stacked_mnist", *small, *more)
    assert settings.steps == 20000


def test_stacks_hold_the_digits_of_their_label(shared_data: Path) -> None:
    data = stacked_mnist(
        root=str(shared_data), download=False, image_size=8, n_samples=300, n_heldout=50
    )
    assert data.spec.shape == (3, 8, 8) and data.spec.n_classes == 1000
    apart = digits_of(data)
    assert apart.train.x.shape == (900, 1, 8, 8) and apart.spec.n_classes == 10
    assert torch.equal(apart.train.x[3:6, 0], data.train.x[1])
    digits = apart.train.y[3:6]
    assert data.train.y[1] == 100 * digits[0] + 10 * digits[1] + digits[2]
    means = [apart.train.x[apart.train.y == k].float().mean() for k in (0, 1)]
    assert means[0] > 1.5 * means[1]  # a zero has more ink than a one


def test_modes_of_stacks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of brightness for the classifier: two numbers, 123 three times and 7 once."""
    from eval_contexts import context_of, snapshot_of

    from gan_runner.metrics.images import stacked_modes

    class Brightness:
        facts: dict[str, Any] = {"network": "brightness"}  # noqa: RUF012

        def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            digit = ((x[:, 0, 0, 0] + 1) * 5).round().long()
            return x.flatten(1), torch.nn.functional.one_hot(digit, 10).float()

    monkeypatch.setattr(stacked_modes, "classifier", lambda digits, *, device: Brightness())
    x = torch.tensor([[1.0, 2, 3], [1, 2, 3], [0, 0, 7], [1, 2, 3]])[:, :, None, None] / 5 - 1
    batch = Batch(x.expand(-1, -1, 2, 2), torch.tensor([123, 123, 7, 123]))
    spec = DataSpec("stacked_mnist", (3, 2, 2), n_classes=1000)
    context = context_of(batch.x, y=batch.y, train=batch, spec=spec)
    metric = StackedModes(context)
    values = metric(snapshot_of(context, batch.x))
    assert values["modes/touched"] == 2
    expected = 0.75 * torch.log(torch.tensor(750.0)) + 0.25 * torch.log(torch.tensor(250.0))
    assert values["modes/reverse_kl"] == pytest.approx(expected.item(), rel=1e-5)
    assert metric.provenance["modes/touched"]["real"] == 2
    other = context_of(batch.x, spec=DataSpec("digits", (3, 2, 2)))
    assert not StackedModes(other).provenance
    assert isinstance(context.dataset, Dataset)


PUBLISHED_RATES = {"ns_gan": 2e-4, "lsgan": 1e-4, "wgan": 5e-5, "wgan_gp": 1e-4}


@pytest.mark.parametrize("objective", PUBLISHED_RATES)
@pytest.mark.parametrize("recipe", ["figure2", "figure2_small"])
def test_figure_2_trains_at_the_published_rates(
    engine: Callable[..., Any], recipe: str, objective: str
) -> None:
    """The constants of gan_64x64.py; the small figure's rates are five times those."""
    data = ("dataset=digits", "~dataset.image_size", "model=mlp_generator", "metrics=none")
    built = engine(f"experiment={recipe}", *data, f"objective={objective}", *SMALL[:1])
    factor = 5 if recipe == "figure2_small" else 1
    for optimizer in built.optimizers.values():
        group = optimizer.param_groups[0]
        assert group["lr"] == pytest.approx(factor * PUBLISHED_RATES[objective])
        if objective in ("lsgan", "wgan"):
            is_theirs = isinstance(optimizer, TensorFlowRMSProp)
            assert is_theirs == (recipe == "figure2")
            form = (0.9, 1e-10) if is_theirs else (0.99, 1e-8)
            assert (group["alpha"], group["eps"]) == form
        else:
            assert isinstance(optimizer, torch.optim.Adam)

"""gan-sample's files for other programs, rows of interpolations, grids of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image

from gan_runner.builder import build
from gan_runner.commands.sample import _classes, draw, draw_rows, draw_with_classes, main
from gan_runner.core import Latent
from gan_runner.runs.sample_files import as_pixels, read_samples, write_npz, write_pngs
from gan_runner.training.loop import fit


@pytest.mark.parametrize("channels", [1, 3])
def test_files_hold_the_pixels(tmp_path: Path, channels: int) -> None:
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (7, channels, 5, 4)).astype(np.float32)
    pixels = as_pixels(x)
    assert pixels.shape == (7, 5, 4, channels) and pixels.min() == 0 and pixels.max() == 255
    write_npz(x, tmp_path / "x.npz")
    write_pngs(x, tmp_path / "pngs")
    assert (np.load(tmp_path / "x.npz")["samples"] == x).all()
    for path in (tmp_path / "x.npz", tmp_path / "pngs"):
        assert (read_samples(path) == pixels.transpose(0, 3, 1, 2)).all()
    with Image.open(tmp_path / "pngs" / "000003.png") as image:
        assert image.mode == ("L" if channels == 1 else "RGB") and image.size == (4, 5)
    with pytest.raises(ValueError, match="already contains files"):
        write_pngs(x, tmp_path / "pngs")
    with pytest.raises(ValueError, match="not grey or RGB images"):
        write_pngs(x[:, :, 0, 0], tmp_path / "points")


def test_a_folder_of_classes_is_read_class_by_class(tmp_path: Path) -> None:
    for k, name in enumerate(("b/1.png", "a/0.png", "a/2.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), k).save(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert read_samples(tmp_path)[:, 0, 0, 0].tolist() == [1, 2, 0]
    Image.new("L", (4, 4), 9).save(tmp_path / "own.png")
    assert read_samples(tmp_path)[:, 0, 0, 0].tolist() == [9]


@pytest.mark.parametrize("out", ["s_%04d.png", "s_%d.npz", "s_{i}.png"])
def test_a_pattern_is_not_a_name(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--out", out])
    assert f"--out {out}: is a pattern; write FOLDER/ for a PNG" in capsys.readouterr().err


def test_files_of_others_are_checked(tmp_path: Path) -> None:
    def refused(words: str, **arrays: np.ndarray) -> None:
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(ValueError, match=words):
            read_samples(tmp_path / "x.npz")

    refused("has no array arr_0 or samples", a=np.zeros(3), b=np.zeros(3))
    refused(r"shape \(3,\)", samples=np.zeros(3))
    refused("is int64", arr_0=np.zeros((2, 4, 4, 1), np.int64))
    refused("not finite", samples=np.full((2, 2), np.nan))
    refused("up to 9; should be in", samples=np.full((2, 1, 4, 4), 9.0))
    refused("Object arrays", samples=np.array([{}], dtype=object))  # never unpickled
    images = tmp_path / "images"
    images.mkdir()
    with pytest.raises(ValueError, match="contains no images"):
        read_samples(images)
    Image.new("L", (4, 4)).save(images / "a.png")
    Image.new("L", (5, 4)).save(images / "b.png")
    with pytest.raises(ValueError, match=r"differ in size .*4x4, and b\.png 5x4"):
        read_samples(images)
    (images / "b.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b\.png is not readable"):
        read_samples(images)


def trained(config: Callable[..., DictConfig], folder: Path, *overrides: str) -> Path:
    cfg = config("dataset=digits", "model=mlp", "model.width=8", "trainer.steps=1", "device=cpu",
                 "metrics=none", "plots=none", "trainer.precision=fp32", *overrides)  # fmt: skip
    fit(build(cfg), folder)
    return folder


def test_interpolations_begin_and_end_at_samples(
    config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    run = trained(config, tmp_path / "run", "objective=gan")
    rows, columns = draw_rows(run, 3, grid=False, seed=4, device="cpu")
    samples = draw(run, 6, seed=4, device="cpu")
    assert rows.shape == (30, 1, 8, 8) and columns == 10
    np.testing.assert_allclose(rows[0::10], samples[0::2], atol=1e-5)
    np.testing.assert_allclose(rows[9::10], samples[1::2], atol=1e-5)
    with pytest.raises(ValueError, match="neither labels nor codes"):
        draw_rows(run, 3, grid=True, device="cpu")


def test_a_grid_has_a_column_for_each_class(
    config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    run = trained(config, tmp_path / "run", "objective=cgan")
    rows, columns = draw_rows(run, 2, grid=True, seed=4, device="cpu")
    assert rows.shape == (20, 1, 8, 8) and columns == 10
    for label in (0, 7):
        first = draw(run, 1, seed=4, label=label, device="cpu")
        np.testing.assert_allclose(rows[label], first[0], atol=1e-5)
    assert np.abs(rows[0] - rows[1]).max() > 0


def test_a_grid_has_a_column_for_each_code(
    config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    run = trained(config, tmp_path / "run", "objective=infogan")
    rows, columns = draw_rows(run, 2, grid=True, seed=4, device="cpu")
    assert columns == 10 and len(rows) == 20
    first = draw(run, 1, seed=4, code=3, device="cpu")
    np.testing.assert_allclose(rows[3], first[0], atol=1e-5)


def test_points_are_drawn_by_class_and_as_paths(
    config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """Labels, or InfoGAN's codes; pictures of samples, of a grid, and of rows between samples."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "p.npz", x=rng.standard_normal((200, 2)), y=np.arange(200) % 3)
    own = ("dataset=points", f"dataset.path={tmp_path / 'p.npz'}", "objective=cgan")
    run = trained(config, tmp_path / "run", *own)
    drawn = draw_with_classes(run, 8, device="cpu")
    np.testing.assert_array_equal(drawn.classes, [0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(drawn.samples, draw(run, 8, device="cpu"))
    only = draw_with_classes(run, 2, label=2, device="cpu")
    np.testing.assert_array_equal(only.classes, [2, 2])
    pictures = {}
    for name, words in {"a": [], "b": ["--grid"], "c": ["--interpolate"]}.items():
        main(
            [str(run), *words, "--count", "9", "--device", "cpu", "--out", f"{tmp_path}/{name}.png"]
        )
        pictures[name] = np.asarray(Image.open(tmp_path / f"{name}.png")).reshape(-1, 3)
    greens = {
        name: (np.abs(p - (44, 160, 44)).max(axis=1) < 3).sum() for name, p in pictures.items()
    }
    assert greens["a"] > 10 and greens["b"] > 10 and greens["c"] == 0  # class 2 of 0, 1, 2


def test_codes_of_noise_are_classes() -> None:
    z = torch.tensor([[0.0, 1, 0, 5], [0, 0, 1, 9], [1, 0, 0, 9]])
    assert _classes(Latent(z), codes=0) == []
    np.testing.assert_array_equal(_classes(Latent(z), codes=3)[0], [1, 2, 0])

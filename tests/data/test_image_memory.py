"""Images of a folder or a zip, all together: as much memory as there is and as their files explain."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_runner.data import image_folder as module
from gan_runner.data.image_folder import image_folder
from gan_runner.runs import memory
from gan_runner.runs.sample_files import read_samples

SIDE = 400


def empty_image(mode: str = "1", side: int = SIDE, kind: str = "png") -> bytes:
    content = io.BytesIO()
    Image.new(mode, (side, side)).save(content, kind)
    return content.getvalue()


def folder_of(folder: Path, contents: list[bytes]) -> str:
    folder.mkdir()
    for k, content in enumerate(contents):
        (folder / f"{k:03d}.png").write_bytes(content)
    return str(folder)


def zip_of(file: Path, contents: list[bytes]) -> str:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for k, content in enumerate(contents):
            archive.writestr(f"{k:03d}.png", content)
    return str(file)


@pytest.mark.parametrize("pack", [folder_of, zip_of])
@pytest.mark.parametrize(("mode", "kind"), [("1", "png"), ("L", "webp"), ("P", "gif"), ("RGB", "png")])  # fmt: skip
def test_small_files_that_become_large_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: type, mode: str, kind: str
) -> None:
    path = pack(tmp_path / "x", [empty_image(mode, kind=kind)] * 150)
    image_folder(path=path)  # below the limit of all files
    monkeypatch.setattr(memory, "_ALWAYS", 2 * SIDE**2)
    decoded, fit = [], module._fit
    monkeypatch.setattr(module, "_fit", lambda *image: decoded.append(image) or fit(*image))
    with pytest.raises(ValueError, match="100 times their files; set dataset") as error:
        image_folder(path=path)
    assert str(error.value).startswith(f"dataset.path={path}: its images take 0.0 GiB or more")
    assert len(decoded) < 100
    assert image_folder(path=path, image_size=8).spec.shape[1:] == (8, 8)


def test_members_that_only_the_zip_compresses_count_as_the_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zip_of(tmp_path / "x.zip", [empty_image("L", kind="bmp")] * 40)
    monkeypatch.setattr(memory, "_ALWAYS", SIDE**2)
    with pytest.raises(ValueError, match="100 times their files"):
        image_folder(path=path)


def test_photographs_are_as_large_as_their_files_explain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_ALWAYS", 0)
    random = np.random.default_rng(0)
    (tmp_path / "x").mkdir()
    for k in range(4):
        pixels = random.integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(pixels).resize((90, 90)).save(tmp_path / "x" / f"{k}.jpg")
    assert image_folder(path=str(tmp_path / "x")).spec.shape == (3, 90, 90)


@pytest.mark.parametrize("size", [None, 300])
def test_more_than_the_free_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    """Files that are not images do not count."""
    path = folder_of(tmp_path / "x", [b"text"] * 5 + [empty_image()] * 5)
    table = 5 * (size or SIDE) ** 2
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * table)
    with pytest.warns(UserWarning, match="skipped"):
        image_folder(path=path, image_size=size, on_bad_file="skip")
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * table - 1)
    words = r"images take 0.0 GiB while they are decoded, and 0.0 are free; set dataset.image_size="
    with pytest.raises(ValueError, match=words):
        image_folder(path=path, image_size=size, on_bad_file="skip")


def test_images_of_other_sizes_are_not_kept(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "x", [empty_image(side=8)] + [empty_image(side=2000)] * 10)
    with pytest.raises(ValueError, match=r"not square and of one size \(8x8, 2000x2000\)"):
        image_folder(path=path)


def test_a_folder_of_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(folder_of(tmp_path / "x", [empty_image()] * 10))
    assert read_samples(folder).shape == (10, 1, SIDE, SIDE)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="100 times their files"):
        patch.setattr(memory, "_ALWAYS", SIDE**2)
        read_samples(folder)
    monkeypatch.setattr(memory, "free_memory", lambda: SIDE**2)
    with pytest.raises(ValueError, match="are free; keep fewer"):
        read_samples(folder)

"""Image data sets: digits, torchvision's files, directories and zips."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from gan_runner.data.digits import digits
from gan_runner.data.image_folder import image_folder
from gan_runner.data.torchvision import cifar10, mnist


def test_digits_are_scikit_learns() -> None:
    data = digits(heldout=0.2)
    assert data.spec.shape == (1, 8, 8) and data.spec.n_classes == 10
    assert (len(data.train.x), len(data.heldout.x)) == (1438, 359)
    table = load_digits()
    x = torch.cat([data.train.x, data.heldout.x]).flatten(1).float() * (16 / 255)
    ours = {(tuple(row), int(label)) for row, label in zip(
        x.round().int().tolist(), torch.cat([data.train.y, data.heldout.y]), strict=True)}  # fmt: skip
    theirs = {(tuple(row), int(label)) for row, label in zip(
        table.data.astype(int).tolist(), table.target, strict=True)}  # fmt: skip
    assert ours == theirs
    assert data.train.x.min() == 0 and data.train.x.max() == 255


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def test_mnist_files(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    for part, n in (("train", 5), ("t10k", 2)):
        write_idx(raw / f"{part}-images-idx3-ubyte", images[:n])
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8))
    data = mnist(root=str(tmp_path), download=False)
    assert (data.train.x[:, 0].numpy() == images).all()
    assert data.heldout.y.tolist() == [0, 1] and data.spec.n_classes == 10


def test_images_of_another_size(tmp_path: Path) -> None:
    """Antialiased: half the size is nearly the mean of 2x2 pixels, and brightness stays."""
    raw = tmp_path / "MNIST" / "raw"
    images = np.zeros((2, 28, 28), dtype=np.uint8)
    images[0, :, 14:], images[1] = 200, 80
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(2, dtype=np.uint8))
    data = mnist(root=str(tmp_path), download=False, image_size=14)
    assert data.spec.shape == data.heldout.x.shape[1:] == (1, 14, 14)
    rows = data.train.x[0, 0].tolist()
    assert all(row[:6] == [0] * 6 and row[8:] == [200] * 6 for row in rows)
    assert (data.train.x[1] == 80).all()


def test_a_read_only_folder_is_enough(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte", np.zeros((3, 28, 28), dtype=np.uint8))
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.zeros(3, dtype=np.uint8))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for path in (raw, raw.parent, tmp_path):
        path.chmod(0o555)
    try:
        mnist(root=str(tmp_path), download=True)
    finally:
        for path in (tmp_path, raw.parent, raw):
            path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_missing_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset=mnist.*dataset\.root=.*dataset\.download=true"):
        mnist(root=str(tmp_path), download=False)


def test_a_download_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    with pytest.raises(ValueError, match="without a network, copy the files"):
        cifar10(root=str(tmp_path), download=True)


def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match=r"dataset=mnist: no usable files"):
        mnist(root=str(tmp_path / "mine" / "data"))
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_real_mnist(shared_data: Path) -> None:
    data = mnist(root=str(shared_data), download=False)
    assert data.train.x.shape == (60_000, 1, 28, 28) and data.heldout.x.shape == (10_000, 1, 28, 28)
    # the well-known mean and deviation of the training pixels
    pixels = data.train.x.float() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert pixels.std().item() == pytest.approx(0.3081, abs=1e-4)
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]


def picture(
    path: Path, colour: object, *, size: tuple[int, int] = (8, 8), mode: str = "RGB"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def as_zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(4):
        picture(tmp_path / "images" / "red" / f"{i}.png", (255, 0, 0))
        picture(tmp_path / "images" / "blue" / f"{i}.png", (0, 0, 255))
    return tmp_path / "images"


@pytest.mark.parametrize("packed", [False, True])
def test_class_folders(folder: Path, tmp_path: Path, packed: bool) -> None:
    path = as_zip(folder, tmp_path / "images.zip") if packed else folder
    data = image_folder(path=str(path), heldout=0.25)
    assert data.spec.shape == (3, 8, 8) and data.spec.n_classes == 2
    assert (len(data.train.x), len(data.heldout.x)) == (6, 2)
    for batch in (data.train, data.heldout):  # blue is class 0, red is class 1
        assert (batch.x[:, 0, 0, 0] == 255 * batch.y).all()
        assert (batch.x[:, 2, 0, 0] == 255 * (1 - batch.y)).all()


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_around_the_classes_is_none(folder: Path, tmp_path: Path, packed: bool) -> None:
    """As `zip -r data.zip data` leaves it."""
    (tmp_path / "outer").mkdir()
    folder.rename(tmp_path / "outer" / "data")
    path = as_zip(tmp_path / "outer", tmp_path / "data.zip") if packed else tmp_path / "outer"
    assert image_folder(path=str(path)).spec.n_classes == 2


def test_folders_that_are_links(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("red", "blue"):
        (linked / name).symlink_to(folder / name)
    (linked / "red" / "circle").symlink_to(linked)
    data = image_folder(path=str(linked))
    assert data.spec.n_classes == 2 and len(data.train.x) + len(data.heldout.x) == 8


def test_splits_are_no_classes(folder: Path) -> None:
    (folder / "red").rename(folder / "train")
    (folder / "blue").rename(folder / "val")
    with pytest.warns(UserWarning, match="train and val, which look like splits"):
        image_folder(path=str(folder))


def test_without_class_folders(folder: Path) -> None:
    picture(folder / "loose.png", (0, 255, 0))
    assert image_folder(path=str(folder)).train.y is None
    assert image_folder(path=str(folder / "red")).train.y is None


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.png", 100 + i, mode="L")
    assert image_folder(path=str(tmp_path)).spec.shape == (1, 8, 8)
    assert image_folder(path=str(tmp_path), channels=3).spec.shape == (3, 8, 8)
    Image.fromarray(np.full((8, 8), 256 * 77 + 5, dtype=np.uint16)).save(tmp_path / "deep.png")
    data = image_folder(path=str(tmp_path))
    values = {int(v) for part in (data.train, data.heldout) for v in part.x[:, 0, 0, 0]}
    assert values == {77, 100, 101, 102}  # 16-bit grey is scaled, not clipped


def test_deep_pixels_keep_their_upper_bits(tmp_path: Path) -> None:
    """PIL reads a 16-bit PGM as 32-bit integers; where white is not known, none is made up."""
    for i, value in enumerate((256 * 7 + 200, 256 * 99)):
        row = np.full(64, value, dtype=">u2").tobytes()
        (tmp_path / f"{i}.pgm").write_bytes(b"P5 8 8 65535\n" + row)
    data = image_folder(path=str(tmp_path))
    assert {int(b.x[0, 0, 0, 0]) for b in (data.train, data.heldout)} == {7, 99}
    for name, kind in (("float.tif", np.float32), ("long.tif", np.int32)):
        Image.fromarray(np.ones((8, 8), dtype=kind)).save(tmp_path / name)
    with pytest.raises(
        ValueError, match=r"float\.tif \(float or 32-bit pixels.*long\.tif \(float or"
    ):
        image_folder(path=str(tmp_path))


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    """Not the colour that hides there; and grey stays grey."""
    picture(tmp_path / "rgb" / "0.png", (200, 0, 0, 0), mode="RGBA")
    picture(tmp_path / "rgb" / "1.png", (200, 0, 0, 51), mode="RGBA")
    data = image_folder(path=str(tmp_path / "rgb"))
    seen = {tuple(b.x[0, :, 0, 0].tolist()) for b in (data.train, data.heldout)}
    assert seen == {(255, 255, 255), (244, 204, 204)}  # 0.2 * 200 + 0.8 * 255, and 0.8 * 255
    for i, alpha in enumerate((0, 255)):
        picture(tmp_path / "grey" / f"{i}.png", (100, alpha), mode="LA")
    data = image_folder(path=str(tmp_path / "grey"))
    assert {int(b.x[0, 0, 0, 0]) for b in (data.train, data.heldout)} == {255, 100}
    assert data.spec.shape == (1, 8, 8)


def test_resizing_crops_the_centre(tmp_path: Path) -> None:
    for i in range(2):
        image = Image.new("RGB", (32, 16), (255, 0, 0))
        image.paste((0, 255, 0), (8, 0, 24, 16))  # the middle square
        image.save(tmp_path / f"{i}.png")
    data = image_folder(path=str(tmp_path), image_size=8)
    assert data.spec.shape == (3, 8, 8)
    assert data.train.x[0, :, 4, 4].tolist() == [0, 255, 0]
    assert data.train.x[0, 1, :, 1:-1].min() > 240  # all green but for the edge's antialiasing
    with pytest.raises(ValueError, match=r"\(32x16\); set dataset\.image_size=PIXELS"):
        image_folder(path=str(tmp_path))


@pytest.mark.parametrize("packed", [False, True])
def test_bad_files_are_named_then_refused_or_skipped(
    folder: Path, tmp_path: Path, packed: bool
) -> None:
    whole = (folder / "red" / "0.png").read_bytes()
    (folder / "red" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("not an image")
    (folder / ".DS_Store").write_text("clutter is nobody's data")
    path = str(as_zip(folder, tmp_path / "images.zip") if packed else folder)
    with pytest.raises(ValueError, match=r"notes\.txt .*red/truncated\.png .*on_bad_file=skip"):
        image_folder(path=path)
    with pytest.warns(UserWarning, match=r"notes\.txt .*red/truncated\.png .*skipped"):
        data = image_folder(path=path, on_bad_file="skip")
    assert len(data.train.x) + len(data.heldout.x) == 8
    assert data.spec.n_classes == 2


@pytest.mark.parametrize("packed", [False, True])
def test_folders_of_file_servers_are_not_classes(
    folder: Path, tmp_path: Path, packed: bool
) -> None:
    image = (folder / "red" / "0.png").read_bytes()
    servers = ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
    for name in (*servers, ".ipynb_checkpoints", "red/@eaDir", "__MACOSX"):
        (folder / name).mkdir()
        (folder / name / "0.png").write_bytes(image)
    (folder / "red" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    data = image_folder(path=str(as_zip(folder, tmp_path / "images.zip") if packed else folder))
    assert len(data.train.x) + len(data.heldout.x) == 8
    assert data.spec.n_classes == 2


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_archive(folder: Path, tmp_path: Path, method: int) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
        place = archive.getinfo("red/2.png").header_offset + 30 + len("red/2.png") + 20
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes(8) + whole[place + 8 :])
    with pytest.raises(ValueError, match=r"red/2\.png .*on_bad_file=skip"):
        image_folder(path=str(path))
    with pytest.warns(UserWarning, match=r"red/2\.png"):
        assert len(image_folder(path=str(path), on_bad_file="skip").train.x) > 0


def test_an_archive_cannot_escape(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../../evil.png", "/tmp/evil.png", "good/a.png"):
            archive.writestr(name, (folder / "red" / "0.png").read_bytes())
    before = set(tmp_path.parent.rglob("evil*"))
    image_folder(path=str(path))
    assert set(tmp_path.parent.rglob("evil*")) == before and not Path("/tmp/evil.png").exists()


def test_photographs_stand_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 8, 4))  # the upper half is blue
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    for i in range(2):
        image.save(tmp_path / f"{i}.png", exif=exif)
    x = image_folder(path=str(tmp_path)).train.x[0]
    assert x[2, :, 4:].min() == 255 and x[0, :, :4].min() == 255  # blue is now on the right


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 0 images"):
        image_folder(path=str(tmp_path))
    with pytest.raises(ValueError, match="does not exist"):
        image_folder(path=str(tmp_path / "nowhere"))
    file = tmp_path / "file.gz"
    file.write_bytes(gzip.compress(b"x"))
    with pytest.raises(ValueError, match="neither a directory nor a zip"):
        image_folder(path=str(file))


def test_real_cifar10(shared_data: Path) -> None:
    data = image_folder(path=str(shared_data / "cifar10" / "test.zip"), heldout=0.1)
    assert data.spec.shape == (3, 32, 32) and data.spec.n_classes == 10
    assert (len(data.train.x), len(data.heldout.x)) == (9000, 1000)
    assert torch.bincount(torch.cat([data.train.y, data.heldout.y])).tolist() == [1000] * 10
    # CIFAR-10's channel means are .4942, .4851, .4504 on its test split; JPEG barely moves them
    means = data.train.x.float().mean(dim=(0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.494, 0.485, 0.450], abs=0.01)

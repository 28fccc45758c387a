"""Decoded once: the cache gives the same data, notices changes, and survives damage and company."""

from __future__ import annotations

import io
import multiprocessing
import os
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_runner.data import image_folder as module
from gan_runner.data.cache import Table, cached
from gan_runner.data.cache import _write as write_table
from gan_runner.data.image_folder import image_folder

N = 12


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve grey images of two classes, each of one level."""
    root = tmp_path / "images"
    for k in range(N):
        target = root / ("even", "odd")[k % 2] / f"{k}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * k, np.uint8)).save(target)
    return root


def load(path: Path, cache: Path | None, **options: object) -> tuple[torch.Tensor, ...]:
    data = image_folder(
        path=str(path), heldout=0.25, cache=None if cache is None else str(cache), **options
    )
    return data.train.x, data.train.y, data.heldout.x, data.heldout.y


def equal(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.*"))


def test_cached_equals_decoded(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, plain = tmp_path / "cache", load(images, None)
    assert equal(load(images, cache), plain)
    assert [p.suffix for p in files(cache)] == [".safetensors"]
    monkeypatch.setattr(module, "_decode", lambda *_: pytest.fail("decoded again"))
    found = load(images, cache)
    assert equal(found, plain)
    # one mapped file: the training split is a window on it, not a copy
    assert found[0].untyped_storage().nbytes() > found[0].nbytes
    data = image_folder(path=str(images), heldout=0.25, cache=str(cache))
    assert data.spec.n_classes == 2 and data.spec.shape == (1, 8, 8)


@pytest.mark.parametrize("packed", [False, True])
def test_a_changed_pixel_is_noticed(images: Path, tmp_path: Path, packed: bool) -> None:
    cache, path = tmp_path / "cache", images

    def pack() -> Path:
        if not packed:
            return images
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            for file in sorted(images.rglob("*.png")):
                archive.write(file, file.relative_to(images))
        return tmp_path / "images.zip"

    path = pack()
    before = load(path, cache)
    one = images / "odd" / "3.png"
    stat = one.stat()
    Image.fromarray(np.full((8, 8), 61, np.uint8)).save(one)  # was 60: same size of file
    os.utime(one, (stat.st_atime, stat.st_mtime))
    after = load(pack(), cache)
    levels = [set(x[:, 0, 0, 0].tolist()) for x in (torch.cat(before[::2]), torch.cat(after[::2]))]
    assert levels[0] - levels[1] == {60} and levels[1] - levels[0] == {61}
    assert len(files(cache)) == 2


def test_what_decoding_depends_on_has_its_own_table(images: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load(images, cache)
    assert load(images, cache, image_size=4)[0].shape[2:] == (4, 4)
    assert load(images, cache, channels=3)[0].shape[1] == 3
    assert len(files(cache)) == 3


def test_bad_files_are_named_every_time(images: Path, tmp_path: Path) -> None:
    (images / "odd" / "notes.txt").write_text("no image")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"notes\.txt .*skipped"):
            load(images, tmp_path / "cache", on_bad_file="skip")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        load(images, tmp_path / "cache", on_bad_file="refuse")


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_file_is_made_anew(images: Path, tmp_path: Path, damage: bytes | None) -> None:
    cache, plain = tmp_path / "cache", load(images, None)
    load(images, cache)
    (file,) = files(cache)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.warns(UserWarning, match="is not a usable table of images; it is made anew"):
        assert equal(load(images, cache), plain)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("place", [-1, -100])
def test_a_flipped_bit_of_a_table_is_noticed(images: Path, tmp_path: Path, place: int) -> None:
    """The last byte is one of a label's or a pixel's, whichever stands last in the file."""
    cache, plain = tmp_path / "cache", load(images, None)
    load(images, cache)
    (file,) = files(cache)
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="is made anew"):
        assert equal(load(images, cache), plain)


FORGED: dict[str, Callable[[Table], Table]] = {
    "floats": lambda t: t._replace(x=t.x.float()),
    "no images": lambda t: t._replace(x=t.x[:, 0]),
    "two channels": lambda t: t._replace(x=t.x.expand(-1, 2, -1, -1)),
    "not square": lambda t: t._replace(x=t.x[..., :4]),
    "another size": lambda t: t._replace(x=t.x[..., :4, :4]),
    "few labels": lambda t: t._replace(y=t.y[:3]),
    "no labels": lambda t: t._replace(y=None),
    "an unknown label": lambda t: t._replace(y=t.y + 1),
    "a negative label": lambda t: t._replace(y=t.y - 1),
    "labels of 32 bits": lambda t: t._replace(y=t.y.int()),
    "no training set": lambda t: t._replace(facts={**t.facts, "n_train": 0}),
    "no held-out set": lambda t: t._replace(facts={**t.facts, "n_train": N}),
    "no number": lambda t: t._replace(facts={**t.facts, "n_train": "9"}),
    "unnamed classes": lambda t: t._replace(facts={**t.facts, "classes": [1, 2]}),
    "a list of bad files": lambda t: t._replace(facts={**t.facts, "bad": []}),
    "no facts": lambda t: t._replace(facts={}),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_table_that_does_not_fit_is_made_anew(
    how: str, images: Path, tmp_path: Path
) -> None:
    """Its hash is right: it is of the file's own contents, which anybody can compute."""
    cache = tmp_path / "cache"
    plain = load(images, None, image_size=8)
    load(images, cache, image_size=8)
    (file,) = files(cache)
    table = cached(file, lambda: pytest.fail("made again"))
    write_table(file, FORGED[how](Table(table.x.clone(), table.y.clone(), table.facts)))
    with pytest.warns(UserWarning, match="is not a usable table of images; it is made anew"):
        assert equal(load(images, cache, image_size=8), plain)


def test_archives_of_equal_checksums_have_tables_of_their_own(tmp_path: Path) -> None:
    """Of equal names, sizes and CRC-32: four bytes behind the end of a PNG reach any checksum."""
    target = 0x1234ABCD
    for name, level in (("dark", 0), ("bright", 255)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for k in range(4):
                content = io.BytesIO()
                image = Image.fromarray(np.full((8, 8), level, np.uint8))
                image.save(content, "png", compress_level=0)
                archive.writestr(f"{k}.png", with_checksum(content.getvalue(), target))
    archives = [zipfile.ZipFile(tmp_path / f"{name}.zip") for name in ("dark", "bright")]
    facts = [{(i.filename, i.CRC, i.file_size) for i in a.infolist()} for a in archives]
    assert facts[0] == facts[1] and {crc for _, crc, _ in facts[0]} == {target}
    for name, level in (("dark", 0), ("bright", 255)):
        data = image_folder(path=str(tmp_path / f"{name}.zip"), cache=str(tmp_path / "cache"))
        assert set(data.train.x.flatten().tolist()) == {level}


def with_checksum(content: bytes, target: int) -> bytes:
    """Append four bytes, so that the CRC-32 is `target`: the register is run backwards."""
    # zlib's table: the register after one byte of a message that begins with the register 0.
    steps = [zlib.crc32(bytes([k]), 0xFFFFFFFF) ^ 0xFFFFFFFF for k in range(256)]
    by_top = {step >> 24: k for k, step in enumerate(steps)}
    register = target ^ 0xFFFFFFFF
    for _ in range(4):
        k = by_top[register >> 24]
        register = ((register ^ steps[k]) << 8 & 0xFFFFFFFF) | k
    end = content + (register ^ zlib.crc32(content) ^ 0xFFFFFFFF).to_bytes(4, "little")
    assert zlib.crc32(end) == target
    return end


def test_a_cache_that_cannot_be_written_costs_a_warning(images: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not cached"):
        assert equal(load(images, tmp_path / "cache"), load(images, None))


def _load_at(start: float, images: Path, cache: Path) -> bool:
    time.sleep(max(0.0, start - time.time()))
    return equal(load(images, cache), load(images, None))


def test_several_at_once(images: Path, tmp_path: Path) -> None:
    start = time.time() + 0.3
    with multiprocessing.get_context("fork").Pool(4) as pool:
        jobs = [(start, images, tmp_path / "cache")] * 8
        assert pool.starmap(_load_at, jobs) == [True] * 8
    assert [p.suffix for p in files(tmp_path / "cache")] == [".safetensors"]

"""Arrays from files: the size is checked before anything is unpacked."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gan_runner.data.points import points
from gan_runner.runs import arrays
from gan_runner.runs.arrays import read_npy, read_npz
from gan_runner.runs.sample_files import read_samples


def first(path: Path) -> np.ndarray:
    """The only array of an .npz file."""
    return next(iter(read_npz(path, list).values()))


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    for x in (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
              np.zeros((0, 4), np.float16), np.array(3)):  # fmt: skip
        np.save(tmp_path / "x.npy", x)
        np.savez(tmp_path / "x.npz", x=x)
        np.savez_compressed(tmp_path / "y.npz", x=x)
        for read in (
            read_npy(tmp_path / "x.npy"),
            first(tmp_path / "x.npz"),
            first(tmp_path / "y.npz"),
        ):
            assert read.dtype == x.dtype and read.shape == x.shape and (read == x).all()


def bomb(
    path: Path, size: int, header: tuple[int, ...], method: int = zipfile.ZIP_DEFLATED
) -> None:
    """An .npz whose only member unpacks to `size` bytes of zeros behind a header of uint8."""
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("samples.npy", "w") as file:
        fields = {"descr": "|u1", "fortran_order": False, "shape": header}
        np.lib.format.write_array_header_1_0(file, fields)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


def peak(function: Callable[[], object], words: str) -> int:
    """Bytes that a function allocates at most before it refuses."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words):
            function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    bomb(path, 64 << 20, (1024, 256, 256, 1))
    assert path.stat().st_size < 1 << 17
    words = "268,435,456 bytes; at most"  # as float32
    assert peak(lambda: read_npz(path, list, limit=1 << 20), words) < 1 << 20
    monkeypatch.setattr(arrays, "MAX_UNPACKED", 32 << 20)
    assert peak(lambda: read_samples(path), words) < 1 << 20


def test_a_header_of_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    bomb(path, 1 << 20, (30, 1024, 1024, 1))
    for read in (lambda: read_samples(path), lambda: points(path=str(path))):
        assert (
            peak(read, r"x\.npz: array \w+: is cut off: its array takes 31,457,280 bytes") < 1 << 20
        )
    bomb(path, 1 << 20, (33, 1024, 1024, 1))
    for read in (lambda: read_samples(path), lambda: points(path=str(path))):
        assert (
            peak(read, r"x\.npz: array \w+: the array takes 138,412,032 bytes; at most 134,217,728")
            < 1 << 20
        )


def test_a_large_file_that_is_no_bomb_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MAX_UNPACKED", 1 << 10)
    np.savez(tmp_path / "x.npz", arr_0=np.zeros((64, 16, 16, 1), np.uint8))
    assert read_samples(tmp_path / "x.npz").shape == (64, 1, 16, 16)


def test_all_arrays_of_a_file_count_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((100, 2), np.uint8), y=np.zeros(100, np.int64))
    assert set(read_npz(tmp_path / "x.npz", list, limit=1600)) == {"x", "y"}
    with pytest.raises(ValueError, match="takes 800 bytes; at most 799 are read"):
        read_npz(tmp_path / "x.npz", list, limit=1599)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float16, np.float64])
def test_small_types_become_no_larger_than_the_limit(tmp_path: Path, dtype: type) -> None:
    """Kilobytes that unpack to megabytes; as float64, they would take up to eight times as much."""
    path, x = tmp_path / "x.npz", np.zeros((1_000_000, 2), dtype)
    np.savez_compressed(path, x=x)
    tracemalloc.start()
    data = points(path=str(path))
    assert tracemalloc.get_traced_memory()[1] < x.nbytes + 3 * 4 * x.size + (20 << 20)
    tracemalloc.stop()
    assert (len(data.train.x), len(data.heldout.x)) == (900_000, 100_000)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 2), (2, 3, 4), (0, 1, 2, 3)])
def test_samples_of_no_shape_of_samples(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "x.npz", arr_0=np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"x\.npz: arr_0: has shape"):
        read_samples(tmp_path / "x.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_limit_are_refused(tmp_path: Path, method: int) -> None:
    bomb(tmp_path / "x.npz", 1 << 20, (1, 1024, 1024, 1), method)
    with pytest.raises(ValueError, match="not compressed with Deflate"):
        read_samples(tmp_path / "x.npz")


@pytest.mark.parametrize("shape", [(-1, 4), (-2, -(2**40)), (2**62, 2**62)])
def test_impossible_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    bomb(tmp_path / "x.npz", 1 << 20, shape)
    with pytest.raises(ValueError, match="bytes; at most"):
        read_samples(tmp_path / "x.npz")


def test_damaged_files_never_escape(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.arange(400.0).reshape(200, 2))
    np.save(tmp_path / "x.npy", np.arange(400.0).reshape(200, 2))
    random = np.random.default_rng(0)
    refused = 0
    for name in ("x.npz", "x.npy"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(300):
            damaged = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for place in random.integers(0, len(damaged), 3):
                damaged[place] = random.integers(256)
            path = tmp_path / f"damaged{name[1:]}"
            path.write_bytes(damaged)
            try:
                points(path=str(path))
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error)
            except BaseException as error:
                pytest.fail(f"{type(error).__name__}: {error}")
    assert refused > 300

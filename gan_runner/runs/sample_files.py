"""Files of samples for other programs: a folder of PNGs, or arrays in an .npz."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from gan_runner.runs.arrays import limit_of, read_npz
from gan_runner.runs.images import UNREADABLE, open_image
from gan_runner.runs.memory import free_problem, unpacked_problem

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
PIXELS, SAMPLES = "arr_0", "samples"
_UNPACKED = 20  # times its file that an array above `MAX_UNPACKED` may take


def as_pixels(samples: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) in [-1, 1] as (N, H, W, C) uint8: round(127.5 (x + 1))."""
    pixels = np.empty((len(samples), *samples.shape[2:], samples.shape[1]), dtype=np.uint8)
    for start in range(0, len(samples), 1000):  # without a copy of all samples in float
        part = np.rint((samples[start : start + 1000].clip(-1, 1) + 1) * 127.5)
        pixels[start : start + 1000] = part.transpose(0, 2, 3, 1)
    return pixels


def write_npz(samples: np.ndarray, file: Path | BinaryIO) -> None:
    """Write the array `samples` and, for images, also `arr_0`: uint8 pixels (N, H, W, C)."""
    if samples.ndim == 4:
        np.savez(file, samples=samples, arr_0=as_pixels(samples))
    else:
        np.savez(file, samples=samples)


def write_pngs(samples: np.ndarray, folder: Path) -> None:
    """Write images (N, C, H, W) in [-1, 1] as 000000.png, 000001.png ... into a new folder.

    Raises:
        ValueError: the samples are not images of 1 or 3 channels, or the folder has files.
    """
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        raise ValueError(f"--out {folder}/: samples are not grey or RGB images; choose FILE.npz")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--out {folder}/: already contains files; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(tqdm(as_pixels(samples), "PNGs", leave=False, disable=None)):
        grey = image.shape[2] == 1
        Image.fromarray(image[..., 0] if grey else image).save(folder / f"{k:06d}.png")


def read_samples(path: Path) -> np.ndarray:
    """Read images (N, C, H, W), uint8 or float32 in [-1, 1], or points (N, d) float32.

    Args:
        path: an .npz file or a folder of images. An .npz file has uint8 images (N, H, W, C) as
            `arr_0` or as its only array, or `samples` as gan-sample writes them. A folder has
            images of one size; without any of its own, those of its folders (classes) are read.

    Raises:
        ValueError: there are no such samples in it, or they take more than `arrays.MAX_UNPACKED`
            and 20 times the file.
    """
    array = _folder(path) if path.is_dir() else _npz(path)
    own = np.empty(array.shape, array.dtype)  # strides of one channel decide a convolution's bits
    own[:] = array
    return own


def _npz(path: Path) -> np.ndarray:
    try:
        arrays = read_npz(path, _name_of_samples, limit=limit_of(path, times=_UNPACKED))
        ((name, array),) = arrays.items()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _checked(array, f"{path}: {name}")


def _name_of_samples(names: Sequence[str]) -> list[str]:
    known = [name for name in (PIXELS, SAMPLES) if name in names]
    if not known and len(names) != 1:
        raise ValueError(f"has no array arr_0 or samples (has {', '.join(names)})")
    return known[:1] or list(names)


def _checked(array: np.ndarray, where: str) -> np.ndarray:
    if array.ndim not in (2, 4) or len(array) == 0:
        expected = "(N, H, W, C) uint8, (N, C, H, W) or (N, d) float"
        raise ValueError(f"{where}: has shape {array.shape}; should be {expected}")
    if array.dtype == np.uint8 and array.ndim == 4:
        return array.transpose(0, 3, 1, 2)
    if array.dtype.kind != "f":
        raise ValueError(f"{where}: is {array.dtype}; should be uint8 images or float")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: has values that are not finite")
    if array.ndim == 4 and np.abs(array).max() > 1.001:  # 1.001: rounding
        largest = np.abs(array).max()
        raise ValueError(f"{where}: has values up to {largest:.3g}; should be in [-1, 1]")
    return array


def _folder(path: Path) -> np.ndarray:
    files = _images_in(path) or _images_in(*sorted(p for p in path.iterdir() if p.is_dir()))
    if not files:
        raise ValueError(f"{path}: contains no images ({', '.join(ENDINGS)})")
    images, packed = [], sum(file.stat().st_size for file in files if file.is_file())
    for file in tqdm(files, f"images of {path.name}", leave=False, disable=None, delay=1):
        try:
            images.append(_pixels(open_image(file)))
        except UNREADABLE as error:
            raise ValueError(f"{file} is not readable as an image ({error})") from error
        if len(images) == 1 and (problem := free_problem(len(files) * images[0].size)):
            raise ValueError(f"{path}: {problem}; keep fewer in the folder")
        if problem := unpacked_problem(len(images) * images[0].size, packed):
            raise ValueError(f"{path}: {problem}; keep fewer in the folder")
        if images[-1].shape[1:] != images[0].shape[1:]:
            sizes = [f"{image.shape[2]}x{image.shape[1]}" for image in (images[0], images[-1])]
            unlike = f"{sizes[0]}, and {file.name} {sizes[1]}"
            raise ValueError(f"{path}: images differ in size ({unlike})")
    channels = max(len(image) for image in images)
    return np.stack([np.broadcast_to(i, (channels, *i.shape[1:])) for i in images])


def _images_in(*folders: Path) -> list[Path]:
    """Return the images of folders in the order of their names."""
    return [
        file
        for folder in folders
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in ENDINGS
    ]


def _pixels(image: Image.Image) -> np.ndarray:
    """Return a grey or RGB image as (C, H, W) uint8."""
    if image.mode not in ("1", "L", "RGB", "P"):
        raise ValueError(f"mode {image.mode}; should be 8-bit grey or RGB")
    grey = image.mode in ("1", "L")
    pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)

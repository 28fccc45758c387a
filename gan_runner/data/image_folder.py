"""Images from a directory or a zip file, decoded once into one table of uint8 pixels."""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
import zlib
from collections.abc import Collection, Sequence
from functools import partial
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from PIL import Image, ImageOps

from gan_runner.core import Batch, Dataset, DataSpec
from gan_runner.data.cache import Table, cached
from gan_runner.data.image_files import Reader, UnusableFile, open_files
from gan_runner.data.image_memory import ImageMemory
from gan_runner.data.split import hold_out
from gan_runner.runs.files import expanded
from gan_runner.runs.images import UNREADABLE, check_pixels, decoders, open_image, reason_of
from gan_runner.runs.printable import printable_cell

_BAD_NAMED = 5  # bad files that a message lists by name; the others are counted
_UNREADABLE = (*UNREADABLE, zipfile.BadZipFile, zlib.error)  # also those of archives

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_TABLE_VERSION = 3  # version of the decoding, a part of the cache key


def image_folder(
    *,
    path: str,
    image_size: Annotated[int, Ge(1)] | None = None,
    channels: Literal["auto", 1, 3] = "auto",
    on_bad_file: Literal["refuse", "skip"] = "refuse",
    heldout: Annotated[float, Gt(0), Lt(1)] = 0.1,
    cache: str | None = None,
) -> Dataset:
    """Load every image below a directory or in a zip file; nothing is extracted.

    If all images lie in folders, the topmost folders are the classes, in alphabetical order. A
    single folder around all others is not a class. For 16 bits per channel the upper 8 are kept.
    Transparent pixels are blended with white. Files of other formats than `images.FORMATS`, and
    those above the limits of `images`, are bad files.

    Args:
        path: the directory or the zip file.
        image_size: side in pixels; the shorter side is resized to it (antialiased), then the centre
            is cropped. None: the images must be square and of one size.
        channels: 1 (grey), 3 (RGB) or "auto": 1 if every image is stored as grey.
        on_bad_file: action for files that are not readable images: "refuse" to start, or "skip"
            them. Both list the files.
        heldout: share of the held-out set.
        cache: folder for the decoded table, a memory-mapped file named by a hash of the images'
            contents and of these arguments; None: decode every time. See `files.cache_folder`.

    Raises:
        ValueError: the path does not exist, there are fewer than two images, sizes differ, or
            there are bad files and `on_bad_file` is "refuse".
    """
    names, read = open_files(path)

    def decode() -> Table:
        return _decode_all(names, read, image_size, channels, on_bad_file, path, heldout)

    if cache is None:
        table = decode()
    else:
        key = _content_hash(names, read, [image_size, channels, on_bad_file, heldout])
        file = expanded(cache) / "images" / f"{key}.safetensors"
        fits = partial(_fits, image_size=image_size, channels=channels)
        table = cached(file, decode, fits=fits)
    if table.facts["bad"]:
        warnings.warn(f"{table.facts['bad']}; skipped", stacklevel=2)
    x, y, facts = table
    _warn_of_splits(path, classes := tuple(facts["classes"]))
    parts = slice(0, facts["n_train"]), slice(facts["n_train"], None)
    train, rest = (Batch(x[rows], None if y is None else y[rows]) for rows in parts)
    spec = DataSpec("image_folder", tuple(x.shape[1:]), len(classes), class_names=classes)
    return Dataset(spec, train, rest)


def _fits(table: Table, *, image_size: int | None, channels: Literal["auto", 1, 3]) -> bool:
    """Return whether a table from the cache has the shapes and types that decoding gives it."""
    x, y, facts = table
    n_train, classes = facts.get("n_train"), facts.get("classes")
    if x.ndim != 4 or x.shape[1] not in (1, 3) or not min(x.shape):
        return False
    if x.shape[2] != x.shape[3] or (image_size or x.shape[2]) != x.shape[2]:
        return False
    if channels not in ("auto", x.shape[1]) or not isinstance(facts.get("bad"), str):
        return False
    if not isinstance(n_train, int) or not 0 < n_train < len(x) or not isinstance(classes, list):
        return False
    if y is None:
        return not classes
    named = all(isinstance(name, str) for name in classes) and y.shape == x.shape[:1]
    return named and int(y.min()) >= 0 and int(y.max()) < len(classes)


def _warn_of_splits(path: str, classes: Sequence[str]) -> None:
    if classes and _SPLITS.issuperset(map(str.lower, classes)):
        warnings.warn(
            f"dataset.path={path}: the classes are {' and '.join(classes)}, which look like splits;"
            " to train on one of them, append the name to the path",
            stacklevel=3,
        )


def _content_hash(names: Sequence[str], read: Reader, options: list[Any]) -> str:
    """Return a hash of the files' names and contents, and of all options of the table.

    Contents are hashed by SHA-256. The CRC-32 in a zip file would be free, but can be forged.
    """

    def digest(name: str) -> str:
        try:
            return hashlib.sha256(read(name)).hexdigest()
        except _UNREADABLE as error:  # decoding reports the file
            return type(error).__name__

    with decoders() as pool:
        contents = list(pool.map(digest, names))
    text = json.dumps([_TABLE_VERSION, options, list(zip(names, contents, strict=True))])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _decode_all(
    names: Sequence[str],
    read: Reader,
    size: int | None,
    channels: Literal["auto", 1, 3],
    on_bad_file: str,
    path: str,
    heldout: float,
) -> Table:
    """Decode all images into one table, the training split first."""
    memory = ImageMemory(path, names, read, size=size, unreadable=_UNREADABLE)
    images, kept, bad = _decode(names, read, size, memory)
    message = ""
    if bad:
        more = f" and {len(bad) - _BAD_NAMED} more" if len(bad) > _BAD_NAMED else ""
        listed = ", ".join(map(printable_cell, bad[:_BAD_NAMED]))
        message = f"dataset.path={path}: not readable as images: {listed}{more}"
        if on_bad_file == "refuse":
            raise ValueError(f"{message}; remove or convert them, or set dataset.on_bad_file=skip")
    _check_sizes(memory.sizes, size)
    if len(images) < 2:
        raise ValueError(
            f"dataset.path={path}: the path has {len(images)} image{'s' * (len(images) != 1)}; add"
            " images, at least 2 are needed"
        )
    mode = _mode(channels, images)
    classes, labels = _classes(kept)
    train, rest = hold_out(torch.stack([_pixels(i, mode) for i in images]), labels, heldout)
    y = None if train.y is None or rest.y is None else torch.cat([train.y, rest.y])
    facts = {"n_train": len(train.x), "classes": classes, "bad": message}
    return Table(torch.cat([train.x, rest.x]), y, facts)


def _decode(
    names: Sequence[str], read: Reader, size: int | None, memory: ImageMemory
) -> tuple[list[Image.Image], list[str], list[str]]:
    """Return the images, their names, and an error for each file that is not a readable image.

    Images of another size than the first are left out.

    Raises:
        ValueError: the images take too much memory.
    """

    def decode(name: str) -> Image.Image | str | None:
        try:
            content = read(name)
            image = open_image(content)
            if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
                raise UnknownRange("float or 32-bit pixels, of an unknown range")
            image = _fit(ImageOps.exif_transpose(image), size)
        except _UNREADABLE as error:
            in_words = isinstance(error, UnusableFile | UnknownRange)
            return f"{name} ({str(error) if in_words else reason_of(error)})"
        return image if memory.keeps(image, len(content)) else None

    with decoders() as pool:  # PIL releases the GIL while it decodes
        results = list(pool.map(decode, names))
    good = [(r, n) for r, n in zip(results, names, strict=True) if isinstance(r, Image.Image)]
    bad = [r for r in results if isinstance(r, str)]
    return [image for image, _ in good], [name for _, name in good], bad


class UnknownRange(ValueError):
    """Error for float or 32-bit integer pixels, whose white level the file does not specify."""


def _fit(image: Image.Image, size: int | None) -> Image.Image:
    """Decode, convert to L or RGB, and resize and crop if a size is set."""
    if image.mode.startswith("I"):  # PIL would clip 16-bit grey at 255 instead of scaling it
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    grey = image.mode in {"1", "L", "LA"}
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if grey else "RGB")
    if size is None or image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    check_pixels(width, height)  # a narrow strip would become a long one
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def _check_sizes(sizes: Collection[tuple[int, int]], size: int | None) -> None:
    if size is None and (len(sizes) > 1 or any(w != h for w, h in sizes)):
        shown = [f"{w}x{h}" for w, h in sorted(sizes)[:3]] + ["..."] * (len(sizes) > 3)
        raise ValueError(
            "dataset.image_size=null: the images are not square and of one size"
            f" ({', '.join(shown)}); set dataset.image_size=PIXELS to resize and crop them"
        )


def _mode(channels: Literal["auto", 1, 3], images: list[Image.Image]) -> str:
    if channels == "auto":
        return "L" if all(image.mode == "L" for image in images) else "RGB"
    return "L" if channels == 1 else "RGB"


def _pixels(image: Image.Image, mode: str) -> torch.Tensor:
    array = np.array(image.convert(mode), dtype=np.uint8)
    return torch.from_numpy(array.reshape(array.shape[0], array.shape[1], -1)).permute(2, 0, 1)


def _classes(names: list[str]) -> tuple[list[str], torch.Tensor | None]:
    """Return class names and labels from the topmost folders, if all images lie in several."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    common = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    shared = len(list(common))  # for example the single folder in an archive
    tops = [parts[shared] if len(parts) > shared else None for parts in folders]
    classes = sorted({top for top in tops if top is not None})
    if None in tops or len(classes) < 2:
        return [], None
    index = {name: i for i, name in enumerate(classes)}
    return classes, torch.tensor([index[top] for top in tops if top is not None])

"""Images from a directory or a zip file, decoded once into one table of uint8 pixels."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_runner.core import Batch, Dataset, DataSpec
from gan_runner.data.cache import Table, cached
from gan_runner.data.split import hold_out

_BAD_NAMED = 5  # bad files that a message lists by name; the others are counted
_UNREADABLE = (  # errors of decoders and archives for broken or locked files, and for non-images
    UnidentifiedImageError, Image.DecompressionBombError, zipfile.BadZipFile, zlib.error, OSError,
    EOFError, RuntimeError, NotImplementedError, SyntaxError, ValueError,
)  # fmt: skip

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_TABLE_VERSION = 2  # version of the decoding, a part of the cache key

Reader = Callable[[str], bytes]
Digest = Callable[[str], str]


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
    Transparent pixels are blended with white.

    Args:
        path: the directory or the zip file.
        image_size: side in pixels; the shorter side is resized to it (antialiased), then the centre
            is cropped. None: the images must be square and of one size.
        channels: 1 (grey), 3 (RGB) or "auto": 1 if every image is stored as grey.
        on_bad_file: action for files that are not readable images: "refuse" to start, or "skip"
            them. Both list the files.
        heldout: share of the held-out set.
        cache: folder for the decoded table, a memory-mapped file named by a hash of the images'
            contents and of these arguments; None: decode every time.

    Raises:
        ValueError: the path does not exist, there are fewer than two images, sizes differ, or
            there are bad files and `on_bad_file` is "refuse".
    """
    names, read, digest = _open(path)

    def decode() -> Table:
        return _decode_all(names, read, image_size, channels, on_bad_file, path, heldout)

    if cache is None:
        table = decode()
    else:
        options = [image_size, channels, on_bad_file, heldout]
        key = _content_hash(names, digest, options)
        table = cached(Path(cache).expanduser() / "images" / f"{key}.safetensors", decode)
    if table.facts["bad"]:
        warnings.warn(f"{table.facts['bad']}; skipped", stacklevel=2)
    x, y, facts = table
    _warn_of_splits(path, facts["classes"])
    parts = slice(0, facts["n_train"]), slice(facts["n_train"], None)
    train, rest = (Batch(x[rows], None if y is None else y[rows]) for rows in parts)
    spec = DataSpec("image_folder", tuple(x.shape[1:]), n_classes=len(facts["classes"]))
    return Dataset(spec, train, rest)


def _warn_of_splits(path: str, classes: Sequence[str]) -> None:
    if classes and _SPLITS.issuperset(map(str.lower, classes)):
        warnings.warn(
            f"dataset.path={path}: the classes are {' and '.join(classes)}, which look like splits;"
            " to train on one of them, append the name to the path",
            stacklevel=3,
        )


def _content_hash(names: Sequence[str], digest: Digest, options: list[Any]) -> str:
    """Return a hash of the files' names and contents, and of all options of the table."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        contents = list(pool.map(digest, names))
    text = json.dumps([_TABLE_VERSION, options, list(zip(names, contents, strict=True))])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _open(path: str) -> tuple[list[str], Reader, Digest]:
    """Return relative file names, a function that reads a file, and one that hashes it."""
    source = Path(path).expanduser()
    if source.is_dir():
        names, read = _files_below(source), lambda name: (source / name).read_bytes()
        digest = partial(_hash_of_file, source)
    elif zipfile.is_zipfile(source):
        archive = zipfile.ZipFile(source)
        names, read = [i.filename for i in archive.infolist() if not i.is_dir()], archive.read
        digest = partial(_hash_in_archive, archive)  # from the checksums in the archive
    elif source.exists():
        raise ValueError(
            f"dataset.path={path}: the path is neither a directory nor a zip file; set the path of"
            " a directory or a zip file of images"
        )
    else:
        raise ValueError(
            f"dataset.path={path}: the path does not exist; set the path of a directory or a zip"
            " file of images"
        )
    return sorted(n for n in names if not _is_clutter(n)), read, digest


def _files_below(folder: Path) -> list[str]:
    """List relative names of all files; links to folders are followed, each folder once."""
    names, seen = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(real)
        paths = [Path(parent, file) for file in files]
        names += [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return names


def _hash_of_file(folder: Path, name: str) -> str:
    try:
        return hashlib.sha256((folder / name).read_bytes()).hexdigest()
    except OSError as error:  # decoding reports the file
        return type(error).__name__


def _hash_in_archive(archive: zipfile.ZipFile, name: str) -> str:
    info = archive.getinfo(name)
    return f"{info.CRC:08x}-{info.file_size}"


def _is_clutter(name: str) -> bool:
    """Return whether a file is hidden, or was added to the archive by an operating system."""
    parts = PurePosixPath(name).parts
    clutter = {"__MACOSX", "Thumbs.db", "desktop.ini"}
    return any(part.startswith(".") or part in clutter for part in parts)


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
    images, kept, bad = _decode(names, read, size)
    message = ""
    if bad:
        more = f" and {len(bad) - _BAD_NAMED} more" if len(bad) > _BAD_NAMED else ""
        listed = ", ".join(bad[:_BAD_NAMED])
        message = f"dataset.path={path}: not readable as images: {listed}{more}"
        if on_bad_file == "refuse":
            raise ValueError(f"{message}; remove them or set dataset.on_bad_file=skip")
    _check_sizes(images, size)
    if len(images) < 2:
        raise ValueError(
            f"dataset.path={path}: the path has {len(images)} images; add images, at least 2 are"
            " needed"
        )
    mode = _mode(channels, images)
    classes, labels = _classes(kept)
    train, rest = hold_out(torch.stack([_pixels(i, mode) for i in images]), labels, heldout)
    y = None if train.y is None or rest.y is None else torch.cat([train.y, rest.y])
    facts = {"n_train": len(train.x), "classes": classes, "bad": message}
    return Table(torch.cat([train.x, rest.x]), y, facts)


def _decode(
    names: Sequence[str], read: Reader, size: int | None
) -> tuple[list[Image.Image], list[str], list[str]]:
    """Return the images, their names, and an error for each file that is not a readable image."""

    def decode(name: str) -> Image.Image | str:
        try:
            image = Image.open(io.BytesIO(read(name)))
            if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
                raise UnknownRange
            return _fit(ImageOps.exif_transpose(image), size)
        except _UNREADABLE as error:
            return f"{name} ({type(error).__name__})"

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL releases the GIL while it decodes
        results = list(pool.map(decode, names))
    good = [(r, n) for r, n in zip(results, names, strict=True) if not isinstance(r, str)]
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
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def _check_sizes(images: list[Image.Image], size: int | None) -> None:
    sizes = {image.size for image in images}
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

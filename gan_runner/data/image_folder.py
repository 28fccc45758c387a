"""Images from a directory or a zip, decoded once into one table of uint8 pixels."""

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

_BAD_NAMED = 5  # bad files that a message names; it counts the others
_UNREADABLE = (  # what decoders and archives raise for files that are broken, locked or no images
    UnidentifiedImageError, Image.DecompressionBombError, zipfile.BadZipFile, zlib.error, OSError,
    EOFError, RuntimeError, NotImplementedError, SyntaxError, ValueError,
)  # fmt: skip

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_TABLE_VERSION = 2  # of what decoding does to an image

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
    """Every image below a directory, or in a zip; nothing is extracted.

    If all images lie in folders, the topmost ones are the classes, in alphabetical order; a folder
    that holds everything else counts as none. Of 16 bits a channel the upper 8 are kept; what is
    transparent is laid on white.

    Args:
        path: the directory or the zip file.
        image_size: side in pixels; the shorter side is resized to it (antialiased), then the centre
            is cropped. None: the images must be square and of one size.
        channels: 1 (grey), 3 (RGB) or "auto": 1 if every image is stored as grey.
        on_bad_file: "refuse" to start, or "skip", files that are not readable images; both name
            them.
        heldout: share kept from training.
        cache: folder for the decoded table, a memory-mapped file named by a hash of the images'
            contents and of these arguments; None: decode every time.

    Raises:
        ValueError: no such path, fewer than two images, unequal sizes, or bad files to refuse.
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
    if facts["classes"] and _SPLITS.issuperset(map(str.lower, facts["classes"])):
        classes = " and ".join(facts["classes"])
        warnings.warn(
            f"dataset.path={path}: its classes are {classes}, which look like splits; to train on"
            " one of them, add its name to the path",
            stacklevel=2,
        )
    parts = slice(0, facts["n_train"]), slice(facts["n_train"], None)
    train, rest = (Batch(x[rows], None if y is None else y[rows]) for rows in parts)
    spec = DataSpec("image_folder", tuple(x.shape[1:]), n_classes=len(facts["classes"]))
    return Dataset(spec, train, rest)


def _content_hash(names: Sequence[str], digest: Digest, options: list[Any]) -> str:
    """A hash of the files' names and contents, and of what else the table depends on."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        contents = list(pool.map(digest, names))
    text = json.dumps([_TABLE_VERSION, options, list(zip(names, contents, strict=True))])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _open(path: str) -> tuple[list[str], Reader, Digest]:
    """List a directory or zip by relative names; how to read one file, and hash its content."""
    source = Path(path).expanduser()
    if source.is_dir():
        names, read = _files_below(source), lambda name: (source / name).read_bytes()
        digest = partial(_hash_of_file, source)
    elif zipfile.is_zipfile(source):
        archive = zipfile.ZipFile(source)
        names, read = [i.filename for i in archive.infolist() if not i.is_dir()], archive.read
        digest = partial(_hash_in_archive, archive)  # checksums that the archive carries
    elif source.exists():
        raise ValueError(f"dataset.path={path} is neither a directory nor a zip file")
    else:
        raise ValueError(f"dataset.path={path} does not exist; name a directory or a zip of images")
    return sorted(n for n in names if not _is_clutter(n)), read, digest


def _files_below(folder: Path) -> list[str]:
    """Relative names of all files; links to folders are followed, but none twice."""
    names, seen = [], set()
    for at, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(at)) in seen:
            folders.clear()
            continue
        seen.add(real)
        paths = [Path(at, file) for file in files]
        names += [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return names


def _hash_of_file(folder: Path, name: str) -> str:
    try:
        return hashlib.sha256((folder / name).read_bytes()).hexdigest()
    except OSError as error:  # decoding will say what to do about it
        return type(error).__name__


def _hash_in_archive(archive: zipfile.ZipFile, name: str) -> str:
    info = archive.getinfo(name)
    return f"{info.CRC:08x}-{info.file_size}"


def _is_clutter(name: str) -> bool:
    """Hidden files and the folders that operating systems add to archives; never anyone's data."""
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
    """All images as one table, the training split first."""
    images, kept, bad = _decode(names, read, size)
    message = ""
    if bad:
        more = f" and {len(bad) - _BAD_NAMED} more" if len(bad) > _BAD_NAMED else ""
        named = ", ".join(bad[:_BAD_NAMED])
        message = f"dataset.path={path}: not readable as images: {named}{more}"
        if on_bad_file == "refuse":
            raise ValueError(f"{message}; remove them or set dataset.on_bad_file=skip")
    _check_sizes(images, size)
    if len(images) < 2:
        raise ValueError(f"dataset.path={path} has {len(images)} images; at least 2 are needed")
    mode = _mode(channels, images)
    classes, labels = _classes(kept)
    train, rest = hold_out(torch.stack([_pixels(i, mode) for i in images]), labels, heldout)
    y = None if train.y is None or rest.y is None else torch.cat([train.y, rest.y])
    facts = {"n_train": len(train.x), "classes": classes, "bad": message}
    return Table(torch.cat([train.x, rest.x]), y, facts)


def _decode(
    names: Sequence[str], read: Reader, size: int | None
) -> tuple[list[Image.Image], list[str], list[str]]:
    """The images, their names, and what is wrong with the files that are none."""

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
    """Pixels that are floats or 32-bit integers: which of them is white is not written anywhere."""


def _fit(image: Image.Image, size: int | None) -> Image.Image:
    """Decode, reduce to L or RGB, and resize and crop where a size is asked for."""
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
            f"the images are not square and of one size ({', '.join(shown)});"
            " set dataset.image_size=PIXELS to resize and crop them"
        )


def _mode(channels: Literal["auto", 1, 3], images: list[Image.Image]) -> str:
    if channels == "auto":
        return "L" if all(image.mode == "L" for image in images) else "RGB"
    return "L" if channels == 1 else "RGB"


def _pixels(image: Image.Image, mode: str) -> torch.Tensor:
    array = np.array(image.convert(mode), dtype=np.uint8)
    return torch.from_numpy(array.reshape(array.shape[0], array.shape[1], -1)).permute(2, 0, 1)


def _classes(names: list[str]) -> tuple[list[str], torch.Tensor | None]:
    """Class names and labels from the topmost folders, if every image lies in one of several."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    common = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    shared = len(list(common))  # of an archive of one folder, for instance
    tops = [its[shared] if len(its) > shared else None for its in folders]
    classes = sorted({top for top in tops if top is not None})
    if None in tops or len(classes) < 2:
        return [], None
    index = {name: i for i, name in enumerate(classes)}
    return classes, torch.tensor([index[top] for top in tops if top is not None])

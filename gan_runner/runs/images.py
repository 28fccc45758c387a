"""The only place where image files are opened: listed formats, limited bytes and pixels.

An image file may come from anywhere. Pillow recognizes a format by its contents, not by its name,
and hands PostScript (EPS) to an external program. A small file may decode to gigabytes.
"""

from __future__ import annotations

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import SubprocessError

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats that Pillow decodes by itself, without an external program."""

MAX_PIXELS = 50_000_000
"""Largest width times height of an image that is decoded."""

MAX_BYTES = 256 << 20
"""Largest size of a file, or of an archive's uncompressed member, that is read."""

_DECODERS = 8  # an image of MAX_PIXELS takes 200 MB, and some conversions hold three copies

_TILE_SIDES = (322, 323)  # TIFF tags of width and height of a tile


class TooLarge(ValueError):
    """Error for a file above `MAX_BYTES` or an image above `MAX_PIXELS`."""


class NotAFile(OSError):
    """Error for a path that is not a regular file, such as a pipe, which may never end."""


# `check_pixels` refuses what Pillow warns of, with the name of the file.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, LookupError, TypeError,
    ArithmeticError, AttributeError, MemoryError, SubprocessError, Image.DecompressionBombError,
)  # fmt: skip
"""Errors of Pillow's decoders and of the functions here for files that are not usable images."""


def open_image(source: Path | bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Open an image without decoding its pixels, which `Image.load` or any conversion does.

    Args:
        source: a file or its contents.
        formats: names of the formats that are accepted, of `FORMATS`.

    Raises:
        TooLarge: the file has more than `MAX_BYTES`, or the image more than `MAX_PIXELS`.
        UNREADABLE: the file is missing, or is not an image of one of the formats.
    """
    content = file_bytes(source) if isinstance(source, Path) else source
    check_bytes(len(content))
    image = Image.open(io.BytesIO(content), formats=formats)
    check_pixels(*image.size)
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # whose decoder allocates a whole tile
        check_pixels(*(image.tag_v2.get(tag, 1) for tag in _TILE_SIDES))
    return image


def reason_of(error: BaseException) -> str:
    """Return why a file is not a usable image, in words that fit into brackets."""
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    if isinstance(error, TooLarge):
        return str(error).replace(";", ",")
    if isinstance(error, PermissionError | FileNotFoundError):
        return str(error.strerror).lower()
    return "cut off or damaged" if "truncated" in str(error) else type(error).__name__


def rgb_image(path: Path) -> Image.Image | None:
    """Return a picture of a run, a PNG file, as RGB; None if the file is not a usable image."""
    try:
        return open_image(path, ("PNG",)).convert("RGB")
    except UNREADABLE:
        return None


def file_bytes(path: Path) -> bytes:
    """Return the contents of a regular file of at most `MAX_BYTES`.

    Raises:
        TooLarge: the file has more bytes.
        OSError: the file is missing, locked or not a regular file.
    """
    check_bytes(path.stat().st_size)
    if not path.is_file():
        raise NotAFile(f"{path} is not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)  # the file may have grown
    check_bytes(len(content))
    return content


def check_bytes(count: int) -> None:
    """Raise `TooLarge` if a file has more than `MAX_BYTES`."""
    if count > MAX_BYTES:
        raise TooLarge(f"{count:,} bytes; at most {MAX_BYTES:,} are read")


def check_pixels(width: int, height: int) -> None:
    """Raise `TooLarge` if an image has more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise TooLarge(f"{width}x{height} pixels; at most {MAX_PIXELS:,} are decoded")


def decoders() -> ThreadPoolExecutor:
    """Return a pool of at most 8 threads, which limits the images that are decoded at once."""
    return ThreadPoolExecutor(min(_DECODERS, os.cpu_count() or 1))

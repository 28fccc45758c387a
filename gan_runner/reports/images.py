"""Sample grids as data URIs, small enough that a page may hold hundreds."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, ImageChops

_WIDTHS = (480, 360, 240, 160)  # pixels: the first at which the picture fits its budget
_QUALITIES = (82, 60, 40)
_PIXELS = 50_000_000  # a file that claims more is no sample grid


def latest(run_dir: Path) -> Path | None:
    """The last picture of samples that a run has left."""
    found = {path: path.stem.removeprefix("step_") for path in run_dir.glob("samples/step_*.png")}
    steps = {path: int(step) for path, step in found.items() if step.isdecimal()}
    return max(steps, key=steps.__getitem__, default=None)


def data_uri(path: Path, *, most: int) -> str | None:
    """A picture as a WebP data URI of at most about `most` bytes; None where it cannot be read.

    It loses quality first and size then, never samples.
    """
    try:
        with Image.open(path, formats=["PNG"]) as file:
            if file.width * file.height > _PIXELS:
                return None
            picture = _without_idle_colours(file.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None
    content = b""
    for width in _WIDTHS:
        shown = _at_most(picture, width)
        for quality in _QUALITIES:
            content = _webp(shown, quality)
            if len(content) <= most:
                return _uri(content)
    return _uri(content)


def _uri(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _webp(picture: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="webp", quality=quality, method=4)
    return content.getvalue()


def _at_most(picture: Image.Image, width: int) -> Image.Image:
    if picture.width <= width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _without_idle_colours(picture: Image.Image) -> Image.Image:
    """Grey where all three channels agree: a third of the bytes to look at."""
    red, green, blue = picture.split()
    same = not ImageChops.difference(red, green).getbbox()
    return red if same and not ImageChops.difference(red, blue).getbbox() else picture

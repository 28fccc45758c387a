"""Sample grids as data URIs, small enough for hundreds in one page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, ImageChops

from gan_runner.runs.images import rgb_image

_WIDTHS = (480, 360, 240, 160)  # pixels; the first width within the budget is used
_QUALITIES = (82, 60, 40)
_SIDE = 16_383  # pixels; WebP has no larger images, and a sample grid is smaller


def latest(run_dir: Path) -> Path | None:
    """Return the path of the newest sample grid of a run; None where there is none."""
    names = {path: path.stem.removeprefix("step_") for path in run_dir.glob("samples/step_*.png")}
    steps = {path: int(step) for path, step in names.items() if step.isdecimal()}
    return max(steps, key=steps.__getitem__, default=None)


def data_uri(path: Path, *, most: int) -> str | None:
    """Return an image as a WebP data URI of about `most` bytes at most; None if unreadable.

    Quality is reduced first, then the width; the image is never cropped.
    """
    picture = rgb_image(path)
    if picture is None or max(picture.size) > _SIDE:
        return None
    image = _without_idle_colours(picture)
    content = b""
    for width in _WIDTHS:
        shown = _at_most(image, width)
        for quality in _QUALITIES:
            content = _webp(shown, quality)
            if len(content) <= most:
                return _uri(content)
    return _uri(content)


def _uri(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _webp(image: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    image.save(content, format="webp", quality=quality, method=4)
    return content.getvalue()


def _at_most(image: Image.Image, width: int) -> Image.Image:
    if image.width <= width:
        return image
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _without_idle_colours(image: Image.Image) -> Image.Image:
    """Return one channel if all three are equal, which leaves a third of the bytes to encode."""
    red, green, blue = image.split()
    same = not ImageChops.difference(red, green).getbbox()
    return red if same and not ImageChops.difference(red, blue).getbbox() else image

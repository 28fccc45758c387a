"""An animation of a run's sample grids, progress.gif."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from gan_runner.runs.files import atomic_write
from gan_runner.runs.images import rgb_image
from gan_runner.runs.within import Folder

NAME = "progress.gif"
_FRAMES = 100  # largest number of frames; the first and the last grid always remain
_SIDE = 720  # pixels of the longer side, at most
_EACH, _LAST = 150, 2000  # milliseconds that a frame is shown


def write_progress(run_dir: Path) -> Path | None:
    """Write the grids in samples/ as an animation in a loop; return its path.

    There is none where a run has fewer than two readable grids. Grids of another size than the
    last one are scaled to that.

    Raises:
        OSError: the file cannot be written.
    """
    found, _ = Folder(run_dir).glob("samples/step_*.png")
    paths = sorted(found, key=lambda path: (len(path.stem), path.stem))
    if len(paths) > _FRAMES:
        last = len(paths) - 1
        paths = [paths[round(k * last / (_FRAMES - 1))] for k in range(_FRAMES)]
    frames = [frame for path in paths if (frame := _frame(path)) is not None]
    if len(frames) < 2:
        return None
    frames = [frame.resize(frames[-1].size, Image.Resampling.NEAREST) for frame in frames]
    content = io.BytesIO()
    durations = [*[_EACH] * (len(frames) - 1), _LAST]
    frames[0].save(
        content, format="gif", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    atomic_write(run_dir / NAME, content.getvalue())
    return run_dir / NAME


def _frame(path: Path) -> Image.Image | None:
    """Return a grid with at most 256 colours; grey grids keep their levels exactly.

    A file that is not a usable image gives None.
    """
    image = rgb_image(path)
    if image is None:
        return None
    shrink = max(image.size) / _SIDE
    if shrink > 1:
        size = (max(1, round(image.width / shrink)), max(1, round(image.height / shrink)))
        image = image.resize(size, Image.Resampling.BOX)
    grey = image.convert("L")
    return grey if grey.convert("RGB").tobytes() == image.tobytes() else image.quantize(256)

"""The animation of a run's sample grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gan_runner.runs.progress_picture import write_progress


def grids(run: Path, count: int, *, side: int = 40, colour: bool = False) -> None:
    (run / "samples").mkdir()
    for k in range(count):
        pixels = np.full((side, side, 3), k, dtype=np.uint8)
        pixels[0, 0] = (255, 0, 0) if colour else 255
        Image.fromarray(pixels).save(run / "samples" / f"step_{k * 900:06d}.png")


def frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as file:
        shown = []
        for k in range(file.n_frames):
            file.seek(k)
            shown.append(np.asarray(file.convert("RGB")))
        return shown


def test_every_grid_is_a_frame_in_order(tmp_path: Path) -> None:
    grids(tmp_path, 12)
    path = write_progress(tmp_path)
    assert path == tmp_path / "progress.gif"
    assert [int(frame[5, 5, 0]) for frame in frames(path)] == list(
        range(12)
    )  # grey levels are exact


def test_colours_stay(tmp_path: Path) -> None:
    grids(tmp_path, 2, colour=True)
    path = write_progress(tmp_path)
    assert path is not None and frames(path)[1][0, 0].tolist() == [255, 0, 0]


def test_many_grids_are_thinned(tmp_path: Path) -> None:
    grids(tmp_path, 110)
    path = write_progress(tmp_path)
    assert path is not None
    shown = frames(path)
    assert len(shown) == 100 and (shown[0][9, 9, 0], shown[-1][9, 9, 0]) == (0, 109)


def test_large_grids_are_reduced_and_small_ones_scaled(tmp_path: Path) -> None:
    grids(tmp_path, 3, side=730)
    Image.new("RGB", (90, 90)).save(tmp_path / "samples" / "step_000000.png")  # of an older version
    (tmp_path / "samples" / "step_000900.png").write_bytes(b"no picture")
    path = write_progress(tmp_path)
    assert path is not None and [frame.shape for frame in frames(path)] == [(720, 720, 3)] * 2


def test_one_grid_is_no_animation(tmp_path: Path) -> None:
    grids(tmp_path, 1)
    assert write_progress(tmp_path) is None and not (tmp_path / "progress.gif").exists()

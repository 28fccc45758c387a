"""Figure 2 of Gulrajani et al. 2017 from the jobs of its sweep: one grid of sample grids.

A row for each architecture, a column for each objective; under each cell its classifier score and
its health. A run without a usable picture is an empty frame with its status.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_runner.config.words import key_of, value_of
from gan_runner.plots.figures import label_text
from gan_runner.runs.files import atomic_write
from gan_runner.runs.images import rgb_image
from gan_runner.runs.within import Folder
from gan_runner.sweeps.jobs import Job

_SIDE = 2.0  # inches of a cell
_SHOWN = 0.5  # of the sides of a run's last picture: the upper left quarter, so that one sees it
_TAG = "images/classifier_score_raw"


def draw(folder: Path, jobs: Sequence[Job]) -> Path:
    """Write figure2.png into a sweep's directory; returns the file.

    Args:
        folder: of the sweep.
        jobs: all of it; their overrides name `model` and `objective`.
    """
    cells = {(_made(job, "model"), _made(job, "objective")): job for job in jobs}
    rows, columns = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    size = (_SIDE * len(columns) + 1.2, (_SIDE + 0.35) * len(rows) + 0.4)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, model in enumerate(rows):
        for j, objective in enumerate(columns):
            _cell(axes[i, j], cells.get((model, objective)))
            if i == 0:
                axes[i, j].set_title(label_text(objective), fontsize=12, fontweight="bold")
            if j == 0:
                axes[i, j].set_ylabel(label_text(model.removeprefix("dcgan_")), fontsize=11)
    content = io.BytesIO()
    canvas.print_png(content)
    path = folder / "figure2.png"
    atomic_write(path, content.getvalue(), shared=True)
    return path


def _cell(axes: Axes, job: Job | None) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(label_text(caption(job)), fontsize=9)
    pictures = Folder(job.folder).glob("samples/step_*.png")[0] if job else []
    picture = rgb_image(pictures[-1]) if pictures else None
    if picture is not None:
        image = np.asarray(picture)
        height, width = (round(_SHOWN * side) for side in image.shape[:2])
        axes.imshow(image[:height, :width], interpolation="nearest")
    else:
        axes.set_facecolor("0.9")
        axes.set_box_aspect(1)


def caption(job: Job | None) -> str:
    """Return the caption of a cell: score and health of an ended run, else its status."""
    if job is None:
        return "not run"
    score = job.summary.get("final", {}).get(_TAG)
    health = job.summary.get("health", {}).get("state", "")
    if job.status != "completed":
        return job.status
    return ", ".join(
        [*([f"score {score:.2f}"] if score is not None else []), health or "completed"]
    )


def _made(job: Job, key: str) -> str:
    return next((value_of(o) for o in job.overrides if key_of(o) == key), "default")

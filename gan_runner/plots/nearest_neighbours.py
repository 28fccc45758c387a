"""Plots of samples next to nearest real images, or next to each other."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from gan_runner.core import EvalContext, Snapshot, to_unit
from gan_runner.metrics.coverage import closest_pairs
from gan_runner.metrics.rows import as_rows
from gan_runner.metrics.transport import assignment, transport
from gan_runner.plots.figures import label_text
from gan_runner.plots.samples import image_grid

_PAIRS = 5  # pairs of images per row
_SHOWN = 40  # pairs of images per plot
_CHUNK = 8192  # training images per block of the distance matrix
_GAP = 127 / 127.5 - 1  # the grey between the images of a grid


def optimal_plan(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a plan (n, m) of least cost between uniformly weighted rows, and the cost, W1.

    For equal numbers of rows an assignment is optimal; otherwise a linear programme is solved.
    """
    if len(x) != len(y):
        optimum = transport(x, y)
        return optimum.plan, optimum.value
    partners, costs = assignment(x, y)
    plan = np.zeros((len(x), len(y)))
    plan[np.arange(len(x)), partners] = 1 / len(x)
    return plan, float(costs.mean())


class TransportPlan:
    """The cheapest plan that moves samples of the averaged generator to held-out data.

    In the plane, lines connect points between which mass moves; the width is proportional to the
    mass. For images there are 40 pairs, five per row: a sample, and the real image that receives
    most of its mass. Other data has no plot.

    Args:
        samples: largest number of samples, and of held-out rows. With fewer held-out rows than
            samples a linear programme is solved, in 0.2 s for 200 each.
    """

    def __init__(self, context: EvalContext, *, samples: Annotated[int, Ge(1)] = 200) -> None:
        self.samples, self.shape = samples, context.spec.shape

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None for other data, or if a sample is not finite."""
        fake, real = snapshot.samples_ema[: self.samples], snapshot.heldout.x[: self.samples]
        if not (snapshot.spec.is_image or self.shape == (2,)) or not bool(fake.isfinite().all()):
            return None
        x, y = as_rows(fake), as_rows(real)
        plan, value = optimal_plan(x, y)
        if not snapshot.spec.is_image:
            return paint_plan(
                x, y, plan, title=f"{label_text(snapshot.spec.name)}: W1 = {value:.3f}"
            )
        partners = torch.from_numpy(plan.argmax(axis=1)).to(real.device)
        return paint_pairs(fake[:_SHOWN], real[partners[:_SHOWN]])


def paint_plan(x: np.ndarray, y: np.ndarray, plan: np.ndarray, *, title: str) -> np.ndarray:
    """Draw rows x (n, 2) of the generator, rows y (m, 2) of data, and a plan (n, m) as lines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    half = 1.25 * float(np.abs(y).max())
    figure = Figure(figsize=(5, 5), dpi=100, layout="tight")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    start, end = np.nonzero(plan)
    widths = 1.2 * plan[start, end] / plan.max()
    lines = LineCollection(
        list(np.stack([x[start], y[end]], axis=1)), linewidths=widths, colors="0.6", zorder=1
    )
    axes.add_collection(lines)
    axes.scatter(y[:, 0], y[:, 1], s=6, c="tab:orange", label="data", linewidths=0, zorder=2)
    axes.scatter(x[:, 0], x[:, 1], s=6, c="tab:blue", label="generator", linewidths=0, zorder=3)
    axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", title=title)
    axes.legend(loc="upper right", markerscale=2)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def paint_pairs(left: Tensor, right: Tensor) -> np.ndarray:
    """Draw pairs of images (N, C, H, W) side by side, five pairs per row."""
    gaps, columns = torch.full_like(left, _GAP), 3 * min(_PAIRS, len(left))
    cells = torch.stack([left, right, gaps], dim=1).flatten(0, 1)
    grid = image_grid(cells, columns=columns)
    return grid[:, : -(grid.shape[1] // columns)]  # without the gap after the last pair


class NearestNeighbours:
    """Samples of the averaged generator, and the nearest training images of each.

    Each row shows a sample, a gap, and the nearest neighbours among all training images, nearest
    first, by Euclidean distance between pixels. So copies of training data are easy to see. Points
    have no plot.

    Args:
        rows: number of samples.
        neighbours: neighbours of each sample.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        rows: Annotated[int, Ge(1)] = 10,
        neighbours: Annotated[int, Ge(1)] = 8,
    ) -> None:
        self.rows, self.neighbours, self.train = rows, neighbours, context.dataset.train.x

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None if the data is not images."""
        if not snapshot.spec.is_image:
            return None
        samples = snapshot.samples_ema[: self.rows].cpu()
        rows = nearest_rows(samples, self.train, count=self.neighbours)
        near = to_unit(self.train[rows.to(self.train.device)]).cpu()
        lead = torch.stack([samples, torch.full_like(samples, _GAP)], dim=1)
        cells = torch.cat([lead, near], dim=1)
        return image_grid(cells.flatten(0, 1), columns=cells.shape[1])


def nearest_rows(x: Tensor, table: Tensor, *, count: int) -> Tensor:
    """Return row numbers (N, count) of the table's nearest rows to each x, nearest first.

    Differences are computed pixel by pixel, in chunks of the table and on the table's device.

    Args:
        x: (N, *shape) float32 in [-1, 1].
        table: (M, *shape), as stored: uint8 pixels or floats.
        count: number of neighbours; at most M are returned.
    """
    flat, count = x.flatten(1).to(table.device), min(count, len(table))
    exact = "donot_use_mm_for_euclid_dist"
    parts = [
        torch.cdist(flat, to_unit(chunk).flatten(1), compute_mode=exact)
        for chunk in table.split(_CHUNK)
    ]
    return torch.cat(parts, dim=1).topk(count, largest=False).indices.cpu()


class ClosestPairs:
    """The most similar pairs of samples, for visual inspection: the birthday test.

    Arora & Zhang 2017, section 3: if the 20 nearest pairs among s samples contain duplicates, the
    generator makes about s^2 different images. The upper half shows pairs of the averaged
    generator, five per row, nearest first; the lower half, pairs of equally many held-out images.

    Args:
        pairs: number of pairs in each half.
        samples: largest number s of samples; all pairs of them are compared.
    """

    def __init__(
        self,
        context: EvalContext,
        *,
        pairs: Annotated[int, Ge(1)] = 20,
        samples: Annotated[int, Ge(2)] = 5000,
    ) -> None:
        self.pairs, self.samples = pairs, samples

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None for points, or if a sample is not finite."""
        real = snapshot.heldout.x[: self.samples]
        fake = snapshot.samples_ema[: len(real)]
        if not snapshot.spec.is_image or not bool(fake.isfinite().all()) or len(fake) < 2:
            return None
        halves = [self._paint(images) for images in (fake, real)]
        line = np.full((6, halves[0].shape[1], 3), 255, dtype=np.uint8)
        return np.concatenate([halves[0], line, halves[1]])

    def _paint(self, images: Tensor) -> np.ndarray:
        pairs = torch.from_numpy(closest_pairs(as_rows(images), count=self.pairs))
        left, right = pairs.to(images.device).unbind(1)
        return paint_pairs(images[left], images[right])

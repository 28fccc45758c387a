"""Latent walks: interpolation, arithmetic, and traversals of labels and codes.

All samples come from the averaged generator, in the mode of sampling. For an ensemble it is the
first member, because samples of different generators have no path between them.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import one_hot

from gan_runner.core import EvalContext, Latent, Snapshot, forward_without_buffer_updates
from gan_runner.plots.figures import label_text
from gan_runner.plots.noise_rows import between_pairs
from gan_runner.plots.samples import (
    GRID,
    OF_DATA,
    half_width,
    image_grid,
    new_figure,
    rendered,
    square_around,
)

_PATHS, _STEPS = 24, 60  # in the plane
_CONTINUOUS = 2.0  # range of a continuous code in plots; in training it stays within 1
_CORNERS = ((217, 72, 57), (62, 150, 81), (57, 106, 217), (240, 178, 38))  # a, b, c, b + c - a


def lattice(a: Tensor, b: Tensor, c: Tensor, *, side: int) -> Tensor:
    """Compute noise a + u (b - a) + v (c - a) at `side` values of u and of v in [0, 1].

    At u = v = 1 this is b - a + c, the arithmetic of Radford et al. 2016 (figure 7). Each vector is
    rescaled to the length |a| (|b| / |a|)^u (|c| / |a|)^v. Sums of noise are shorter or longer than
    the noise that generators are trained on.

    Args:
        a: noise at u = v = 0, (d,).
        b: noise at u = 1, v = 0, (d,).
        c: noise at u = 0, v = 1, (d,).
        side: n, values of u and of v.

    Returns:
        (n, n, d); u runs along the second axis, v along the first.
    """
    fractions = torch.linspace(0, 1, side, device=a.device, dtype=a.dtype)
    u, v = fractions[None, :, None], fractions[:, None, None]
    z = a + u * (b - a) + v * (c - a)
    lengths = a.norm() * (b.norm() / a.norm()) ** u * (c.norm() / a.norm()) ** v
    return z * lengths / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)


@torch.no_grad()
def samples_at(snapshot: Snapshot, z: Tensor, y: Tensor | None, *, batch_size: int) -> Tensor:
    """Generate samples (N, *shape) of the averaged generator, N in the row-major order of z.

    Args:
        snapshot: snapshot of the run.
        z: noise (..., d).
        y: labels, with the shape of z without the last axis; None for an unconditional generator.
        batch_size: rows per batch.
    """
    network = getattr(snapshot.nets.generator_ema, "members", [snapshot.nets.generator_ema])[0]
    z = z.flatten(0, -2)
    labels = [None] * len(z.split(batch_size)) if y is None else y.flatten().split(batch_size)
    parts = zip(z.split(batch_size), labels, strict=True)
    return torch.cat([forward_without_buffer_updates(network, *part) for part in parts])


class Interpolations:
    """One row per pair of samples, along the great circle between two noises; see `slerp`.

    A row keeps the label and the code of the first sample. In the plane, rows are paths over data.
    """

    def __init__(self, context: EvalContext) -> None:
        self.batch_size, self.code = context.batch_size, context.code

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None for data that is neither images nor planar."""
        if snapshot.spec.is_image:
            return image_grid(self._between(snapshot, rows=GRID, steps=GRID).flatten(0, 1))
        if snapshot.spec.shape != (2,):
            return None
        return self._paths(snapshot)

    def _between(self, snapshot: Snapshot, *, rows: int, steps: int) -> Tensor:
        """Generate samples (rows, steps, *shape); fewer rows if the noise does not suffice."""
        rows = min(rows, len(snapshot.noise.z) // 2)
        pairs, labels = snapshot.noise.z[: 2 * rows], snapshot.labels
        noise = Latent(pairs, None if labels is None else labels[: 2 * rows])
        z, y = between_pairs(noise, steps=steps, code=self.code)
        return samples_at(snapshot, z, y, batch_size=self.batch_size).unflatten(0, (rows, steps))

    def _paths(self, snapshot: Snapshot) -> np.ndarray:
        real = snapshot.heldout.x[:1000].cpu().numpy()
        paths = self._between(snapshot, rows=_PATHS, steps=_STEPS).cpu().numpy()
        return paint_paths(paths, real, name=snapshot.spec.name)


def paint_paths(paths: np.ndarray, real: np.ndarray | None, *, name: str) -> np.ndarray:
    """Draw paths (N, steps, 2) in the plane with both ends marked, over real points (M, 2).

    Args:
        paths: samples along each path.
        real: data; None draws the paths alone, on axes that they fill.
        name: what the title begins with.
    """
    from matplotlib import colormaps

    figure = new_figure(5, 5)
    axes = figure.subplots()
    limits = square_around(paths.reshape(-1, 2))
    if real is not None:
        half = half_width(real)
        limits = ((-half, half), (-half, half))
        axes.scatter(real[:, 0], real[:, 1], s=6, c=OF_DATA, label="data", linewidths=0)
    for k, path in enumerate(paths):
        colour = colormaps["winter"](k / max(1, len(paths) - 1))
        axes.plot(path[:, 0], path[:, 1], ".-", color=colour, lw=0.8, ms=2.5, alpha=0.8)
        axes.plot(path[[0, -1], 0], path[[0, -1], 1], "o", color=colour, ms=5, mec="black")
    axes.set(xlim=limits[0], ylim=limits[1], aspect="equal")
    axes.set_title(f"{label_text(name)}: samples between samples")
    return rendered(figure)


class LatentArithmetic:
    """A grid between three samples a (red), b (green), c (blue) and b - a + c (yellow frame).

    See `lattice`. Radford et al. 2016 choose noises by hand for the content of their images, and
    average three for each of a, b and c. Here a, b and c are the first three noises of the run. All
    cells have the label and the code of a. Only for images.
    """

    def __init__(self, context: EvalContext, *, side: Annotated[int, Ge(2)] = 8) -> None:
        self.batch_size, self.code, self.side = context.batch_size, context.code, side

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None if the data is not images."""
        if not snapshot.spec.is_image:
            return None
        side, (a, b, c) = self.side, snapshot.noise.z[:3]
        own = self.code
        code = a[:own].expand(side, side, -1)
        z = torch.cat([code, lattice(a[own:], b[own:], c[own:], side=side)], dim=2)
        y = None if snapshot.labels is None else snapshot.labels[0].expand(side, side)
        samples = samples_at(snapshot, z, y, batch_size=self.batch_size)
        grid = image_grid(samples, columns=side)
        last = side - 1
        corners = ((0, 0), (0, last), (last, 0), (last, last))
        for (row, column), colour in zip(corners, _CORNERS, strict=True):
            _frame(grid, row, column, side=side, colour=colour)
        return grid


def _frame(grid: np.ndarray, row: int, column: int, *, side: int, colour: tuple[int, ...]) -> None:
    """Colour the border of a cell, two pixels wide, in a square `image_grid`."""
    height, width = ((size - 2) // side for size in grid.shape[:2])
    top, left = row * height, column * width
    cell = grid[top : top + height + 2, left : left + width + 2]
    for border in (cell[:2], cell[-2:], cell[:, :2], cell[:, -2:]):
        border[:] = colour


class Traversals:
    """One noise per row, one label or code per column: the effect of the label or code alone.

    Columns show the first ten labels. For codes, rows vary in turn the categorical value and each
    continuous value from -2 to 2 (Chen et al. 2016, figure 2); in training these lie within 1. Only
    for images, and for generators with labels or codes.
    """

    def __init__(self, context: EvalContext) -> None:
        self.batch_size, self.code = context.batch_size, context.code
        self.categories, self.classes = context.categories, context.spec.n_classes

    def __call__(self, snapshot: Snapshot) -> np.ndarray | None:
        """Draw the plot of a snapshot; None for other data or generators."""
        if not snapshot.spec.is_image or (snapshot.labels is None and not self.code):
            return None
        if snapshot.labels is not None:
            z, y = self._labels(snapshot)
        else:
            z, y = self._codes(snapshot), None
        samples = samples_at(snapshot, z, y, batch_size=self.batch_size)
        return image_grid(samples, columns=z.shape[1])

    def _labels(self, snapshot: Snapshot) -> tuple[Tensor, Tensor]:
        columns = min(GRID, self.classes)
        z = snapshot.noise.z[:GRID, None].expand(-1, columns, -1)
        return z, torch.arange(columns, device=z.device).expand(len(z), -1)

    def _codes(self, snapshot: Snapshot) -> Tensor:
        factors = [self._categorical, *[self._number] * (self.code - self.categories)]
        rows = max(1, GRID // len(factors))
        z = snapshot.noise.z[:rows, None].expand(-1, GRID, -1)
        return torch.cat([vary(z, k) for k, vary in enumerate(factors)])

    def _categorical(self, z: Tensor, _: int) -> Tensor:
        """Set the categorical code to 0, 1, 2 ... along the columns, cyclically."""
        values = torch.arange(GRID, device=z.device) % self.categories
        codes = one_hot(values, self.categories).to(z).expand(len(z), -1, -1)
        return torch.cat([codes, z[..., self.categories :]], dim=2)

    def _number(self, z: Tensor, k: int) -> Tensor:
        """Set the k-th continuous code (k from 1) to values that grow along the columns."""
        z = z.clone()
        z[..., self.categories + k - 1] = torch.linspace(-_CONTINUOUS, _CONTINUOUS, GRID).to(z)
        return z

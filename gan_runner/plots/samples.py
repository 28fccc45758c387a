"""Plots of samples as (H, W, 3) uint8 arrays: grids of images, scatter plots of points."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_runner.core import EvalContext, Snapshot, ensemble_mean, forward_without_buffer_updates
from gan_runner.models.critic_output import has_batch_statistics
from gan_runner.plots.figures import Axes, Figure, label_text
from gan_runner.runs.images import rgb_image

OF_DATA, OF_SAMPLES = "tab:orange", "tab:blue"
GRID = 10  # images per side
_MIN_GRID = 400  # pixels of a grid's longer side; smaller grids are enlarged, to be readable
_PADDING = 2  # pixels between images
_POINTS = 1000
_NAMED = 10  # classes that the legend names, as many as there are colours
_BINS = 50  # of points with one coordinate
_CONTOURS = 100  # points per side at which the critic is evaluated
_COMPARED = 256  # points of a batch for a critic that compares its samples


def image_grid(images: Tensor, *, columns: int = GRID) -> np.ndarray:
    """Arrange images (N, C, H, W) in [-1, 1] row by row in a grid.

    Pixels of small images are repeated, by the least whole factor with which the grid's longer side
    has `_MIN_GRID` pixels.
    """
    from torchvision.utils import make_grid

    pixels = ((images.detach().cpu().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    shown = min(columns, len(pixels))
    sides = shown * pixels.shape[3], -(-len(pixels) // shown) * pixels.shape[2]
    factor = max(1, -(-_MIN_GRID // max(sides)))
    pixels = pixels.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    grid = make_grid(pixels, nrow=columns, padding=_PADDING, pad_value=127)
    return grid[:3].permute(1, 2, 0).contiguous().numpy()


class Samples:
    """Samples of the averaged generator, from the same noise in every plot of a run.

    Points are drawn over data and the critic's level lines. Images form a grid; with labels or a
    categorical code, there is one column per value.
    """

    def __init__(self, context: EvalContext) -> None:
        self.categories = context.categories

    def __call__(self, snapshot: Snapshot) -> np.ndarray:
        """Draw the plot of a snapshot."""
        if not snapshot.spec.is_image:
            return paint_points(snapshot)
        coded = self.categories > 0
        classes = snapshot.noise.z[:, : self.categories].argmax(1) if coded else snapshot.labels
        return (
            paint_images(snapshot) if classes is None else paint_classes(snapshot, classes=classes)
        )


def paint_images(snapshot: Snapshot) -> np.ndarray:
    """Draw the averaged generator's first 100 samples, of the same noise in all plots of a run."""
    return image_grid(snapshot.samples_ema[: GRID**2])


def paint_classes(snapshot: Snapshot, *, classes: Tensor) -> np.ndarray:
    """Draw samples of the averaged generator, one column per class, for the first ten classes.

    Args:
        snapshot: snapshot of the run.
        classes: class of each sample, (N,).
    """
    columns = min(GRID, int(classes.max()) + 1)
    # Cells without a sample of a rare class stay grey.
    cells = snapshot.samples_ema.new_zeros(GRID, columns, *snapshot.spec.shape)
    for label in range(columns):
        images = snapshot.samples_ema[classes == label][:GRID]
        cells[: len(images), label] = images
    return image_grid(cells.flatten(0, 1), columns=columns)


def paint_points(snapshot: Snapshot) -> np.ndarray:
    """Draw samples of the averaged generator over real points and the critic's level lines."""
    return scatter(*points_of(snapshot), title=label_text(snapshot.spec.name), snapshot=snapshot)


def points_of(snapshot: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """Return the data and the samples, (N, d) each, that a plot shows: at most 1,000 of each."""
    return snapshot.heldout.x[:_POINTS].cpu().numpy(), snapshot.samples_ema[:_POINTS].cpu().numpy()


def scatter(
    real: np.ndarray | None,
    fake: np.ndarray,
    *,
    title: str,
    snapshot: Snapshot | None = None,
    classes: np.ndarray | None = None,
) -> np.ndarray:
    """Draw points (N, d) of the generator over real points; for d = 2, over a snapshot's critic.

    Points of more than two coordinates are projected; of those with one, histograms are drawn. With
    the classes (N,) of the generator's points, each class has a colour.
    """
    figure = new_figure(5, 5)
    axes = figure.subplots()
    draw_points(axes, real, fake, title=title, snapshot=snapshot, classes=classes)
    return rendered(figure)


def draw_points(
    axes: Axes,
    real: np.ndarray | None,
    fake: np.ndarray,
    *,
    title: str,
    snapshot: Snapshot | None = None,
    classes: np.ndarray | None = None,
) -> None:
    """Draw the plot of `scatter` on given axes."""
    if fake.shape[1] == 1:
        _draw_counts(axes, real, fake, title=title)
        return
    if fake.shape[1] > 2:
        real, fake = _projected(real, fake)
        axes.set(xlabel="principal component 1", ylabel="principal component 2")
        snapshot = None
    half = 0.0 if real is None else half_width(real)
    limits = square_around(fake) if real is None else ((-half, half), (-half, half))
    if snapshot is not None:
        axis = np.linspace(-half, half, _CONTOURS, dtype=np.float32)
        level = critic_on_grid(snapshot, axis)
        if np.isfinite(level).all():
            axes.contourf(axis, axis, level, levels=20, cmap="Greys", alpha=0.6)
            axes.set_xlabel("the darker, the higher the critic's f")
    if real is not None:
        axes.scatter(real[:, 0], real[:, 1], s=6, c=OF_DATA, label="data", linewidths=0)
    for label, colour, points in _by_class(fake, classes):
        axes.scatter(points[:, 0], points[:, 1], s=6, color=colour, label=label, linewidths=0)
    axes.set(xlim=limits[0], ylim=limits[1], aspect="equal", title=title)
    axes.legend(loc="best" if real is None else "upper right", markerscale=2)


def _by_class(
    points: np.ndarray, classes: np.ndarray | None
) -> Iterator[tuple[str, object, np.ndarray]]:
    """Yield label, colour and points of each class; without classes, of all points.

    Only the first `_NAMED` classes have a label; colours repeat after them.
    """
    if classes is None:
        yield "generator", OF_SAMPLES, points
        return
    from matplotlib import colormaps

    for place, name in enumerate(np.unique(classes)):
        label = f"class {name}" if place < _NAMED else f"_class {name}"  # _: not in the legend
        yield label, colormaps["tab10"](place % _NAMED), points[classes == name]


def _draw_counts(axes: Axes, real: np.ndarray | None, fake: np.ndarray, *, title: str) -> None:
    """Draw histograms of points (N, 1), in bins that data and samples share.

    Bars are shares: a small file holds out far fewer points than there are samples.
    """
    shown = [points for points in (real, fake) if points is not None]
    finite = [points[np.isfinite(points)] for points in shown]
    bins = np.histogram_bin_edges(np.concatenate(finite), bins=_BINS)
    names = [(OF_DATA, "data"), (OF_SAMPLES, "generator")][-len(finite) :]
    for points, (colour, name) in zip(finite, names, strict=True):
        shares = np.full(len(points), 1 / max(1, len(points)))
        axes.hist(points, bins=bins, weights=shares, color=colour, label=name, alpha=0.6)
    axes.set(title=title, xlabel="coordinate", ylabel="share of points")
    axes.legend(loc="upper right")


def _projected(real: np.ndarray | None, fake: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Project points (N, d) onto the first two principal components of the data.

    Without data, the components are those of the finite samples.
    """
    base = fake[np.isfinite(fake).all(axis=1)] if real is None else real
    mean = base.mean(axis=0) if len(base) else np.zeros(fake.shape[1])
    covariance = (base - mean).T @ (base - mean)
    plane = np.linalg.eigh(covariance)[1][
        :, :-3:-1
    ]  # eigenvalues grow: the last two, largest first
    return None if real is None else (real - mean) @ plane, (fake - mean) @ plane


def half_width(points: np.ndarray) -> float:
    """Return half of the side of the square around 0 in which points (N, 2) are drawn."""
    return 1.25 * float(np.abs(points).max())


def square_around(points: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits (x, y) of a square around the finite points (N, 2), with a margin of 8%."""
    finite = points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        return (-1.0, 1.0), (-1.0, 1.0)
    low, high = finite.min(axis=0), finite.max(axis=0)
    half = 0.58 * float((high - low).max()) or 1.0
    x, y = ((float(center) - half, float(center) + half) for center in (low + high) / 2)
    return x, y


def new_figure(width: float, height: float) -> Figure:
    """Return an empty matplotlib figure without a window, at 100 pixels per inch."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="tight")


def rendered(figure: Figure) -> np.ndarray:
    """Render a figure as (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def image_to_ansi(path: Path, *, width: int, share: float = 1.0) -> str:
    """Convert the upper `share` of an image for a 24-bit colour terminal, `width` characters wide.

    Each character is an upper half block: the foreground is one pixel, the background the pixel
    below. There are at most `width` lines. The text of a file that is not a usable image is empty.
    """
    image = rgb_image(path)
    if image is None:
        return ""
    image = image.crop((0, 0, image.width, max(1, round(share * image.height))))
    height = 2 * min(width, max(1, round(width * image.height / image.width / 2)))
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = [_cell(*u, *v) for u, v in zip(upper.tolist(), lower.tolist(), strict=True)]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def _cell(r: int, g: int, b: int, below_r: int, below_g: int, below_b: int) -> str:
    return f"\x1b[38;2;{r};{g};{b};48;2;{below_r};{below_g};{below_b}m\u2580"


@torch.no_grad()
def critic_on_grid(snapshot: Snapshot, axis: np.ndarray) -> np.ndarray:
    """Compute f on a square grid, (n, n) for n coordinates of `axis`; f[i, j] is at (x_j, y_i).

    All points are one batch, which affects a critic with batch norm. A critic that compares the
    samples of a batch, at a cost of their number squared, gets batches spread over the grid. Scores
    of a critic that takes labels are means over all labels.
    """
    critic = snapshot.nets.critic
    points = torch.from_numpy(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
    points = points.to(snapshot.heldout.x.device)
    count = -(-len(points) // _COMPARED) if has_batch_statistics(critic) else 1
    labels = range(classes) if (classes := getattr(critic, "n_classes", 0)) else (None,)
    scores = points.new_zeros(len(points))
    for k, label in product(range(count), labels):
        part = points[k::count]
        y = None if label is None else torch.full((len(part),), label, device=part.device)
        own = ensemble_mean(forward_without_buffer_updates(critic, part, y), len(part))
        scores[k::count] += own / len(labels)
    return scores.cpu().numpy().reshape(len(axis), len(axis))

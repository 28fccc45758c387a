"""What pictures show: noise, gradients, weights and curves by hand; looking changes nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from math import cos, pi, sin, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from covering import some
from eval_contexts import context_of, snapshot_of
from matplotlib.figure import Figure
from torch import Tensor, nn

from gan_runner.core import DataSpec, EvalContext, Latent, Nets, Snapshot
from gan_runner.models.ensemble import Critic as Ensemble
from gan_runner.models.mlp import Critic
from gan_runner.models.norms import normalise_weights
from gan_runner.plots.critic_surface import CriticSurface
from gan_runner.plots.figures import fit_flat
from gan_runner.plots.gradient_flow import GradientNorms, gradient_norms
from gan_runner.plots.latent_walks import (
    Interpolations,
    LatentArithmetic,
    Traversals,
    lattice,
    paint_paths,
)
from gan_runner.plots.learning_curves import Curves, curves_of, matching
from gan_runner.plots.noise_rows import slerp
from gan_runner.plots.samples import critic_on_grid, draw_points, points_of, square_around
from gan_runner.plots.weight_histograms import WeightHistograms
from gan_runner.runs.checkpoint import checkpoint_path, checkpoints, fingerprint, load_checkpoint
from gan_runner.training.loop import fit

PIXELS = DataSpec("images", (1, 8, 8), n_classes=3)


def test_slerp_in_closed_form() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    t = torch.tensor([0.0, 1 / 3, 1.0])
    expected = [[cos(x * pi / 2), sin(x * pi / 2)] for x in t.tolist()]
    assert torch.allclose(slerp(a, b, t)[0], torch.tensor(expected), atol=1e-6)
    # |a| = 2: the weights are those of the angle alone; at 60 degrees sin 30 / sin 60 = 1 / sqrt 3
    c = torch.tensor([[1.0, sqrt(3)]])
    middle = slerp(c, torch.tensor([[3.0, 0.0]]), torch.tensor([0.5]))
    assert torch.allclose(middle, torch.tensor([[[4.0, sqrt(3)]]]) / sqrt(3), atol=1e-6)


def test_slerp_where_there_is_no_circle() -> None:
    a, t = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.25, 1.0])
    assert torch.allclose(slerp(a, 3 * a, t), torch.tensor([[1.0], [1.5], [3.0]]) * a)
    assert torch.allclose(slerp(a, -a, t), torch.tensor([[1.0], [0.5], [-1.0]]) * a)


def test_slerp_keeps_the_length_of_gaussian_noise() -> None:
    a, b = torch.randn(2, 20, 512)
    middle = slerp(a, b, torch.tensor([0.5]))[:, 0].norm(dim=1) / sqrt(512)
    straight = ((a + b) / 2).norm(dim=1) / sqrt(512)
    assert middle.min() > 0.9 and straight.max() < 0.8


def test_lattice_by_hand() -> None:
    a, b, c = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    z = lattice(a, b, c, side=3)
    for place, corner in (((0, 0), a), ((0, 2), b), ((2, 0), c)):
        assert torch.allclose(z[place], corner)
    sum_of_all = torch.tensor([-1.0, 2.0, 3.0])  # b - a + c, as long as 1 (2 / 1) (3 / 1)
    assert torch.allclose(z[2, 2], 6 * sum_of_all / sqrt(14))
    halfway = torch.tensor([0.5, 1.0, 0.0])  # as long as sqrt(1 * 2)
    assert torch.allclose(z[0, 1], sqrt(2) * halfway / sqrt(1.25))


class Grey(nn.Module):
    """An image of one grey: a coordinate of the noise, or the label / 4."""

    latent_dim = 8

    def __init__(self, coordinate: int | None = 0) -> None:
        super().__init__()
        self.coordinate = coordinate

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        value = y / 4 if self.coordinate is None else z[:, self.coordinate]
        return value[:, None, None, None].expand(-1, 1, 8, 8)


def stage(
    generator: nn.Module, *, labels: Tensor | None = None, code: tuple[int, int] = (0, 0)
) -> tuple[EvalContext, Snapshot]:
    """A scene and a view of a generator of images, whose noise is 24 rows in [-1, 1]."""
    random = torch.Generator().manual_seed(0)
    z = 2 * torch.rand(24, 8, generator=random) - 1
    categories, numbers = code
    if categories:
        z[:, :categories] = torch.eye(categories)[torch.arange(24) % categories]
    context = replace(
        context_of(torch.zeros(4, 1, 8, 8), spec=PIXELS),
        categories=categories,
        code=categories + numbers,
    )
    snapshot = replace(
        snapshot_of(context, torch.zeros(24, 1, 8, 8)),
        nets=Nets(generator, nn.Identity(), generator), noise=Latent(z, labels),
    )  # fmt: skip
    return context, snapshot


def greys(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The middle of each cell of a grid, as numbers in [-1, 1]."""
    side, rest = divmod(picture.shape[1] - 2, columns)  # from an image to the next
    assert rest == 0 and picture.shape[0] == side * rows + 2 and max(picture.shape) > 400
    first = 2 + (side - 2) // 2
    centres = picture[first::side, first::side, 0]
    return centres / 127.5 - 1


def test_interpolations_end_at_the_samples() -> None:
    context, snapshot = stage(Grey(1))
    shown = greys(Interpolations(context)(snapshot), 10, 10)
    z = snapshot.noise.z[:20, 1].numpy()
    assert shown[:, 0] == pytest.approx(z[::2], abs=0.01)
    assert shown[:, -1] == pytest.approx(z[1::2], abs=0.01)
    path = slerp(snapshot.noise.z[0], snapshot.noise.z[1], torch.linspace(0, 1, 10))[:, 1]
    assert shown[0] == pytest.approx(path.clamp(-1, 1).numpy(), abs=0.01)


def test_interpolations_keep_label_and_code() -> None:
    labels = torch.arange(24) % 3
    context, snapshot = stage(Grey(None), labels=labels)
    shown = greys(Interpolations(context)(snapshot), 10, 10)
    assert shown == pytest.approx(np.repeat(labels[:20:2, None].numpy() / 4, 10, axis=1), abs=0.01)
    context, snapshot = stage(Grey(2), code=(2, 1))  # the number, after two categories
    shown = greys(Interpolations(context)(snapshot), 10, 10)
    assert shown == pytest.approx(
        np.repeat(snapshot.noise.z[:20:2, 2:3].numpy(), 10, axis=1), abs=0.01
    )


def test_interpolations_in_the_plane_need_two_coordinates() -> None:
    context = context_of(torch.randn(16, 3))
    assert Interpolations(context)(snapshot_of(context, torch.randn(16, 3))) is None


def test_arithmetic_begins_at_three_samples() -> None:
    context, snapshot = stage(Grey(3))
    picture = LatentArithmetic(context, side=5)(snapshot)
    shown, z = greys(picture, 5, 5), snapshot.noise.z
    assert [shown[0, 0], shown[0, 4], shown[4, 0]] == pytest.approx(z[:3, 3].numpy(), abs=0.01)
    whole = lattice(z[0], z[1], z[2], side=5)[..., 3].clamp(-1, 1).numpy()
    assert shown == pytest.approx(whole, abs=0.01)
    side = (picture.shape[1] - 2) // 5
    last, between = 4 * side, 2 * side + 20
    frames = [picture[0, 0], picture[0, last + 5], picture[-1, 0], picture[-1, -1]]
    assert len({tuple(pixel) for pixel in frames}) == 4 and tuple(picture[0, between]) == (
        127,
        127,
        127,
    )


def test_traversals_by_label() -> None:
    context, snapshot = stage(Grey(None), labels=torch.zeros(24, dtype=torch.long))
    shown = greys(Traversals(context)(snapshot), 10, 3)
    assert shown == pytest.approx(np.tile([0, 0.25, 0.5], (10, 1)), abs=0.01)


def test_traversals_by_code() -> None:
    context, snapshot = stage(Grey(1), code=(3, 1))  # a coordinate of the one-hot value
    shown = greys(Traversals(context)(snapshot), 10, 10)
    assert shown[:5] == pytest.approx(np.tile(1.0 * (np.arange(10) % 3 == 1), (5, 1)), abs=0.01)
    own = snapshot.noise.z[:5, 1:2].numpy()
    assert shown[5:] == pytest.approx(np.repeat(own, 10, axis=1), abs=0.01)
    context, snapshot = stage(Grey(3), code=(3, 1))  # the number
    shown = greys(Traversals(context)(snapshot), 10, 10)
    ramp = np.clip(np.linspace(-2, 2, 10), -1, 1)
    assert shown[5:] == pytest.approx(np.tile(ramp, (5, 1)), abs=0.01)
    context, snapshot = stage(Grey())
    assert Traversals(context)(snapshot) is None  # neither labels nor codes


class First(nn.Module):
    """f(x) = x_1."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x[:, 0]


class Linear(nn.Module):
    """f = w2 . (W1 x)."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
            self.second.weight.copy_(scale * torch.tensor([[3.0, 4.0, 12.0]]))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.second(self.first(x)).squeeze(1)


def test_gradient_norms_of_a_linear_critic() -> None:
    """df/dh = w2 = (3, 4, 12), df/dx = W1^T w2 = (3, 8)."""
    (norms,) = gradient_norms([Linear()], torch.randn(10, 2), batch_size=4)
    assert norms == pytest.approx({"input": sqrt(73), "first": 13.0, "second": 1.0})
    (of_two,) = gradient_norms(
        [Ensemble([Linear(), Linear(3.0)])], torch.randn(10, 2), batch_size=4
    )
    # each critic's own norms, and their mean; at the input those of the mean of the scores
    assert of_two == pytest.approx({"input": 2 * sqrt(73), "first": 26.0, "second": 1.0})


def test_gradient_norms_go_on_through_the_generator() -> None:
    generator = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        generator.weight.copy_(torch.tensor([[2.0], [1.0]]))

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only = generator

        def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
            return self.only(z)

    first, second = gradient_norms([Named(), Linear()], torch.randn(6, 1), batch_size=6)
    assert first == pytest.approx({"input": 2 * 3 + 8, "only": sqrt(73)})
    assert second == pytest.approx({"input": sqrt(73), "first": 13.0, "second": 1.0})


def test_gradient_norms_are_not_lost_to_rounding() -> None:
    """Squares of 1e-30 are 0 in float32: deep clipped critics have such gradients."""
    (norms,) = gradient_norms([Linear(1e-30)], torch.randn(4, 2), batch_size=4)
    assert norms["input"] == pytest.approx(1e-30 * sqrt(73), rel=1e-4, abs=0)


def test_gradient_norms_leave_networks_as_they_were() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
    normalise_weights(network)

    class Scored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return self.layers(x).squeeze(1)

    critic, random = Scored(), torch.get_rng_state()
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    (norms,) = gradient_norms(
        [critic], torch.randn(8, 2, generator=torch.Generator()), batch_size=4
    )
    assert list(norms) == ["input", "layers.0", "layers.3"]  # spectral norm is no layer
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks for module in critic.modules())


def test_no_picture_of_what_is_not_finite() -> None:
    context = context_of(torch.randn(8, 2))
    generator = Linear()
    snapshot = snapshot_of(context, torch.randn(8, 2))
    snapshot = replace(snapshot, nets=Nets(generator, Linear(float("nan")), generator))
    for plot in (WeightHistograms, CriticSurface):
        assert plot(context)(snapshot) is None


def test_gradients_that_are_not_finite_have_no_picture() -> None:
    class Plane(nn.Module):
        def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
            return 2 * z

    context = context_of(torch.randn(8, 2))
    snapshot = snapshot_of(context, torch.randn(8, 2))
    pictures = [
        GradientNorms(context)(replace(snapshot, nets=Nets(Plane(), Linear(scale), Plane())))
        for scale in (1.0, float("inf"))
    ]
    assert pictures[0] is not None and pictures[1] is None


def test_clipped_weights_pile_up_at_the_ends() -> None:
    context = context_of(torch.randn(8, 2))
    critic = nn.Linear(40, 40)
    with torch.no_grad():
        critic.weight.copy_(0.01 * torch.randn(40, 40).sign())
    snapshot = replace(
        snapshot_of(context, torch.randn(8, 2)), nets=Nets(nn.Linear(1, 1), critic, nn.Identity())
    )
    picture = WeightHistograms(context)(snapshot).astype(int)
    green = (picture[..., 1] > picture[..., 0] + 80) & (picture[..., 1] > picture[..., 2] + 80)
    columns = np.flatnonzero(green.any(axis=0))
    left, right = columns.min(), columns.max()
    inner = columns[
        (columns > left + 0.1 * (right - left)) & (columns < right - 0.1 * (right - left))
    ]
    assert right - left > 100 and not len(inner)


def test_the_surface_rises_where_the_critic_does() -> None:
    context = context_of(torch.randn(200, 2))
    snapshot = snapshot_of(context, torch.randn(200, 2), critic=First())
    picture = CriticSurface(context, points=0)(snapshot).astype(int)
    left, right = picture[300, 80], picture[300, 460]  # viridis: from dark violet to yellow
    assert left[2] > left[1] + 30 and right[0] > right[2] + 80 and right[1] > right[2] + 80


def test_a_critic_that_compares_samples_is_drawn_in_small_batches() -> None:
    """The distances between all 16,384 points of the grid at once would take 270 GB."""
    critic = Critic(DataSpec("plane", (2,)), width=4, depth=1, batch_statistics="discrimination")
    context = context_of(torch.randn(200, 2))
    snapshot = snapshot_of(context, torch.randn(200, 2), critic=critic)
    sizes: list[int] = []
    critic.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    assert CriticSurface(context, points=0)(snapshot) is not None
    assert sizes == [256] * 64
    axis = np.linspace(-1, 1, 3, dtype=np.float32)
    points = torch.tensor([[x, y] for y in axis for x in axis])
    expected = critic(points).detach().view(3, 3).numpy()
    np.testing.assert_allclose(critic_on_grid(snapshot, axis), expected, rtol=1e-5)


class OfLabels(nn.Module):
    """f(x, y) = x_1 + 10 y of three labels; without labels it fails."""

    n_classes = 3

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return x[:, 0] + 10 * y


def test_level_lines_of_a_critic_that_takes_labels_are_means_over_them() -> None:
    context = context_of(torch.randn(50, 2))
    snapshot = snapshot_of(context, torch.randn(50, 2), critic=OfLabels())
    found = critic_on_grid(snapshot, np.array([-1, 1], dtype=np.float32))
    np.testing.assert_allclose(found, [[9, 11], [9, 11]], rtol=1e-6)  # -1 or 1, and mean 10


def test_histograms_of_few_and_many_points_compare() -> None:
    axes = Figure().subplots()
    draw_points(axes, np.array([[0.0], [1.0]]), np.repeat([[0.0], [1.0]], 500, axis=0), title="")
    heights = [bar.get_height() for bar in axes.patches]
    assert np.allclose([h for h in heights if h], [0.5] * 4)


def test_curves_by_hand() -> None:
    history = (
        {"step": 5, "jsd/probe": 0.5},
        {"step": 10, "jsd/probe": None, "jsd/probe_raw": 0.1, "a": 1.0},
    )
    curves = curves_of(history)
    steps, values = curves["jsd/probe"]
    assert steps == [5, 10] and values[0] == 0.5 and np.isnan(values[1])
    assert curves["a"] == ([10], [1.0])
    assert list(matching(curves, ["a", "jsd/*"])) == ["a", "jsd/probe"]
    context = context_of(torch.randn(50, 2))
    snapshot = snapshot_of(context, torch.randn(50, 2), critic=First())
    assert Curves(context)(snapshot) is None  # there is no history yet
    assert Curves(context)(replace(snapshot, history=history)).shape == (580, 1300, 3)
    assert Curves(context, divergences=[])(replace(snapshot, history=history)) is None


def test_the_title_of_samples_in_the_plane_is_short() -> None:
    """The explanation of the critic's level lines did not fit beside the step."""
    context = context_of(torch.randn(50, 2))
    snapshot = snapshot_of(context, torch.randn(50, 2), critic=First())
    axes = Figure().subplots()
    draw_points(axes, *points_of(snapshot), title="samples at step 5,000", snapshot=snapshot)
    assert axes.get_title() == "samples at step 5,000"
    assert axes.get_xlabel() == "the darker, the higher the critic's f"


@pytest.mark.parametrize(
    ("values", "limits"),
    [([0.0, 0.0], (0, 1)), ([3.0, float("nan"), 3.0], (0, 6)), ([-2.0, -2.0], None),
     ([0.0, 1.0], None), ([float("nan")], None)],
)  # fmt: skip
def test_an_axis_of_equal_values_begins_at_zero(
    values: list[float], limits: tuple[float, float] | None
) -> None:
    axes, other = Figure().subplots(1, 2)
    for each in (axes, other):
        each.plot(values)
    fit_flat(axes, values)
    assert axes.get_ylim() == (limits or other.get_ylim())


def test_samples_alone_fill_their_axes() -> None:
    points = np.array([[0.0, 1.0], [7.0, 3.0], [4.0, 2.0], [np.nan, 99.0]], dtype=np.float32)
    axes = Figure().subplots()
    draw_points(axes, None, points, title="")
    assert axes.get_xlim() == pytest.approx((3.5 - 4.06, 3.5 + 4.06))  # 0.58 of a width of 7
    assert axes.get_ylim() == pytest.approx((2 - 4.06, 2 + 4.06))
    assert square_around(points[:1]) == ((-1.0, 1.0), (0.0, 2.0))
    assert square_around(points[3:]) == ((-1.0, 1.0), (-1.0, 1.0))


def test_each_class_of_samples_has_a_colour() -> None:
    axes = Figure().subplots()
    points = np.arange(24.0).reshape(12, 2)
    draw_points(axes, None, points, title="", classes=np.array([7, 3, 3] * 4))
    three, seven = axes.collections
    assert [c.get_label() for c in (three, seven)] == ["class 3", "class 7"]
    np.testing.assert_array_equal(three.get_offsets(), np.delete(points, [0, 3, 6, 9], axis=0))
    assert not np.array_equal(three.get_facecolors()[0], seven.get_facecolors()[0])
    axes = Figure().subplots()
    draw_points(axes, None, points, title="", classes=np.arange(12))
    assert len(axes.collections) == 12 and len(axes.get_legend().get_texts()) == 10


def test_paths_are_drawn_without_data() -> None:
    """From (0, 0) to (1, 1), a straight line through the middle of the picture."""
    path = np.linspace(0, 1, 10)[None, :, None].repeat(2, axis=2)
    picture = paint_paths(path, None, name="toy").astype(int)
    blue = (picture[..., 2] > picture[..., 0] + 100) & (picture[..., 2] > picture[..., 1] + 100)
    rows, columns = np.nonzero(blue)
    assert np.corrcoef(rows, columns)[0, 1] < -0.999 and columns.max() - columns.min() > 300


RHYTHM = (
    "trainer.log_every=2", "trainer.evaluate_every=4", "trainer.sample_every=4", "model.filters=4",
)  # fmt: skip
RUNS = {  # those in the plane are in test_metrics_leave_training_alone
    "batch norm and labels": "objective=cgan",
    "spectral norm": "objective=sn_gan",
    "codes": "objective=infogan",
}


def trained(run_dir: Path) -> dict[str, Any]:
    log = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    state = load_checkpoint(checkpoints(run_dir)[-1])
    return {
        "log": [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in log],
        "state": fingerprint(state),
    }


@pytest.mark.parametrize("kind", some(RUNS, one_in=2))
def test_pictures_do_not_change_a_run(engine, tmp_path: Path, kind: str) -> None:
    """They are painted before the first step and after the last."""
    for pictures in ("full", "none"):
        its = (f"plots={pictures}", f"trainer.histograms={pictures == 'full'}", "metrics=none")
        fit(engine(*RHYTHM, RUNS[kind], *its, "trainer.steps=4"), tmp_path / pictures)
    assert trained(tmp_path / "full") == trained(tmp_path / "none")
    shown = {p.parent.name for p in (tmp_path / "full").glob("*/step_000004.png")}
    assert {"samples", "curves", "gradients", "weights", "interpolations", "arithmetic"} <= shown
    assert "surface" not in shown
    assert ("traversals" in shown) == (kind != "spectral norm")
    assert not list((tmp_path / "none").glob("*/step_*.png"))


def test_a_resumed_run_paints_the_same_curves(engine, tmp_path: Path) -> None:
    curves = "plots={curves: {_target_: gan_runner.plots.learning_curves.Curves}}"
    command = (*RHYTHM, "trainer.steps=8", "trainer.checkpoint_every=4")
    for name in ("whole", "resumed"):
        built = engine(*command, "plots=none", f"+{curves}")
        if name == "whole":
            fit(built, tmp_path / name)
            shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
            shutil.rmtree(tmp_path / "resumed" / "curves")
        else:
            state = load_checkpoint(checkpoint_path(tmp_path / name, 4))
            fit(built, tmp_path / name, resume_from=[state])
    whole, resumed = (
        {p.name: p.read_bytes() for p in (tmp_path / name / "curves").iterdir()}
        for name in ("whole", "resumed")
    )
    assert set(whole) == {"step_000004.png", "step_000008.png"} and whole == resumed

"""EMA, meter, log, clock, sampling and checkpoints."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from torch import Tensor, nn

from gan_runner.core import Latent, forward_without_buffer_updates
from gan_runner.runs.log import Meter, RunLog, write_json
from gan_runner.training.ema import EMA, tensors_of
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit
from gan_runner.training.recorder import snapshot_of
from gan_runner.training.sampling import generate
from gan_runner.training.schedule import Schedule
from gan_runner.training.settings import Settings


def update_average(average: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    ema = EMA(tensors_of(average), tensors_of(network), decay=decay)
    ema.set_step(step)
    ema.update()


def test_average_in_closed_form() -> None:
    # A constant decay d and a network that stays at 1: the average is 1 - d^n, from 0.
    network, average = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.zeros_(average.weight)
    for step in range(1000, 1020):  # late enough for the warm-up to be over
        update_average(average, network, decay=0.9, step=step)
    assert average.weight.item() == pytest.approx(1 - 0.9**20, rel=1e-5)


def test_a_young_average_forgets_its_start() -> None:
    network, average = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.zeros_(average.weight)
    update_average(average, network, decay=0.999, step=0)  # decay (1 + 0) / (10 + 0)
    assert average.weight.item() == pytest.approx(0.9)


def test_average_covers_batch_norm() -> None:
    network, average = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    network(torch.randn(8, 2) + 5)
    update_average(average, network, decay=0.0, step=9)
    torch.testing.assert_close(average.running_mean, network.running_mean)
    assert average.num_batches_tracked.item() == 1


def test_meter_means() -> None:
    meter = Meter()
    for value in (1.0, 2.0, 6.0):
        meter.add({"a": torch.tensor(value), "b": torch.tensor(-value)})
    assert meter.read() == {"a": 3.0, "b": -3.0}
    assert meter.read() == {}


def test_a_meter_reads_the_device_once_for_means_and_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    transfers, meter = [], Meter()
    tolist = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda self: transfers.append(1) or tolist(self))
    for step, loss in enumerate((1.0, 2.0, float("inf"), 4.0), start=11):
        meter.add({"loss/critic": torch.tensor(loss), "jsd/critic": torch.tensor(2.0 * step)})
    assert meter.first_nonfinite_step(14) == 13
    assert meter.read() == {"loss/critic": float("inf"), "jsd/critic": 25.0}
    assert len(transfers) == 1
    meter.add({"loss/critic": torch.tensor(3.0)})
    assert meter.first_nonfinite_step(15) is None
    meter.add({"loss/critic": torch.tensor(float("nan"))})
    assert meter.first_nonfinite_step(16) == 16
    assert len(transfers) == 3


def test_waiting_for_the_device_is_part_of_the_update(
    engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tolist = Tensor.tolist

    def slow(self: Tensor) -> object:
        time.sleep(0.1)
        return tolist(self)

    built = engine("dataset=gaussians8", "model=mlp", "trainer.steps=2", "trainer.log_every=1")
    built.runs[0].metrics, built.runs[0].plots = [], {}
    monkeypatch.setattr(Tensor, "tolist", slow)
    spent = fit(built, tmp_path)["seconds"]
    assert spent["update"] > 0.2 and "health" not in spent


def test_log_writes_the_same_everywhere(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[0, 0] = (255, 0, 7)
    with RunLog(tmp_path) as log:
        log.scalars(1, {"loss/critic": 2.5, "wasserstein/critic": -1.0})
        log.scalars(2, {"loss/critic": 0.5, "wasserstein/critic": 3.0})
        log.scalars(3, {"loss/critic": float("nan"), "wasserstein/critic": 0.25})
        log.picture(3, "samples", image)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[1] == {"step": 2, "loss/critic": 0.5, "wasserstein/critic": 3.0}
    assert lines[2]["loss/critic"] is None
    assert "loss/critic" not in log.best  # a loss has no direction
    assert log.best["wasserstein/critic"] == {
        "value": 0.25,
        "step": 3,
    }  # the lowest since the highest
    assert log.final["loss/critic"] is None
    board = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in board.Scalars("wasserstein/critic")] == [
        (1, -1.0), (2, 3.0), (3, 0.25),
    ]  # fmt: skip
    assert (np.asarray(Image.open(tmp_path / "samples" / "step_000003.png")) == image).all()
    assert len(board.Images("samples")) == 1


def test_the_best_of_a_distance_and_of_an_estimate(tmp_path: Path) -> None:
    """A critic's estimate rises before it means anything; a distance between samples does not."""
    tags = ("wasserstein/critic_heldout", "wasserstein/exact", "wasserstein/sliced_w2_raw", "modes")
    with RunLog(tmp_path, provenance={"modes": {"better": "higher"}}) as log:
        for step, value in enumerate((0.5, 3.0, 2.0, 2.5)):
            log.scalars(step, dict.fromkeys(tags, value))
    assert {tag: (its["value"], its["step"]) for tag, its in log.best.items()} == {
        "wasserstein/critic_heldout": (2.0, 2),  # the lowest since the highest
        "wasserstein/exact": (0.5, 0),
        "wasserstein/sliced_w2_raw": (0.5, 0),
        "modes": (3.0, 1),
    }


def test_curves_that_belong_together_are_in_one_chart(tmp_path: Path) -> None:
    """TensorBoard takes tags for regular expressions that need only begin alike."""
    together = {"beside": "wasserstein/critic"}
    provenances = {
        "wasserstein/critic_heldout": together, "a+b": {"beside": "a+b"},
        "a+b_floor": {"beside": "a+b"}, "loss/critic": {},
    }  # fmt: skip
    with RunLog(tmp_path, provenance=provenances) as log:
        log.opening(config="", architecture="", hyperparameters={})
    board = EventAccumulator(str(tmp_path)).Reload()
    stored = board.SummaryMetadata("custom_scalars__config__").plugin_data.plugin_name
    assert stored == "custom_scalars"
    (event,) = board.Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: chart.multiline.tag for its in layout.category for chart in its.chart}
    tags = ["wasserstein/critic", "wasserstein/critic_heldout", "a+b", "a+b_floor", "loss/critic"]
    assert [its.title for its in layout.category] == ["wasserstein", "a+b"]
    drawn = {
        title: [tag for tag in tags if any(re.match(expression, tag) for expression in its)]
        for title, its in charts.items()
    }
    assert drawn == {"wasserstein/critic": tags[:2], "a+b": tags[2:4]}


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [float("inf"), 1.0], "y": {"z": float("nan")}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [None, 1.0], "y": {"z": None}}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_looking_does_not_touch_batch_norm() -> None:
    network = nn.BatchNorm1d(3)

    class Labelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = network

        def forward(self, x: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
            return self.norm(x)

    x = torch.randn(16, 3) * 2 + 1
    out = forward_without_buffer_updates(Labelled(), x)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-6, rtol=0)  # batch statistics
    assert network.running_mean.tolist() == [0, 0, 0] and network.num_batches_tracked == 0


def test_generating_in_batches_equals_generating_at_once() -> None:
    class Double(nn.Module):
        def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            return 2 * z

    z = torch.randn(10, 3)
    torch.testing.assert_close(generate(Double(), Latent(z), batch_size=4), 2 * z)
    torch.testing.assert_close(generate(Double(), Latent(z), batch_size=16), 2 * z)


def test_without_an_average_measures_and_pictures_are_of_one_generator(
    engine: Callable[..., Engine],
) -> None:
    """Its batch norm, too, goes by the batch, as in training."""
    built = engine("objective=ns_gan", "model.filters=4", "trainer.ema_decay=0")
    for _ in range(3):
        built.train_step()
    with_running = engine("objective=ns_gan", "model.filters=4")
    snapshot, other = (snapshot_of(each.runs[0], each.nets) for each in (built, with_running))
    assert torch.equal(snapshot.samples_ema, snapshot.samples)
    assert not torch.allclose(other.samples_ema, other.samples, atol=1e-3)


def test_every_batch_is_full() -> None:
    """Batch norm cannot do with one row, and does otherwise with few; none is counted twice."""

    class Size(nn.Module):
        def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            return torch.cat([z, torch.full_like(z, len(z))], 1)

    z = torch.arange(9.0)[:, None]
    found = generate(Size(), Latent(z), batch_size=4)
    assert torch.equal(found, torch.cat([z, torch.full((9, 1), 4.0)], 1))


def test_costly_metrics_are_due_at_each_tenth_evaluation_and_at_the_end() -> None:
    def at(**settings: int) -> list[int]:
        schedule = Schedule(Settings(**settings))
        return [step for step in range(1, settings["steps"] + 1) if schedule.evaluates_costly(step)]

    assert at(steps=2500) == [2500]
    assert at(steps=45, evaluate_every=2) == [20, 40, 45]

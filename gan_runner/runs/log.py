"""The log of a run: metrics and images in TensorBoard, metrics.jsonl and samples/."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import torch
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from gan_runner.core import Provenance, StateDict
from gan_runner.private_apis import write_summary
from gan_runner.runs.files import append_text, atomic_write
from gan_runner.runs.history import BestTracker
from gan_runner.runs.layout import POINTS, PROVENANCE, check_plot_name
from gan_runner.runs.parse import finite_values
from gan_runner.runs.read import read_points
from gan_runner.runs.tags import record_of
from gan_runner.runs.tensorboard_layout import charts_of
from gan_runner.runs.within import check_folders, within

Scalars = Mapping[str, float]

_LONGEST_WAIT = 2.0  # seconds


class HealthLike(Protocol):
    """A classifier of the health of a run, which sees only the points of its log."""

    @property
    def diverged(self) -> bool:
        """Return whether the losses are not finite, or explode."""
        ...

    def update(
        self, step: int, values: Scalars, first_nonfinite_step: int | None = None
    ) -> Scalars:
        """Update the state with one point; return the values to add to the point.

        `first_nonfinite_step` is the first step since the last point whose loss or gradient was not
        finite.
        """
        ...

    def summary(self) -> dict[str, Any]:
        """Return the state, its first step, its reason and the earlier states, for the summary."""
        ...

    def state_dict(self) -> StateDict:
        """Return the state that depends on the points so far."""
        ...

    def load_state_dict(self, state: StateDict) -> None:
        """Restore a state returned by `state_dict`."""
        ...


class Meter:
    """Means of device tensors over the steps since the last reading.

    Means and the flags of steps that are not finite come from the device in one transfer.
    """

    def __init__(self) -> None:
        self._logs: dict[str, list[Tensor]] = {}
        self._fetched: tuple[dict[str, float], list[float]] | None = None

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Append 0-d tensors, without computation or synchronization with the device."""
        self._fetched = None
        for tag, value in logs.items():
            self._logs.setdefault(tag, []).append(value)

    def read(self) -> dict[str, float]:
        """Return {tag: mean}, and reset the meter."""
        means, _ = self._fetch()
        self._logs.clear()
        self._fetched = None
        return means

    def first_nonfinite_step(self, step: int) -> int | None:
        """Return the first step whose loss or gradient is not finite.

        `step` is the step added last. None means that all values since the last reading are finite.
        """
        _, finite = self._fetch()
        return None if all(finite) else step + 1 - len(finite) + finite.index(0.0)

    def _fetch(self) -> tuple[dict[str, float], list[float]]:
        """Return {tag: mean}, and 1 for each finite step, 0 for others; synchronizes the device.

        The result is kept until another step is added, as a tick asks for one, then the other.
        """
        if self._fetched is None and self._logs:
            rows = {tag: torch.stack(values).float() for tag, values in self._logs.items()}
            means = torch.stack([row.mean() for row in rows.values()])
            logged = [row for tag, row in rows.items() if record_of(tag).depends_on_objective]
            finite = torch.stack(logged).isfinite().all(dim=0) if logged else means[:0]
            numbers = torch.cat([means, finite.float()]).tolist()
            self._fetched = dict(zip(rows, numbers, strict=False)), numbers[len(rows) :]
        return self._fetched or ({}, [])

    def state_dict(self) -> StateDict:
        """Return the values added since the last reading, stacked by tag; no timings."""
        logs = {tag: v for tag, v in self._logs.items() if record_of(tag).kind != "speed"}
        return {tag: torch.stack(values) for tag, values in logs.items()}

    def load_state_dict(self, state: StateDict) -> None:
        """Restore a state returned by `state_dict`."""
        self._logs = {tag: list(values) for tag, values in state.items()}
        self._fetched = None


class RunLog:
    """A run directory's log. Every line of metrics.jsonl is complete once `scalars` returns.

    Args:
        run_dir: directory of the run.
        keep_before: continue the existing log, without its points at this step and later; None
            starts a new log.
        provenance: {tag: provenance} for provenance.json; it also names the direction of
            improvement and the shared TensorBoard charts.
        training: provenance of all other tags, those that a training step logs.

    Attributes:
        points: the points of all curves so far.
        final: the last value of each tag.
        best: the best value of each tag and its step; see `history.BestTracker`.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        keep_before: int | None = None,
        provenance: Mapping[str, Provenance] | None = None,
        training: Provenance | None = None,
    ) -> None:
        self.run_dir, self.provenance, self._training = (
            run_dir,
            dict(provenance or {}),
            training or {},
        )
        self.points: list[dict[str, Any]] = []
        extremes = self._extremes = BestTracker(self.provenance)
        self.final, self.best = extremes.final, extremes.best
        check_folders(run_dir, ["samples"])
        (run_dir / "samples").mkdir(parents=True, exist_ok=True)
        path = run_dir / POINTS
        kept = [] if keep_before is None else read_points(path)
        kept = [point for point in kept if keep_before is None or point["step"] < keep_before]
        for point in kept:
            self._note(point)
        write_json(run_dir / PROVENANCE, self.provenance)
        atomic_write(path, "".join(json.dumps(point) + "\n" for point in kept).encode())
        self._lines = append_text(path)
        _wait_for_a_later_name(run_dir)
        self._board = SummaryWriter(str(run_dir), purge_step=keep_before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._board.close()

    def scalars(self, step: int, values: Scalars) -> None:
        """Write one point of each curve; non-finite values are null in metrics.jsonl."""
        for tag, value in values.items():
            self._board.add_scalar(tag, value, step)
        point = {"step": step, **finite_values(values)}
        if self._note(point):
            write_json(self.run_dir / PROVENANCE, self.provenance)
        self._lines.write(json.dumps(point) + "\n")
        self._lines.flush()

    def _note(self, point: dict[str, Any]) -> bool:
        """Append a point to the history; return whether it has new tags, with new provenance."""
        self.points.append(point)
        self._extremes.note(point)
        new = [tag for tag in point if tag != "step" and tag not in self.provenance]
        self.provenance |= dict.fromkeys(new, self._training)
        return bool(new)

    def flush(self) -> None:
        """Flush all buffers to the operating system, so that a killed process loses no data."""
        self._lines.flush()
        self._board.flush()

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Write an image of shape (H, W, 3), uint8, as NAME/step_STEP.png and to TensorBoard.

        Raises:
            ValueError: the name is not a word, or the folder is a link out of the run directory.
        """
        path = within(self.run_dir, self.run_dir / check_plot_name(name) / f"step_{step:06d}.png")
        content = io.BytesIO()
        Image.fromarray(image).save(content, format="png")
        atomic_write(path, content.getvalue())
        self._board.add_image(name, image, step, dataformats="HWC")
        self._board.flush()

    def histograms(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write a TensorBoard histogram of each tensor, except tensors with non-finite values."""
        for name, tensor in tensors.items():
            if tensor.isfinite().all():
                self._board.add_histogram(name, tensor, step)

    def opening(
        self, *, config: str, architecture: str, hyperparameters: Mapping[str, Any]
    ) -> None:
        """Write the configuration, architecture, chart layout and HParams start to TensorBoard.

        The HParams page has no declared columns. TensorBoard then takes the hyperparameters of all
        runs that it shows as columns, and their last scalars as metrics.
        """
        for tag, text in (("config", config), ("architecture", architecture)):
            self._board.add_text(tag, "".join(f"    {line}\n" for line in text.splitlines()))
        start = SessionStartInfo(start_time_secs=time.time())
        for name, value in hyperparameters.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
        self._hparams(hparams.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))
        if charts := charts_of(self.provenance):
            self._board.add_custom_scalars(charts)

    def ending(self, status: str) -> None:
        """Write the HParams end of a completed or diverged run; a resumable run stays open.

        TensorBoard keeps the first end that it reads.
        """
        final = {"completed": api_pb2.STATUS_SUCCESS, "diverged": api_pb2.STATUS_FAILURE}
        if status in final:
            end = SessionEndInfo(status=final[status], end_time_secs=time.time())
            self._hparams(hparams.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))

    def _hparams(self, tag: str, content: HParamsPluginData) -> None:
        metadata = hparams.create_summary_metadata(content)
        value = Summary.Value(tag=tag, metadata=metadata, tensor=hparams.NULL_TENSOR)
        write_summary(self._board, Summary(value=[value]))


def _wait_for_a_later_name(run_dir: Path) -> None:
    """Sleep until the next event file's name sorts after the existing ones.

    TensorBoard reads event files by name, and the name begins with the time in whole seconds. Own
    files are of the past: after two seconds, the names are someone else's.
    """
    seconds = {path.name.split(".")[3] for path in run_dir.glob("events.out.tfevents.*")}
    end = time.monotonic() + _LONGEST_WAIT
    while f"{int(time.time())}" in seconds and time.monotonic() < end:
        time.sleep(0.02)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically; non-finite numbers become null."""
    atomic_write(path, (json.dumps(finite_values(content), indent=2) + "\n").encode())

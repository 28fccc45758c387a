"""Where a run's numbers and pictures go: TensorBoard, metrics.jsonl and samples/."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

Scalars = Mapping[str, float]


class Meter:
    """Means of device tensors over the steps since it was last read."""

    def __init__(self) -> None:
        self._logs: dict[str, list[Tensor]] = {}

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Remember 0-d tensors; nothing is computed and nothing waits for the device."""
        for tag, value in logs.items():
            self._logs.setdefault(tag, []).append(value)

    def read(self) -> dict[str, float]:
        """The means by tag, in one transfer from the device; the meter starts anew."""
        if not self._logs:
            return {}
        means = torch.stack([torch.stack(values).float().mean() for values in self._logs.values()])
        values = dict(zip(self._logs, means.tolist(), strict=True))
        self._logs.clear()
        return values


class RunLog:
    """A run directory's log. Every line of metrics.jsonl is complete once `scalars` returns."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        (run_dir / "samples").mkdir(parents=True, exist_ok=True)
        self._lines = (run_dir / "metrics.jsonl").open("w", encoding="utf-8")
        self._board = SummaryWriter(str(run_dir))
        self.final: dict[str, float] = {}
        self.best: dict[str, dict[str, float]] = {}

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
        """Write one point of every curve. Values that are not finite are null in metrics.jsonl."""
        for tag, value in values.items():
            self._board.add_scalar(tag, value, step)
            self._note(tag, value, step)
        line = {tag: value if isfinite(value) else None for tag, value in values.items()}
        self._lines.write(json.dumps({"step": step, **line}) + "\n")
        self._lines.flush()

    def picture(self, step: int, image: np.ndarray) -> Path:
        """Write (H, W, 3) uint8 as samples/step_STEP.png and to TensorBoard; returns the file."""
        path = self.run_dir / "samples" / f"step_{step:06d}.png"
        Image.fromarray(image).save(path)
        self._board.add_image("samples", image, step, dataformats="HWC")
        self._board.flush()
        return path

    def text(self, tag: str, text: str) -> None:
        """Write preformatted text to TensorBoard."""
        indented = "".join(f"    {line}\n" for line in text.splitlines())
        self._board.add_text(tag, indented)

    def _note(self, tag: str, value: float, step: int) -> None:
        self.final[tag] = value
        if not isfinite(value):
            return
        if tag not in self.best or _badness(tag, value) < _badness(tag, self.best[tag]["value"]):
            self.best[tag] = {"value": value, "step": step}


def _badness(tag: str, value: float) -> float:
    """The lower, the better: speeds should be high, distances near 0, all else low."""
    if tag.startswith("speed/"):
        return -value
    return abs(value) if tag.startswith("wasserstein/") else value


def write_text(path: Path, text: str) -> None:
    """Write a text file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(_finite(content), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _finite(content: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content

"""Files of torch.save: a small one takes little memory and time, or is refused."""

from __future__ import annotations

import io
import pickle
import random
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_runner.runs import torch_files
from gan_runner.runs.checkpoint import CorruptCheckpoint, checksum, load_checkpoint
from gan_runner.runs.torch_files import UnusableTensors, load_tensors

MANY = 100_000_000


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def saved(content: Any, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(content, file, **options)
    file.seek(0)
    return file


def containing_itself(count: int) -> list[Any]:
    value: list[Any] = []
    value += [value] * count
    return value


def repeated(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value] * 10
    return value


BOMBS = {
    "bytearray": (Call(bytearray, MANY), "builtin.* bytearray"),
    "bytes": (b"x", "_codecs encode"),
    "set": ({1, 2}, "builtin.* set"),
    "complex": (Call(complex, 1, 2), "builtin.* complex"),
    "device": (torch.device("cpu"), "torch device"),
    "size": (torch.Size([3]), "torch Size"),
    "lists": (repeated(1, 6), "too many"),
    "itself": (containing_itself(2_000), "too many"),
    "text": (repeated("x" * 100_000, 4), "too large"),
    "tensor": (repeated(torch.zeros(1000), 3), "too large"),
    "expanded": (torch.zeros(1).expand(MANY), "too large"),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("new_format", [True, False])
def test_a_small_pickle_that_becomes_large_is_refused(
    name: str, new_format: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_files, "_VALUES", 100_000)
    content, message = BOMBS[name]
    file = saved({"x": content}, _use_new_zipfile_serialization=new_format)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableTensors, match=message):
            load_tensors(file, legacy=True)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_a_pickle_of_many_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("_PICKLE_STEPS", "_PICKLE_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(torch_files, limit, 100)
            with pytest.raises(UnusableTensors, match="more than 100"):
                load_tensors(saved([*range(1000)]))


def packed(method: int, *, pickled: bytes | None = None) -> io.BytesIO:
    file = io.BytesIO()
    old = zipfile.ZipFile(saved({"x": torch.zeros(10**6)}))
    with zipfile.ZipFile(file, "w", method) as new:
        for info in old.infolist():
            is_pickle = pickled and info.filename.endswith("data.pkl")
            new.writestr(info.filename, pickled if is_pickle else old.read(info))
    file.seek(0)
    return file


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(method: int) -> None:
    with pytest.raises(UnusableTensors, match="compressed"):
        load_tensors(packed(method))
    assert load_tensors(packed(zipfile.ZIP_STORED))["x"].shape == (10**6,)


def test_torch_reads_what_was_checked() -> None:
    """A second archive before the first: Python reads the last one, torch's offsets the first."""
    first = packed(zipfile.ZIP_STORED, pickled=pickle.dumps(Call(bytearray, MANY), protocol=2))
    both = io.BytesIO(first.getvalue() + saved({"x": 1}).getvalue())
    assert load_tensors(both) == {"x": 1}


def test_a_file_above_the_free_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_files, "free_memory", lambda: 100)
    with pytest.raises(UnusableTensors, match=r"needs .* GiB, and .* are free"):
        load_tensors(saved({"x": 1}))


def test_a_checkpoint_says_why_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "step_00000003.pt"
    state = {"x": Call(bytearray, MANY)}
    path.write_bytes(saved({"format": 2, "checksum": "", "state": state}).getvalue())
    with pytest.raises(CorruptCheckpoint, match=r"step_00000003.pt cannot be read \(its pickle"):
        load_checkpoint(path)


def any_value(source: random.Random, depth: int = 0) -> Any:
    dtypes = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8,
              torch.int16, torch.int32, torch.int64, torch.bool)  # fmt: skip
    leaves: list[Callable[[], Any]] = [
        lambda: None,
        lambda: source.random() < 0.5,
        lambda: source.randint(-(2**70), 2**70),
        lambda: source.gauss(0, 1e9),
        lambda: "é\n" * source.randint(0, 300),
        lambda: torch.ones(source.choice([(), (0,), (3, 2)])).to(source.choice(dtypes)),
        lambda: torch.nn.Parameter(torch.ones(2)),
    ]
    nodes: list[Callable[[], Any]] = [
        lambda: {str(i): any_value(source, depth + 1) for i in range(3)},
        lambda: OrderedDict((i, any_value(source, depth + 1)) for i in range(3)),
        lambda: [any_value(source, depth + 1) for _ in range(3)],
        lambda: tuple(any_value(source, depth + 1) for _ in range(3)),
    ]
    return source.choice(leaves if depth > 3 else [*leaves, *nodes, *nodes])()


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("new_format", [True, False])
def test_plain_values_and_tensors_of_every_type_are_read(seed: int, new_format: bool) -> None:
    content = {"x": [any_value(random.Random(seed)) for _ in range(3)]}
    content["weights"] = torch.nn.Linear(2, 3).state_dict()  # with attributes
    file = saved(content, _use_new_zipfile_serialization=new_format)
    assert checksum(load_tensors(file, legacy=True)) == checksum(content)

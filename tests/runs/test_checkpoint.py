"""Checkpoints: whole or refused, and nothing in them is executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from gan_runner.runs.checkpoint import (
    CorruptCheckpoint,
    checkpoint_path,
    checksum,
    differences,
    fingerprint,
    load_checkpoint,
    load_latest,
    load_state,
    prune,
    save_checkpoint,
)

CPU = torch.device("cpu")
STATE = {
    "step": 3,
    "weights": {"a": torch.arange(3.0), "b": torch.tensor(2, dtype=torch.int64)},
    "betas": (0.5, 0.9),
    "nothing": None,
    "seconds": {"total": 1.5},
    **{
        key: {}
        for key in (
            "generator", "critic", "average", "generator_optimizer", "critic_optimizer", "stream",
            "random", "mode", "meter", "health",
        )
    },
    "shape": [2], "n_classes": 0, "replicas": 1, "incident": None,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = checkpoint_path(tmp_path, 3)
    save_checkpoint(path, STATE)
    return path


def test_what_is_saved_is_loaded(path: Path) -> None:
    state = load_checkpoint(path)
    assert differences(STATE, state) == [] and state["betas"] == (0.5, 0.9)
    assert state["weights"]["a"].tolist() == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == ["step_00000003.pt"]


def test_the_checksum_sees_every_part() -> None:
    def changed(**parts: object) -> str:
        return checksum({**STATE, **parts})

    a, b = STATE["weights"]["a"], STATE["weights"]["b"]
    variants = [
        changed(),
        changed(step=4),
        changed(step=3.0),
        changed(step="3"),
        changed(nothing=False),
        changed(weights={"a": a, "c": b}),
        changed(weights={"a": a.double(), "b": b}),
        changed(weights={"a": a.reshape(3, 1), "b": b}),
        changed(weights={"a": torch.tensor([0.0, 1.0, 2.0000002]), "b": b}),
        changed(weights={"a": torch.tensor([-0.0, 1.0, 2.0]), "b": b}),
    ]
    assert len(set(variants)) == len(variants)
    assert checksum({"a": [1], "b": []}) != checksum({"a": [], "b": [1]})


def test_timings_are_not_part_of_what_a_run_is() -> None:
    later = {**STATE, "seconds": {"total": 99.0}}
    assert fingerprint(later) == fingerprint(STATE) and checksum(later) != checksum(STATE)
    moved = {**STATE, "weights": {**STATE["weights"], "a": torch.zeros(3)}}
    assert differences(STATE, moved) == ["weights.a"]


def test_only_the_last_few_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 9, 10):
        save_checkpoint(checkpoint_path(tmp_path, step), STATE)
        prune(tmp_path, keep=2)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step_00000009.pt", "step_00000010.pt"]


def test_other_files_are_neither_pruned_nor_the_newest(tmp_path: Path) -> None:
    for step in (1, 100_000_000, 99_999_999):  # nine digits sort before eight as text
        save_checkpoint(checkpoint_path(tmp_path, step), {**STATE, "step": step})
    own = ["step_best_so_far.pt", "step_00000001_before_lr_change.pt", "step_3.pt",
           "step_000000007.pt", "step_00000008.pt.bak", "step_\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668.pt"]  # fmt: skip
    for name in own:
        save_checkpoint(tmp_path / "checkpoints" / name, STATE)
    (tmp_path / "checkpoints" / "step_00000009.pt").mkdir()
    assert load_latest([tmp_path])[0]["step"] == 100_000_000
    prune(tmp_path, keep=1)
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {*own, "step_100000000.pt", "step_00000009.pt"}


def test_nothing_is_pruned_through_a_link(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(checkpoint_path(tmp_path / "other", step), STATE)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to("../other/checkpoints")
    with pytest.raises(ValueError, match="checkpoints: leads out of"):
        prune(tmp_path / "run", keep=1)
    assert len(list((tmp_path / "other" / "checkpoints").iterdir())) == 3


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(whole[: len(whole) * 2 // 3])
    else:  # one bit of a weight: the file itself stays readable
        at = whole.index(torch.arange(3.0).numpy().tobytes()) + 5
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])


@pytest.mark.parametrize("how", ["empty", "truncated", "flipped"])
def test_a_damaged_one_is_detected_and_the_one_before_it_is_used(path: Path, how: str) -> None:
    run_dir = path.parents[1]
    save_checkpoint(checkpoint_path(run_dir, 2), {**STATE, "step": 2})
    assert load_latest([run_dir])[0]["step"] == 3
    damage(path, how)
    with pytest.raises(CorruptCheckpoint, match=r"step_00000003\.pt"):
        load_checkpoint(path)
    with pytest.warns(UserWarning, match=r"step_00000003\.pt .*; using the one before it"):
        assert load_latest([run_dir])[0]["step"] == 2
    damage(checkpoint_path(run_dir, 2), how)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no checkpoint that can be"):
        load_latest([run_dir])


def test_nothing_in_a_checkpoint_is_executed(path: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "executed",))

    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(CorruptCheckpoint):
        load_checkpoint(path)
    torch.save({"format": 1, "checksum": "", "state": Evil()}, path)
    with pytest.raises(CorruptCheckpoint):
        load_checkpoint(path)
    assert not (tmp_path / "executed").exists()


def test_a_stranger_s_file_is_no_checkpoint(path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(CorruptCheckpoint, match="not a checkpoint of this version"):
        load_checkpoint(path)


def nested(levels: int) -> list[object]:
    """A small file whose lists, followed one by one, are 2^levels."""
    value: list[object] = [1]
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("meter", {"x": nested(45)}),
        ("meter", {"x": torch.zeros(1).expand(1 << 40)}),
        ("meter", {"x": "text"}),
        ("step", True),
        ("shape", []),
        ("shape", [0]),
        ("shape", [2.5]),
        ("shape", ["x"]),
        ("seconds", {"total": torch.zeros(2)}),
    ],
)
def test_a_part_that_would_fill_the_memory_or_has_another_type_is_corrupt(
    path: Path, part: str, value: object
) -> None:
    torch.save({"format": 2, "checksum": "", "state": {**STATE, part: value}}, path)
    with pytest.raises(CorruptCheckpoint):
        load_state(path)
    if part != "meter":  # these have a checksum
        save_checkpoint(path, {**STATE, part: value})
        with pytest.raises(CorruptCheckpoint, match=r"right type|no size"):
            load_state(path)

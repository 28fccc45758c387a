"""A data set of one's own points: what is read, in which units, and what is refused in which words."""

from __future__ import annotations

import json
import os
import re
import shutil
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import DictConfig

from gan_runner.builder import build
from gan_runner.core import Dataset
from gan_runner.data.points import points
from gan_runner.training.loop import fit

X = np.random.default_rng(0).standard_normal((50, 3))
SMALL = ("dataset=points", "model=mlp", "model.width=8", "trainer.batch_size=8", "trainer.steps=2",
         "device=cpu", "trainer.precision=fp32", "trainer.num_eval_samples=64")  # fmt: skip


def rows(data: Dataset) -> np.ndarray:
    """Training and held-out rows, sorted by the first coordinate."""
    x = torch.cat([data.train.x, data.heldout.x]).numpy()
    return x[x[:, 0].argsort()]


def text(path: Path, content: str, encoding: str = "utf-8") -> str:
    path.write_text(content, encoding=encoding)
    return str(path)


# Files


@pytest.mark.parametrize("ending", ["npy", "NPY", "npz", "x.npz", "compressed.npz", "csv", "txt"])
def test_every_kind_of_file_gives_the_numbers_in_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"points.{ending}"
    writers: dict[str, Callable[[], None]] = {
        "npz": lambda: np.savez(path, anything=X),
        "x.npz": lambda: np.savez(path, x=X, other=np.zeros(3)),
        "compressed.npz": lambda: np.savez_compressed(path, x=X),
        "csv": lambda: np.savetxt(path, X, delimiter=",", header="a,b,c", comments=""),
        "txt": lambda: np.savetxt(path, X, header="of a commented line"),
    }
    if ending in writers:
        writers[ending]()
    else:
        with path.open("wb") as file:
            np.save(file, X)
    data = points(path=str(path), heldout=0.2)
    assert (len(data.train.x), len(data.heldout.x)) == (40, 10)
    assert (rows(data) == X[X[:, 0].argsort()].astype(np.float32)).all()
    assert (data.spec.name, data.spec.shape, data.spec.n_classes) == (path.name, (3,), 0)
    assert data.train.y is None and data.spec.modes is None


@pytest.mark.parametrize(
    "content",
    [
        "1,2\n3,4\n", "x,y\n1,2\n3,4", '"x","y"\n"1","2"\n"3","4"\n', "x;y\n1;2\n3;4\n",
        "\n# of a machine\nx y\n1 2\n\n3 4\n", "height of a\tweight\n1\t2\n3\t4\n",
    ],
)  # fmt: skip
def test_texts_of_two_rows(tmp_path: Path, content: str) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        data = points(path=text(tmp_path / "x.csv", content, encoding))
        assert rows(data).tolist() == [[1, 2], [3, 4]]


def test_one_column_is_one_coordinate(tmp_path: Path) -> None:
    data = points(path=text(tmp_path / "x.txt", "length\n3\n1\n2\n"))
    assert rows(data).tolist() == [[1], [2], [3]] and data.spec.shape == (1,)


def test_labels_stay_with_their_rows(tmp_path: Path) -> None:
    y = np.arange(50, dtype=np.int16) % 4
    x = np.stack([y, np.arange(50) / 50], axis=1)
    np.savez(tmp_path / "x.npz", x=x, y=y)
    data = points(path=str(tmp_path / "x.npz"))
    for part in (data.train, data.heldout):
        assert part.y is not None and part.y.dtype == torch.int64
        assert (part.x[:, 0].long() == part.y).all()
    assert (data.spec.n_classes, data.spec.class_names) == (4, ("0", "1", "2", "3"))


def test_one_class_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=X, y=np.zeros(50, int))
    data = points(path=str(tmp_path / "x.npz"))
    assert data.train.y is None and data.spec.n_classes == 0


def test_the_split_is_the_same_every_time(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    one, two = (points(path=str(tmp_path / "x.npy")) for _ in range(2))
    assert torch.equal(one.train.x, two.train.x) and torch.equal(one.heldout.x, two.heldout.x)


# Units


def test_shift_and_scale_per_coordinate(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[10, 5], [30, 7], [50, 9]]))
    path = str(tmp_path / "x.npy")
    data = points(path=path, shift=[30.0, 7.0], scale=[20.0, 2.0])
    assert rows(data).tolist() == [[-1, -1], [0, 0], [1, 1]]
    assert rows(points(path=path, shift=5.0, scale=5.0))[0].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"has 2 coordinates, and dataset\.scale 3 numbers"):
        points(path=path, scale=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"dataset\.scale=\[1\.0, 0\.0\]: should be positive"):
        points(path=path, scale=[1.0, 0.0])


def test_far_units_are_named_with_the_words_that_mend_them(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", 1000 + 50 * X)
    path = str(tmp_path / "x.npy")
    with pytest.warns(UserWarning, match="networks learn best near 0 and 1") as caught:
        points(path=path)
    words = dict(re.findall(r"dataset\.(\w+)=\[([^]]*)\]", str(caught[0].message)))
    shift, scale = ([float(n) for n in words[key].split(",")] for key in ("shift", "scale"))
    assert np.allclose(shift, (1000 + 50 * X).mean(0), rtol=1e-3)
    assert np.allclose(scale, 50 * X.std(0), rtol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = rows(points(path=path, shift=shift, scale=scale))
    assert np.allclose(x.mean(0), 0, atol=0.05) and np.allclose(x.std(0), 1, rtol=1e-2)


def test_w1_is_in_the_units_of_the_file(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    floors = []
    for factor in (1, 8):
        np.save(tmp_path / "x.npy", factor * X)
        cfg = config(*SMALL, f"dataset.path={tmp_path / 'x.npy'}", "plots=none")
        summary = fit(build(cfg), tmp_path / f"run{factor}")
        floors.append(summary["final"]["wasserstein/exact_floor"])
    assert floors[1] == pytest.approx(8 * floors[0], rel=1e-5)


# Refusals


def saved(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


def array(x: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, x, allow_pickle=True)


def content(data: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(data)


def with_values(*values: float) -> np.ndarray:
    x = X.copy()
    x[: len(values), 0] = values
    return x


BAD: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "missing": ("x.npy", lambda path: None, "the path does not exist"),
    "a folder": ("x.npy", Path.mkdir, "not a regular file; .* dataset=image_folder"),
    "a pipe": ("x.npz", os.mkfifo, "not a regular file"),
    "another ending": ("x.xlsx", content(b"1,2"), r"should end in \.npy, \.npz or \.csv"),
    "one dimension": ("x.npy", array(np.zeros(9)), r"shape \(9,\).*reshape\(-1, 1\)"),
    "three dimensions": ("x.npy", array(np.zeros((9, 2, 2))), r"\(9, 2, 2\); should be \(N, D\)"),
    "a number": ("x.npy", array(np.array(3.0)), r"shape \(\)"),
    "one row": ("x.npy", array(X[:1]), "at least 2 points"),
    "no column": ("x.npy", array(X[:, :0]), "at least 2 points"),
    "objects": ("x.npy", array(np.array([[{}, 1]] * 3)), "Object arrays are never loaded"),
    "objects in npz": ("x.npz", saved(x=np.array([[{}, 1]] * 3)), "Object arrays"),
    "labels of text": ("x.npz", saved(x=X, y=np.array(list("abc"))), "array y: is <U1; should be"),
    "complex": ("x.npy", array(X.astype(complex)), "complex128; should be numbers"),
    "text": ("x.npy", array(X.astype(str)), "should be numbers"),
    "dates": ("x.npy", array(X.astype("M8[s]")), "should be numbers"),
    "named fields": ("x.npy", array(np.zeros(3, [("a", float)])), "should be numbers"),
    "NaN": ("x.npy", array(with_values(np.nan, np.inf, 1)), "2 of 50 rows have values that are"),
    "too large": ("x.npy", array(with_values(1e300)), "1 of 50 rows .* beyond float32"),
    "not an npy": ("x.npy", content(b"hello"), "magic"),
    "empty": ("x.npy", content(b""), r"(?i)not an \.npy file|EOF|magic"),
    "cut off": ("x.npy", content(b"\x93NUMPY\x01\x00\x10"), "EOF"),
    "not an npz": ("x.npz", content(b"hello"), r"not an \.npz file"),
    "no x": ("x.npz", saved(a=X, b=X), r"no array x \(has a, b\); name the points x"),
    "an empty npz": ("x.npz", saved(), r"no array x \(has none\)"),
    "few labels": ("x.npz", saved(x=X, y=np.zeros(49, int)), r"y has shape \(49,\).*\(50,\)"),
    "real labels": ("x.npz", saved(x=X, y=np.zeros(50)), r"y is float64.*astype\(int\)"),
    "labels from 1": ("x.npz", saved(x=X, y=1 + np.arange(50) % 2), "from 1 to 2; number them"),
    "labels with gaps": ("x.npz", saved(x=X, y=2 * (np.arange(50) % 2)), "2 labels from 0 to 2"),
    "no numbers": ("x.csv", content(b"x,y\n"), "at least 2 points"),
    "an empty text": ("x.csv", content(b""), "at least 2 points"),
    "a word": ("x.csv", content(b"x,y\n1,2\n3,four\n"), "'four' to float64 at row 2, column 2; below any names, "),
    "a missing cell": ("x.csv", content(b"x,y\n1,2\n3,\n"), "''"),
    "ragged": ("x.csv", content(b"1,2\n3\n"), "columns changed from 2 to 1 at row 2; below any names, "),
    "NaN in text": ("x.csv", content(b"1,2\nnan,3\n4,5\n"), "1 of 3 rows"),
    "an index": ("x.csv", content(b",0,1\n0,1.5,2\n1,3,4\n"), "as an index; .* index=False"),
    "another encoding": ("x.csv", content("größe\n1\n2\n".encode("latin-1")), "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_one_line_says_what_is_wrong(tmp_path: Path, name: str) -> None:
    file, write, words = BAD[name]
    path = tmp_path / file
    write(path)
    with pytest.raises(ValueError, match=words) as error:
        points(path=str(path))
    message = str(error.value)
    assert message.startswith(f"dataset.path={path}: ") and "\n" not in message


def test_a_file_of_two_gigabytes_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**27, 2)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2**31)  # sparse: takes no disk
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="takes 2,147,483,648 bytes; at most 1,073,741,824"):
            points(path=str(path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_text_of_a_gigabyte_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ValueError, match="more than 268,435,456 bytes of text; save it as"):
        points(path=str(path))


# Runs


@pytest.mark.parametrize("dim", [1, 3])
def test_points_of_other_dimensions_train_and_are_drawn(
    config: Callable[..., DictConfig], tmp_path: Path, dim: int
) -> None:
    np.save(tmp_path / "x.npy", X[:, :dim])
    cfg = config(*SMALL, f"dataset.path={tmp_path / 'x.npy'}", "plots=full", "metrics=full")
    summary = fit(build(cfg), tmp_path / "run")
    final = summary["final"]
    assert {"wasserstein/exact", "wasserstein/sliced", "coverage/diversity"} <= set(final)
    assert not [tag for tag in final if tag.startswith(("jsd/grid", "modes/", "images/"))]
    drawn = {path.parent.name for path in (tmp_path / "run").glob("*/step_*.png")}
    assert "samples" in drawn and not drawn & {"surface", "transport_plan", "interpolations"}


def test_a_conditional_critic_is_drawn_in_the_plane(
    config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", x=X[:, :2], y=np.arange(50) % 2)
    cfg = config(*SMALL, f"dataset.path={tmp_path / 'x.npz'}", "objective=cgan", "plots=full")
    summary = fit(build(cfg), tmp_path / "run")
    assert summary["status"] == "completed" and "jsd/grid" in summary["final"]
    assert list((tmp_path / "run" / "surface").glob("step_*.png"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "away").mkdir(parents=True)
    np.save(tmp_path / "home" / "x.npy", X[:, :2])
    np.savetxt(tmp_path / "home" / "y.csv", X, delimiter=",")
    return tmp_path / "home"


def test_a_run_of_points_is_sampled_measured_drawn_and_resumed_elsewhere(
    zygote: Any, home: Path
) -> None:
    code, out = zygote.run(home, *SMALL, "dataset.path=x.npy", "hydra.run.dir=run")
    assert code == 0 and "x.npy, points of 2 numbers, 45 training samples" in out, out
    saved_config = yaml.safe_load((home / "run" / "config.yaml").read_text())
    assert saved_config["dataset"]["path"] == str(home / "x.npy")
    away, run = home / "away", "../run"
    for command, *words in (
        ("sample", run, "--count", "9", "--out", "s.npz"),
        ("evaluate", run, "--measures", "exact"),
        ("evaluate", "s.npz", "dataset=points", "dataset.path=../x.npy", "--measures", "exact"),
        ("plot", run, "--out", "f.png"),
    ):
        code, out = zygote.run(away, *words, module=f"gan_runner.commands.{command}")
        assert code == 0, out
    assert np.load(away / "s.npz")["samples"].shape == (9, 2)
    code, out = zygote.run(away, f"resume={run}", "trainer.steps=3")
    assert code == 0, out
    shutil.move(home / "x.npy", away / "moved.npy")
    code, out = zygote.run(away, f"resume={run}", "trainer.steps=4")
    assert code == 2 and f"dataset.path={home / 'x.npy'}: the path does not exist" in out, out
    code, out = zygote.run(away, f"resume={run}", "trainer.steps=4", "dataset.path=moved.npy")
    assert code == 0, out
    np.save(away / "moved.npy", X[::-1, :2])
    code, out = zygote.run(away, f"resume={run}", "trainer.steps=5")
    before = json.loads((home / "run" / "data.json").read_text())["sha256"][:12]
    assert code == 2 and f"its training data have changed: sha256 {before}" in out, out


def test_a_sweep_over_relative_paths(zygote: Any, home: Path) -> None:
    words = ("-m", *SMALL, "dataset.path=x.npy,y.csv", "metrics=none", "plots=none")
    code, out = zygote.run(home, *words, "hydra.sweep.dir=sweep")
    assert code == 0 and "2 jobs: 2 completed" in out, out


def test_too_few_points_for_a_batch_name_the_batch_size(zygote: Any, home: Path) -> None:
    np.save(home / "x.npy", X[:4])
    code, out = zygote.run(home, *SMALL, "dataset.path=x.npy")
    assert (
        code == 2 and "trainer.batch_size=8: the batch is larger than the training data (3" in out
    )

"""A checkpoint, sweep, parent or file where a run is wanted, and the like: the message names it."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sweep_files import write_run

from gan_runner.config.words import suggestion
from gan_runner.data.class_names import labels_of
from gan_runner.data.image_files import open_files
from gan_runner.data.image_folder import image_folder
from gan_runner.runs.mistaken import not_a_run, not_a_sweep

RUN = (
    "dataset=gaussians8", "dataset.n_samples=200", "model=mlp", "model.width=8", "model.depth=1",
    "trainer.batch_size=16", "trainer.steps=2", "trainer.log_every=1", "trainer.checkpoint_every=1",
    "trainer.num_eval_samples=16", "trainer.precision=fp32", "trainer.accelerate=eager",
    "metrics=none", "plots=none", "device=cpu",
)  # fmt: skip
LABELLED = (
    "model.filters=4", "objective=cgan", "trainer.batch_size=16", "trainer.steps=1",
    "trainer.num_eval_samples=16", "trainer.precision=fp32", "trainer.accelerate=eager",
    "metrics=none", "plots=none", "device=cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(zygote: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in out/r, a labelled run, a sweep of two jobs, and an empty folder."""
    place = tmp_path_factory.mktemp("place")
    for words in (
        (*RUN, "hydra.run.dir=out/r"),
        (*LABELLED, "hydra.run.dir=labelled"),
        ("-m", "seed=0,1", *RUN, "hydra.sweep.dir=s"),
    ):
        code, out = zygote.run(place, *words)
        assert code == 0, out
    (place / "empty").mkdir()
    return place


COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sample": ("gan_runner.commands.sample", ("PATH", "--count", "2", "--out", "a.png")),
    "export": ("gan_runner.commands.export", ("PATH", "--out", "g.safetensors")),
    "verify": ("gan_runner.commands.verify", ("PATH",)),
    "compare": ("gan_runner.commands.compare", ("PATH",)),
    "resume": ("gan_runner.train", ("resume=PATH", "trainer.steps=4")),
    "repeat": ("gan_runner.train", ("repeat=PATH",)),
    "table": ("gan_runner.commands.table", ("PATH",)),
    "report": ("gan_runner.commands.report", ("PATH",)),
}
OF_A_RUN = ("sample", "export", "verify", "resume", "repeat")
NO_RUN = {
    "out/r/checkpoints/step_00000002.pt": "it is a file of the run out/r; name the run",
    "out/r/config.yaml": "it is a file of the run out/r; name the run",
    "out/r/checkpoints": "it is a folder of the run out/r; name the run",
    "out": "it contains the run out/r; name it",
    "s": r"it is a sweep of 2 runs; name one of them, such as s/seed-[01]_\w+",
    "empty": r"\(it has no config.yaml\)",
    "out/rr": r"\(it does not exist\); did you mean out/r\?",
}
NO_SWEEP = {
    "out/r": "it is a single run; gan-compare out/r shows the values of a run",
    "out/r/checkpoints/step_00000002.pt": "it belongs to the run out/r",
    "s/JOB": "it belongs to the sweep s; name the sweep",
    "s/JOB/config.yaml": "it belongs to the sweep s; name the sweep",
    ".": "it contains the sweep s; name it",
    "empty": r"\(it contains no job\)",
    "ss": r"\(it does not exist\)",
}


def refusal(zygote: Any, place: Path, command: str, path: str) -> str:
    module, words = COMMANDS[command]
    job = next((place / "s").glob("seed-0*")).name
    path = path.replace("JOB", job)
    code, out = zygote.run(place, *(w.replace("PATH", path) for w in words), module=module)
    assert code == 2 and "Traceback" not in out, out
    return str(out)


@pytest.mark.parametrize("command", OF_A_RUN)
@pytest.mark.parametrize("path", NO_RUN)
def test_the_run_that_was_meant_is_named(zygote: Any, place: Path, command: str, path: str) -> None:
    out = refusal(zygote, place, command, path)
    assert re.search(rf"{re.escape(path)} is not a run directory:? {NO_RUN[path]}", out), out


@pytest.mark.parametrize("path", [path for path in NO_RUN if path not in ("out", "s")])
def test_a_comparison_names_it_too(zygote: Any, place: Path, path: str) -> None:
    out = refusal(zygote, place, "compare", path)
    assert re.search(NO_RUN[path], out), out


@pytest.mark.parametrize("path", NO_SWEEP)
def test_the_sweep_that_was_meant_is_named(zygote: Any, place: Path, path: str) -> None:
    out = refusal(zygote, place, "table", path)
    assert re.search(rf"is not the directory of a sweep:? {NO_SWEEP[path]}", out), out


@pytest.mark.parametrize("path", ["out/r/config.yaml", "s/JOB/checkpoints", "empty"])
def test_a_report_names_it_too(zygote: Any, place: Path, path: str) -> None:
    assert "is not the directory of a sweep" in refusal(zygote, place, "report", path)


def test_a_folder_of_runs_leads_to_its_table(tmp_path: Path) -> None:
    here = tmp_path / "here"  # beside tmp_path other tests may have put jobs of a sweep
    for name in "ab":
        write_run(here / name, "wgan_gp", 0, 1.0)
    advice = f"it contains 2 runs; gan-table {here} --over seed shows them"
    assert not_a_sweep(here / "nowhere").endswith("(it does not exist)")
    for job in here.glob("*/job.json"):  # without its mark as a job
        job.unlink()
    assert not_a_sweep(here).endswith(advice)


def test_a_search_for_runs_ends(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefgh")
    deep.mkdir(parents=True)
    (deep / "config.yaml").touch()
    assert not_a_run(tmp_path).endswith("(it has no config.yaml)")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert "it is a link to nothing" in not_a_run(tmp_path / "dangling")
    assert "it is a link to nothing" in not_a_sweep(tmp_path / "dangling")


# Words


def test_all_nearest_words_are_named() -> None:
    options = ["gan", "wgan", "wgan_gp", "wgan_lp", "hinge"]
    assert suggestion("wgan_pg", options) in (
        "; did you mean wgan_gp or wgan_lp?", "; did you mean wgan_lp or wgan_gp?",
    )  # fmt: skip
    assert suggestion("hing", options) == "; did you mean hinge?"
    assert suggestion("xyz", options).startswith("; choose one of: gan, wgan")


def test_a_typo_of_a_group_names_both(zygote: Any, tmp_path: Path) -> None:
    code, out = zygote.run(tmp_path, "objective=wgan_pg")
    assert code == 2 and re.search("did you mean objective=wgan_[gl]p or wgan_[gl]p", out), out


def test_a_group_as_a_flag_is_refused(zygote: Any, tmp_path: Path) -> None:
    code, out = zygote.run(tmp_path, "--objective", "gan")
    assert code == 2 and "--objective: is not a flag; write objective=gan" in out


# Labels


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("1", [1]), (2, [2]), ("2,0", [2, 0]), ([0, 1], [0, 1]), ("dog", [1]), ("Dog, cat", [1, 0]),
        ("a,b", [2]),
    ],
)  # fmt: skip
def test_labels_by_number_name_and_list(label: Any, expected: list[int]) -> None:
    assert labels_of(label, 3, ("cat", "dog", "a,b")) == expected


@pytest.mark.parametrize("label", ["3", -1, "-1", "seven", "1,", "", "3.0", "\u00b2", "cat,bird"])
def test_labels_that_do_not_exist(label: Any) -> None:
    with pytest.raises(ValueError, match="labels of this generator are 0 to 2: cat, dog, owl"):
        labels_of(label, 3, ("cat", "dog", "owl"))


def test_a_generator_without_labels_has_none() -> None:
    with pytest.raises(ValueError, match="none: it was trained without them"):
        labels_of("1", 0, ())


def test_samples_of_a_list_of_classes(zygote: Any, place: Path) -> None:
    module = "gan_runner.commands.sample"
    for name, label in (("both", "3,4"), ("three", "3"), ("four", "4")):
        words = ("labelled", "--count", "4", "--label", label, "--out", f"{name}.npy")
        code, out = zygote.run(place, *words, module=module)
        assert code == 0, out
    both, three, four = (np.load(place / f"{name}.npy") for name in ("both", "three", "four"))
    assert (both[::2] == three[::2]).all() and (both[1::2] == four[1::2]).all()
    assert not np.allclose(three, four)


# Files of samples and exports


@pytest.mark.parametrize("name", ["x.png", "x.PNG", "x.jpg", "x.JPEG", "x.webp", "x.npz", "x.npy"])
def test_endings_of_samples(zygote: Any, place: Path, name: str) -> None:
    words = ("labelled", "--count", "3", "--out", name)
    code, out = zygote.run(place, *words, module="gan_runner.commands.sample")
    assert code == 0 and (place / name).is_file(), out
    if "np" in name.lower().partition(".")[2][:2]:
        loaded = np.load(place / name)
        assert (loaded["samples"] if name == "x.npz" else loaded).shape == (3, 1, 8, 8)
    else:
        with Image.open(place / name) as image:
            assert min(image.size) > 8


@pytest.mark.parametrize("name", ["x.gif", "x.pt"])
def test_other_endings_of_samples_are_refused(zygote: Any, place: Path, name: str) -> None:
    words = ("labelled", "--count", "3", "--out", name)
    code, out = zygote.run(place, *words, module="gan_runner.commands.sample")
    assert code == 2 and f"--out {name}: should end in .png" in out


# Batches of one


@pytest.mark.parametrize("player", ["generator", "critic"])
def test_batch_norm_refuses_a_batch_of_one(zygote: Any, tmp_path: Path, player: str) -> None:
    words = (*RUN, "trainer.batch_size=1", f"model.{player}.norm=batch", "objective=gan")
    code, out = zygote.run(tmp_path, *words, "hydra.run.dir=r")
    assert code == 2 and f"trainer.batch_size=1: batch norm of the {player} needs" in out, out
    assert not (tmp_path / "r").exists()


def test_a_batch_of_one_image_trains(zygote: Any, tmp_path: Path) -> None:
    words = [w for w in LABELLED if not w.startswith("trainer.batch_size")]
    code, out = zygote.run(tmp_path, *words, "trainer.batch_size=1", "hydra.run.dir=r")
    assert code == 0, out


# Archives and links


def noise(path: Path, count: int = 3) -> Path:
    path.mkdir(parents=True)
    random = np.random.default_rng(0)
    for k in range(count):
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{k}.png")
    return path


def archive(folder: Path, *, flag: int = 0, method: int = 0, members: int = 3) -> Path:
    """Zip a folder's files; set the flag or the method in the headers of the first members."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for image in sorted(folder.iterdir()):
            file.write(image, image.name)
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        for _ in range(members):
            start = data.index(signature, start) + 1
            data[start - 1 + at] |= flag
            data[start - 1 + at + 2] = method
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("skip", ["refuse", "skip"])
@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ({"flag": 1}, "its files are encrypted, which is not supported; unpack them"),
        ({"method": 9}, "its files are compressed with Deflate64, which is not supported"),
        ({"method": 14}, "its files are compressed with LZMA"),
        ({"method": 77}, "its files are compressed with method 77"),
    ],
)
def test_an_archive_that_cannot_be_unpacked(
    tmp_path: Path, marks: dict[str, int], words: str, skip: Any
) -> None:
    path = archive(noise(tmp_path / "d"), **marks)
    with pytest.raises(ValueError, match=words):
        image_folder(path=str(path), on_bad_file=skip)


def test_one_encrypted_member_is_a_bad_file(tmp_path: Path) -> None:
    path = archive(noise(tmp_path / "d"), flag=1, members=1)
    with pytest.raises(ValueError, match=r"not readable as images: 0.png \(encrypted\); remove"):
        image_folder(path=str(path))
    with pytest.warns(UserWarning, match=r"0.png \(encrypted\); skipped"):
        assert len(image_folder(path=str(path), on_bad_file="skip").train.x) == 1


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (None, "a zip file whose end is missing"),
        (b"\x1f\x8b\x08", "a gzip file"), (b"7z\xbc\xaf\x27\x1c", "a 7z file"),
        (b"Rar!\x1a\x07", "a RAR file"), (b"BZh9", "a bzip2 file"), (b"\xfd7zXZ\x00", "an xz file"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_zip_is_named(tmp_path: Path, start: bytes | None, kind: str) -> None:
    path = archive(noise(tmp_path / "d"))
    path.write_bytes(path.read_bytes()[:-150] if start is None else start + bytes(500))
    with pytest.raises(ValueError, match=f"neither a directory nor a zip file: it is {kind}"):
        open_files(str(path))


def test_a_dangling_link_is_a_bad_file(tmp_path: Path) -> None:
    folder = noise(tmp_path / "d")
    (folder / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(
        ValueError, match=r"gone.png \(a link to a missing file\); remove or convert them"
    ):
        image_folder(path=str(folder))
    with pytest.warns(UserWarning, match="gone.png"):
        dataset = image_folder(path=str(folder), on_bad_file="skip")
    assert len(dataset.train.x) + len(dataset.heldout.x) == 3
    shutil.rmtree(folder)

"""Relative paths mean the folder of the start; a run may move, and its data with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from gan_runner.config.paths import absolute, anchored, with_own_places
from gan_runner.runs import files
from gan_runner.runs.checkpoint import checkpoint_steps

IMAGES = (
    "dataset=image_folder", "dataset.path=photos", "model.filters=4", "objective=cgan",
    "trainer.batch_size=4", "trainer.steps=2", "trainer.log_every=1", "trainer.checkpoint_every=1",
    "trainer.num_eval_samples=8", "trainer.precision=fp32", "trainer.accelerate=eager",
    "metrics=none", "plots=none", "device=cpu",
)  # fmt: skip


def photos(folder: Path, seed: int = 0) -> Path:
    """Write two classes of six pictures of noise."""
    random = np.random.default_rng(seed)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for k in range(6):
            pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def trained(zygote: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and a run of them, whose command named them relatively."""
    home = tmp_path_factory.mktemp("home")
    photos(home / "photos")
    code, out = zygote.run(home, *IMAGES, "hydra.run.dir=run")
    assert code == 0, out
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "home")
    config = tmp_path / "home" / "run" / "config.yaml"
    text = config.read_text().replace(str(trained), str(tmp_path / "home"))
    config.write_text(text)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "home"


def test_a_saved_path_is_absolute(trained: Path) -> None:
    config = yaml.safe_load((trained / "run" / "config.yaml").read_text())
    assert config["dataset"]["path"] == str(trained / "photos")
    assert json.loads((trained / "run" / "command.json").read_text())["overrides"][1] == (
        "dataset.path=photos"
    )


@pytest.mark.parametrize("where", ["home", "elsewhere"])
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("gan_runner.train", ("resume=RUN", "trainer.steps=3")),
        ("gan_runner.train", ("repeat=RUN", "hydra.run.dir=again")),
        ("gan_runner.train", ("repeat=RUN", "seed=3", "hydra.run.dir=again")),
        ("gan_runner.commands.verify", ("RUN",)),
        ("gan_runner.commands.sample", ("RUN", "--count", "2", "--label", "dog", "--out", "a.npy")),
        ("gan_runner.commands.export", ("RUN", "--out", "g.safetensors")),
    ],
)
def test_every_command_works_from_every_folder(
    zygote: Any, home: Path, where: str, module: str, words: tuple[str, ...]
) -> None:
    words = tuple(word.replace("RUN", str(home / "run")) for word in words)
    code, out = zygote.run(home.parent / where, *words, module=module)
    assert code == 0, out


def test_chdir_of_hydra_changes_no_path(zygote: Any, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    code, out = zygote.run(tmp_path, *IMAGES, "hydra.job.chdir=true", "hydra.run.dir=a/run")
    assert code == 0 and "gan-sample a/run " in out, out
    code, out = zygote.run(tmp_path / "a", "resume=run", "trainer.steps=3")
    assert code == 0, out


def test_a_run_goes_on_with_the_same_data_in_another_place(zygote: Any, home: Path) -> None:
    moved = home.parent / "far" / "copy"
    shutil.copytree(home / "run", moved)
    (home / "photos").rename(home.parent / "elsewhere" / "moved")
    away = home.parent / "elsewhere"
    code, out = zygote.run(away, f"resume={moved}", "trainer.steps=3")
    assert code == 2 and f"dataset.path={home / 'photos'}: the path does not exist" in out
    code, out = zygote.run(away, f"resume={moved}", "trainer.steps=3", "dataset.path=moved")
    assert code == 0, out
    assert checkpoint_steps(moved)[-1] == 3
    code, out = zygote.run(home, str(moved), module="gan_runner.commands.verify")
    assert code == 0, out  # the run knows the new place


@pytest.mark.parametrize("command", ["resume", "verify"])
def test_other_data_are_refused_with_both_hashes(zygote: Any, home: Path, command: str) -> None:
    before = json.loads((home / "run" / "data.json").read_text())["sha256"]
    shutil.rmtree(home / "photos")
    photos(home / "photos", seed=1)
    words: dict[str, tuple[str, ...]] = {
        "resume": ("resume=run", "trainer.steps=3", "dataset.path=photos"), "verify": ("run",),
    }  # fmt: skip
    module = {"resume": "gan_runner.train", "verify": "gan_runner.commands.verify"}[command]
    code, out = zygote.run(home, *words[command], module=module)
    assert code == 2 and "its training data have changed" in out, out
    hashes = out.partition("sha256 ")[2]
    assert hashes.startswith(before[:12]) and hashes.count(before[:12]) == 1


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("dataset.root=x", "dataset.root=.*x: the data set of run does not have this key"),
        ("dataset.path=a,b", "dataset.path=a,b: should be one value; put quotes around it"),
        ("model.filters=8", "a resumed run keeps its configuration"),
        ("device=cuda:99", "device=cuda:99"),
        ("-m", "resume= continues one run; leave the flag out"),
    ],
)
def test_other_words_with_resume_are_refused(
    zygote: Any, home: Path, word: str, words: str
) -> None:
    code, out = zygote.run(home, "resume=run", "trainer.steps=3", word)
    assert code == 2
    assert re.search(words, out), out


def test_a_path_of_another_package_is_anchored_only_if_it_exists(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    node = {"_target_": "mine.data", "path": "user/data-set", "root": "here"}
    own = {"_target_": "gan_runner.data.image_folder.image_folder", "path": "gone", "cache": "~/c"}
    for tree, expected in (
        (node, {"path": "user/data-set", "root": str(tmp_path / "here")}),
        (own, {"path": str(tmp_path / "gone"), "cache": "~/c"}),
    ):
        text = yaml.safe_dump({"dataset": tree, "trainer": {"path": "x"}})
        saved = yaml.safe_load(anchored(text, tmp_path))
        assert saved == {"dataset": {**tree, **expected}, "trainer": {"path": "x"}}


def test_a_folder_with_an_interpolation_in_its_name_stays_relative() -> None:
    assert absolute("dataset.path", "d", "/a/${b}") == "d"
    assert absolute("dataset.path", "../d", "/a/b") == "/a/d"
    assert absolute("device", "cpu", "/a/b") == "cpu"


# No home


def test_without_home_the_cache_is_a_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("GAN_RUNNER_CACHE")

    def nobody(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.warns(UserWarning, match="HOME is not set"):
        assert files.cache_folder() == tmp_path / f"gan_runner-{os.getuid()}"


def test_a_temporary_folder_of_someone_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = files.temporary_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(OSError, match="belongs to another user"):
        files.temporary_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(OSError, match="belongs to another user"):
        files.temporary_folder()


STRANGER = ("unshare", "--user", "--map-user=54321")


@pytest.mark.slow
@pytest.mark.parametrize("has_home", [True, False], ids=["read-only home", "no HOME"])
def test_a_user_without_a_name_trains(tmp_path: Path, has_home: bool) -> None:
    if subprocess.run([*STRANGER, "true"], capture_output=True).returncode:
        pytest.skip("user namespaces are not permitted here")
    photos(tmp_path / "photos")
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o555)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o777)
    dropped = ("HOME", "GAN_RUNNER_CACHE", "USER", "LOGNAME")
    env = {key: value for key, value in os.environ.items() if key not in dropped}
    env |= {"TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1"}
    env |= {"HOME": str(tmp_path / "home")} if has_home else {}
    result = subprocess.run(
        [*STRANGER, sys.executable, "-m", "gan_runner.train", *IMAGES, "hydra.run.dir=run"],
        cwd=tmp_path, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    said = "cannot be written" if has_home else "HOME is not set"
    assert result.stderr.count(said) == 1, result.stderr
    assert list((tmp_path / "tmp").glob("gan_runner-*/**/*.safetensors"))


def set_dataset(run_dir: Path, **values: object) -> None:
    file = run_dir / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["dataset"] |= values
    file.write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("gan_runner.train", ("resume=RUN", "trainer.steps=3")),
        ("gan_runner.train", ("repeat=RUN", "hydra.run.dir=again")),
        ("gan_runner.commands.verify", ("RUN",)),
        ("gan_runner.commands.evaluate", ("RUN", "--count", "8", "--device", "cpu")),
    ],
)
def test_a_saved_cache_is_not_written_to_unless_it_is_typed(
    zygote: Any, home: Path, module: str, words: tuple[str, ...]
) -> None:
    words = tuple(word.replace("RUN", str(home / "run")) for word in words)
    theirs, own = home / "theirs", home / "own"
    set_dataset(home / "run", cache=str(theirs))
    code, out = zygote.run(home, *words, module=module)
    assert code in (0, 1), out
    assert not theirs.exists()
    if module == "gan_runner.train":
        config = yaml.safe_load(next(home.glob("[ar]*/config.yaml")).read_text())
        assert config["dataset"]["cache"] != str(theirs)
        set_dataset(home / "run", cache=str(theirs))
        words = (words[0], words[1].replace("3", "4").replace("again", "third"))
        code, out = zygote.run(home, *words, f"dataset.cache={own}", module=module)
        assert code == 0 and own.exists() and not theirs.exists(), out


@pytest.mark.parametrize(
    ("saved", "typed", "expected"),
    [
        ({"cache": "/x"}, [], {"cache": "DEFAULT"}),
        ({"cache": {"a": 1}}, [], {"cache": "DEFAULT"}),
        ({"cache": None}, [], {"cache": None}),
        ({"path": "/photos", "n": 3}, [], {"path": "/photos", "n": 3}),
        ({"root": "/x", "download": True}, [], {"root": "/x", "download": False}),
        ({"root": "/x", "download": True}, ["dataset.root"], {"root": "/x", "download": True}),
        ({"root": "/x", "download": True}, ["dataset.download"], {"root": "/x", "download": True}),
        ({"root": "DEFAULT", "download": True}, [], {"root": "DEFAULT", "download": True}),
        ({"of": [{"cache": "/x"}]}, [], {"of": [{"cache": "DEFAULT"}]}),
        ({"of": {"root": "/x", "download": 1}}, [], {"of": {"root": "/x", "download": False}}),
    ],
)
def test_a_saved_configuration_names_no_place_to_write_to(
    monkeypatch: pytest.MonkeyPatch, saved: Any, typed: list[str], expected: Any
) -> None:
    for variable in ("GAN_RUNNER_CACHE", "GAN_RUNNER_DATA"):
        monkeypatch.setenv(variable, "DEFAULT")
    config = {"dataset": saved, "model": {"cache": "/x"}}
    before = json.dumps(config)
    assert with_own_places(config, typed) == {**config, "dataset": expected}
    assert json.dumps(config) == before

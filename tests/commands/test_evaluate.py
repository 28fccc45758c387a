"""gan-evaluate: what it says of a run is what the run logged; files and exports score alike."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from gan_runner.builder import build
from gan_runner.commands import evaluate as command
from gan_runner.commands import export, sample
from gan_runner.config.paths import MOVABLE_KEYS
from gan_runner.evaluation.card_text import card_text, command_of, groups_of
from gan_runner.evaluation.evaluate import evaluate, kept_results
from gan_runner.evaluation.protocols import PROTOCOLS
from gan_runner.evaluation.request import Request
from gan_runner.evaluation.tables import markdown_row, terminal_text
from gan_runner.metrics.images import classifier
from gan_runner.metrics.images.features import Features
from gan_runner.runs.checkpoint import load_state
from gan_runner.runs.sample_files import read_samples
from gan_runner.training.loop import fit

SMALL = (
    "model.filters=4", "trainer.batch_size=16", "trainer.num_eval_samples=100", "device=cpu",
    "trainer.precision=fp32", "metrics.images.subset_size=50", "metrics.images.splits=2",
)  # fmt: skip
OF_TRAINING = ("loss/", "grad_norm/", "speed/", "health/", "step", "wasserstein/critic")
FAST = ("frechet", "kernel", "precision_recall", "classifier_score")
FILES = int(os.environ.get("GAN_RUNNER_FID_FILES", "60"))  # 2,000 take a quarter of an hour
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def composed() -> Callable[..., DictConfig]:
    from conftest import _composed

    return lambda *overrides: _composed(overrides).copy()


@pytest.fixture(scope="module")
def run_dir(composed: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on real digits, whose log has every metric at three checkpoints."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    cfg = composed(
        *SMALL, "metrics=full", "plots=none", "trainer.steps=12", "trainer.log_every=4",
        "trainer.evaluate_every=4", "trainer.checkpoint_every=4", "trainer.keep_checkpoints=3",
        "trainer.checkpoint_metric=images/frechet", "optimizer.lr=0.01", "trainer.ema_decay=0.5",
    )  # fmt: skip
    fit(build(cfg), folder)
    return folder


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a command in this process; return exit status, output and errors."""

    def run(module: Any, *arguments: object) -> tuple[int, str, str]:
        status = 0
        try:
            module.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return run


def points(run_dir: Path) -> dict[int, dict[str, float]]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return {point["step"]: point for point in map(json.loads, lines)}


def numbers(result: dict[str, Any]) -> dict[str, float]:
    return {tag: entry["value"] for tag, entry in result["values"].items()}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("checkpoint", ["last", "8"])
def test_the_metrics_of_a_run_are_those_of_its_log_bit_for_bit(
    run_dir: Path, raw: bool, checkpoint: str
) -> None:
    result = evaluate(run_dir, Request(checkpoint=checkpoint, raw=raw))
    logged = points(run_dir)[12 if checkpoint == "last" else 8]
    found = numbers(result)
    assert {tag: found[tag] for tag in found if tag in logged} == {
        tag: logged[tag] for tag in found if tag in logged
    }
    costly = {tag for tag in found if tag.startswith("jsd/probe")}  # a run omits most of its steps
    assert set(found) - set(logged) <= (set() if checkpoint == "last" else costly)
    expected = {
        tag for tag in logged
        if tag.endswith("_raw") == raw and not tag.startswith(OF_TRAINING)
    }  # fmt: skip
    of_both = {"wasserstein/critic_heldout", "critic/input_gradient_norm"}
    assert expected - set(found) <= {tag for tag in expected if "_floor" in tag or "/bound" in tag}
    assert of_both <= set(found) and len(found) > 30


def test_other_checkpoints_have_other_numbers(run_dir: Path, tmp_path: Path) -> None:
    def frechet(folder: Path, which: str) -> float:
        request = Request(checkpoint=which, measures=("frechet",))
        return numbers(evaluate(folder, request))["images/frechet"]

    logged = {step: point["images/frechet"] for step, point in points(run_dir).items()}
    assert frechet(run_dir, "best") == min(logged.values())
    other = tmp_path / "run"
    shutil.copytree(run_dir, other, ignore=shutil.ignore_patterns("evaluations"))
    kept = other / "checkpoints"
    shutil.copy(kept / "step_00000008.pt", kept / "best.pt")
    found = [frechet(other, which) for which in ("4", "best", "last")]
    assert found == [logged[4], logged[8], logged[12]] and len({*found}) == 3


def test_every_number_has_its_provenance(run_dir: Path) -> None:
    result = evaluate(run_dir, Request(checkpoint="best", measures=(*FAST, "exact")))
    for tag, entry in result["values"].items():
        assert {"kind", "checkpoint", "step", "generator", "generator_weights", "samples",
                "noise", "protocol"} <= set(entry), tag  # fmt: skip
        assert entry["checkpoint"] == "best" and entry["samples"] == 100
    frechet = result["values"]["images/frechet"]
    assert frechet["network"] == "classifier" and len(frechet["weights"]) == 12
    assert frechet["reference"] == "held-out" and frechet["rows"] == 100 and frechet["of"] == 359
    assert result["values"]["images/kernel"]["subsets"] == 100


def test_a_number_is_kept_and_not_computed_again(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(measures=("frechet", "exact"), seed=3)
    first = evaluate(run_dir, request)
    monkeypatch.setattr("gan_runner.evaluation.evaluate.subject_of", None)
    assert evaluate(run_dir, request) == json.loads(json.dumps(first))
    with pytest.raises(TypeError):
        evaluate(run_dir, Request(measures=("frechet", "exact"), seed=4))
    assert first["values"]["images/frechet"]["noise"] == "seed 3"
    assert any(numbers(first) == numbers(result) for result in kept_results(run_dir))


def test_reference_features_are_computed_once(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = classifier.ConvNet.forward

    def counted(network: classifier.ConvNet, x: torch.Tensor) -> Any:
        seen.append(len(x))
        return forward(network, x)

    def looked_at(seed: int) -> int:
        seen.clear()
        evaluate(run_dir, Request(measures=("frechet",), seed=seed, count=301, reference="train"))
        return sum(seen)

    monkeypatch.setattr(classifier.ConvNet, "forward", counted)
    first, second = looked_at(5), looked_at(6)
    assert first - second == 600  # 301 training and 301 held-out rows, but the first, for its shape
    assert second < 1100  # 360 of them are the classifier's accuracy, computed on loading


def test_the_training_split_as_the_reference(run_dir: Path) -> None:
    request = Request(measures=("frechet", "exact"), count=90, reference="train")
    entry = evaluate(run_dir, request)["values"]["images/frechet"]
    assert entry["reference"] == "training" and entry["rows"] == 90 and entry["of"] == 1438
    assert entry["real"] > 0  # fresh rows are held-out ones
    held_out = Request(measures=("frechet",), count=90)
    other = evaluate(run_dir, held_out)["values"]["images/frechet"]
    assert other["value"] != entry["value"] and other["weights"] == entry["weights"]


def test_files_of_the_same_samples_score_alike(run_dir: Path, tmp_path: Path, said: Said) -> None:
    arguments = ("--count", 120, "--seed", 2, "--checkpoint", "8")
    for out in ("x.npz", "pngs/"):
        status, _, errors = said(sample, run_dir, "--out", f"{tmp_path}/{out}", *arguments)
        assert status == 0, errors
    arrays = np.load(tmp_path / "x.npz")
    assert arrays["arr_0"].shape == (120, 8, 8, 1) and arrays["arr_0"].dtype == np.uint8
    expected = ((arrays["samples"].transpose(0, 2, 3, 1).clip(-1, 1) + 1) * 127.5).round()
    assert (arrays["arr_0"] == expected).all()
    assert len(list((tmp_path / "pngs").iterdir())) == 120
    request = Request(
        measures=(*FAST, "exact", "sliced", "diversity"), overrides=("dataset=digits",)
    )
    npz, folder = (evaluate(tmp_path / name, request) for name in ("x.npz", "pngs"))
    assert numbers(npz) == numbers(folder) and len(numbers(npz)) > 10
    own = Request(measures=request.measures, seed=2, count=120, checkpoint="8")
    for tag, value in numbers(evaluate(run_dir, own)).items():
        if "floor" not in tag and "std" not in tag:  # pixels are rounded in files
            assert numbers(npz)[tag] == pytest.approx(value, rel=0.05, abs=0.02), tag


def test_a_folder_is_compared_with_a_folder(run_dir: Path, tmp_path: Path, said: Said) -> None:
    for seed in (0, 1):
        said(sample, run_dir, "--count", 80, "--out", f"{tmp_path}/{seed}/", "--seed", seed)
    request = Request(
        network="random", measures=("frechet", "exact"), reference=str(tmp_path / "1")
    )
    result = evaluate(tmp_path / "0", request)
    entry = result["values"]["images/frechet"]
    assert entry["rows"] == entry["of"] == 80 and entry["network"] == "random"
    assert entry["reference"] == str(tmp_path / "1") and "real" not in entry
    assert entry["value"] > 0
    same = Request(network="random", measures=("frechet",), reference=str(tmp_path / "0"))
    assert numbers(evaluate(tmp_path / "0", same))["images/frechet"] == pytest.approx(0, abs=1e-6)


def test_an_exported_folder_is_complete(run_dir: Path, tmp_path: Path, said: Said) -> None:
    known = evaluate(run_dir, Request(checkpoint="8", measures=("frechet",), count=70))
    status, _, errors = said(export, run_dir, "--out", tmp_path / "made", "--checkpoint", "8")
    assert status == 0, errors
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert names == {"generator.safetensors", "config.yaml", "provenance.json", "samples.png",
                     "README.md"}  # fmt: skip
    card = (tmp_path / "made" / "README.md").read_text()
    logged = points(run_dir)[8]["images/frechet"]
    assert "step 8" in card and f"{logged:.4g}" in card
    assert f"{known['values']['images/frechet']['value']:.4g}" in card and "70 samples" in card
    file = tmp_path / "made" / "generator.safetensors"
    for source, extra in ((file, ()), (tmp_path / "made", ()), (run_dir, ("--checkpoint", "8"))):
        out = tmp_path / f"{len(extra)}{source.is_file()}.npz"
        assert said(sample, source, "--out", out, "--count", 30, *extra)[0] == 0
    arrays = [np.load(path)["samples"] for path in tmp_path.glob("*.npz")]
    assert len(arrays) == 3 and all((a == arrays[0]).all() for a in arrays)
    request = Request(measures=("frechet",), count=70, seed=0)
    result = evaluate(file, request)
    assert result["generator_weights"] == known["generator_weights"] and result["step"] == 8
    own = evaluate(run_dir, Request(measures=("frechet",), count=70, seed=0, checkpoint="8"))
    assert numbers(result)["images/frechet"] == pytest.approx(numbers(own)["images/frechet"])
    said(export, run_dir, "--out", tmp_path / "made")  # again, into its own folder
    assert "step 12" in (tmp_path / "made" / "README.md").read_text()


def test_the_card_says_what_a_reader_asks(run_dir: Path, tmp_path: Path, said: Said) -> None:
    assert said(export, run_dir, "--out", tmp_path / "made", "--checkpoint", "best")[0] == 0
    card = (tmp_path / "made" / "README.md").read_text()
    best = min(points(run_dir).values(), key=lambda point: point["images/frechet"])
    floor = best["wasserstein/exact_floor"]
    assert f"step {best['step']}, the best by images/frechet" in card
    assert f"| W1 \u2193 | {best['wasserstein/exact']:.4g} | {floor:.4g} |" in card
    score, std = (best[f"images/classifier_score{suffix}"] for suffix in ("", "_std"))
    assert f"| classifier score \u2191 | {score:.4g} \u00b1 {std:.2g} |" in card
    assert "- samples are alike: " in card or "- not learned yet: " in card
    assert "_floor" not in card and "_raw" not in card and "class_share" not in card
    assert "# Generator of digits\n" in card and "- training: seed 0\n" in card
    choices = {"objective": "wgan_gp", "model": "dcgan", "health": "default"}
    assert groups_of(choices) == "objective wgan_gp, model dcgan"
    words = ["model.filters=4", "dataset.download=false", "+average=[a,b]", "hydra.run.dir=here"]
    places = [f"{plus}{key}=here" for plus in ("", "+") for key in MOVABLE_KEYS]
    assert command_of([*words, *places]) == "gan-run model.filters=4 '+average=[a,b]'"
    code = card.split("```python\n")[1].split("```")[0].replace("1000", "3")
    found: dict[str, Any] = {}
    here = Path.cwd()
    try:
        os.chdir(tmp_path / "made")
        exec(code, found)
    finally:
        os.chdir(here)
    assert found["x"].shape == (3, 1, 8, 8)


def test_averages_by_name(composed: Callable[..., DictConfig], tmp_path: Path, said: Said) -> None:
    """gan-sample, gan-export and gan-evaluate take the same weights by the same name."""
    run_dir = tmp_path / "run"
    cfg = composed(*SMALL[:4], "metrics=default", "plots=none", "trainer.steps=3", "optimizer.lr=0.01",
                   "+average=[half_life,uniform]", "averages.half_life.images=40",
                   "trainer.evaluate_every=3")  # fmt: skip
    fit(build(cfg), run_dir)
    weights, drawn = {}, {}
    for name in ("half_life", "uniform"):
        request = Request(average=name, measures=("exact",), seed=0)
        weights[name] = evaluate(run_dir, request)["generator_weights"]
        arguments = ("--average", name, "--out", tmp_path / name)
        assert said(export, run_dir, *arguments)[0] == 0
        card = (tmp_path / name / "README.md").read_text()
        assert f"average `{name}`, step 3, SHA-256 {weights[name]}" in card
        assert ("### Log of the run" in card) == (name == "half_life")  # metrics are of the first
        assert f"averaged generator {name}, seed 0" in card and "| W1 \u2193 |" in card
        for source, extra in ((tmp_path / name, ()), (run_dir, ("--average", name))):
            out = tmp_path / f"{name}{len(extra)}.npz"
            assert said(sample, source, "--out", out, "--count", 5, *extra)[0] == 0
        own, exported = (np.load(tmp_path / f"{name}{k}.npz")["samples"] for k in (2, 0))
        assert (own == exported).all()
        drawn[name] = own
    assert (
        weights["half_life"] == evaluate(run_dir, Request(measures=("exact",)))["generator_weights"]
    )
    assert weights["uniform"] != weights["half_life"]
    assert not np.allclose(drawn["uniform"], drawn["half_life"], atol=1e-3)
    for module in (command, export):
        for arguments in (("--average", "swa"), ("--average", "uniform", "--raw")):
            status, _, errors = said(module, run_dir, *arguments)
            *earlier, line = errors.splitlines()  # of the calls of `evaluate` above
            assert status == 2 and "--average" in line
            assert all("held-out rows: about" in text for text in earlier)


def test_a_checkpoint_is_read_once(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def counted(path: Path) -> Any:
        seen.append(path)
        return load_state(path)

    monkeypatch.setattr("gan_runner.runs.checkpoint.load_state", counted)
    monkeypatch.setattr("gan_runner.runs.chosen_checkpoint.load_state", counted)
    for which in ("last", "best"):
        evaluate(run_dir, Request(checkpoint=which, measures=("sliced",), seed=8))
    assert [path.name for path in seen] == ["step_00000012.pt", "best.pt"]


def test_a_sweep_is_evaluated_run_by_run(run_dir: Path, tmp_path: Path, said: Said) -> None:
    for number, name in enumerate(("one", "two", "broken")):
        job = tmp_path / "sweep" / name
        shutil.copytree(run_dir, job, ignore=shutil.ignore_patterns("evaluations"))
        note = {"status": "completed", "overrides": [f"seed={number}"], "number": number}
        (job / "job.json").write_text(json.dumps(note))
    shutil.rmtree(tmp_path / "sweep" / "broken" / "checkpoints")
    out = tmp_path / "all.json"
    arguments = (tmp_path / "sweep", "--measures", "frechet", "--out", out)
    status, text, errors = said(command, *arguments)
    assert status == 1 and "broken" in errors and "has no checkpoint that can be read" in errors
    runs = json.loads(out.read_text())["runs"]
    assert [Path(path).name for path in runs] == ["one", "two"]
    logged = points(run_dir)[12]["images/frechet"]
    assert {numbers(run)["images/frechet"] for run in runs.values()} == {logged}
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 and all(f"Frechet distance {logged:.4g}" in row for row in rows)
    shutil.rmtree(tmp_path / "sweep" / "broken")
    begun = time.perf_counter()
    assert said(command, *arguments)[0] == 0  # known: nothing is computed
    assert time.perf_counter() - begun < 10


def test_plots_are_drawn_afterwards(run_dir: Path, tmp_path: Path) -> None:
    evaluate(run_dir, Request(measures=("exact",)), plots=tmp_path / "plots")
    names = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert {"samples", "interpolations", "nearest_neighbours", "curves"} <= names
    with Image.open(tmp_path / "plots" / "samples.png") as image:
        assert image.size[0] > 100


def test_points_are_evaluated_too(
    composed: Callable[..., DictConfig], tmp_path: Path, said: Said
) -> None:
    cfg = composed("dataset=gaussians8", "model=mlp", "model.width=8", "device=cpu", "plots=none",
                   "trainer.steps=2", "trainer.evaluate_every=2", "trainer.log_every=2",
                   "trainer.num_eval_samples=64", "metrics=full", "trainer.batch_size=16")  # fmt: skip
    fit(build(cfg), tmp_path / "run")
    found = numbers(evaluate(tmp_path / "run", Request()))
    logged = points(tmp_path / "run")[2]
    assert found == {tag: logged[tag] for tag in found} and "modes/found" in found
    assert said(sample, tmp_path / "run", "--out", tmp_path / "x.npz", "--count", 64)[0] == 0
    assert read_samples(tmp_path / "x.npz").shape == (64, 2)
    values = numbers(evaluate(tmp_path / "x.npz", Request(overrides=("dataset=gaussians8",))))
    assert values["wasserstein/exact"] > 0 and "jsd/grid" in values


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere does not exist"),
        (("{tmp}",), "is not a run|contains no images"),
        (("{run}", "--checkpoint", "5"), r"--checkpoint 5: .* choose one of: 4, 8, 12, best"),
        (("{run}", "--checkpoint", "worst"), "--checkpoint worst: should be best, last or a step"),
        (("{run}", "--count", "1"), "--count 1: should be 2 or more"),
        (("{run}", "--count", "99999999999999"), "--count 99999999999999: the samples need about"),
        (("{run}", "--measures", "fud"), "--measures fud: unknown; choose from: .*frechet"),
        (("{run}", "--protocol", "fid50k_train", "--count", "9"), "--count: the protocol .* fixes it"),
        (("{run}", "--weights", "x.pth"), "--weights: are Inception's"),
        (("{run}", "--network", "inception", "--weights", "x.pth"), "--weights x.pth: the file does not exist"),
        (("{run}", "--reference", "nowhere"), "--reference nowhere: should be heldout, train"),
        (("{run}", "dataset=mnist"), "dataset: a run keeps its configuration"),
        (("{npz}",), "name the data to compare with, such as dataset=mnist"),
        (("{npz}", "dataset=digits"), "samples have shape 3 x 9 x 9, and digits has 1 x 8 x 8"),
        (("{npz}", "dataset=digit"), "dataset=digit: no such option; did you mean dataset=digits"),
        (("{npz}", "dataset=digits", "--count", "99"), "has 5 samples, and 99 are asked for"),
        (("{npz}", "dataset=digits", "--raw"), "holds samples; omit --raw"),
        (("{npz}", "dataset=digits", "--average", "ema"), "holds samples; omit --raw, --average"),
        (("{run}", "--average", "uniform"), "--average uniform: no such average; choose one of: ema"),
        (("{bad}", "dataset=digits"), r"bad.npz is not an .npz file|bad.npz: "),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_in_one_line(
    arguments: tuple[str, ...], words: str, run_dir: Path, tmp_path: Path, said: Said
) -> None:
    np.savez(tmp_path / "x.npz", arr_0=np.zeros((5, 9, 9, 3), np.uint8))
    (tmp_path / "bad.npz").write_text("no archive")
    places = {
        "run": run_dir,
        "tmp": tmp_path,
        "npz": tmp_path / "x.npz",
        "bad": tmp_path / "bad.npz",
    }
    status, _, errors = said(command, *(a.format(**places) for a in arguments))
    lines = errors.strip().splitlines()
    assert status == 2 and lines[-1].startswith("gan-evaluate: "), errors
    assert re.search(words, lines[-1]), errors
    assert all("about" in line or "warning" in line for line in lines[:-1])


def test_inception_without_weights_is_one_line(
    run_dir: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(published, "load_state_dict_from_url", unreachable)
    monkeypatch.setattr("gan_runner.evaluation.subjects.check_samples", lambda *_: None)
    status, _, errors = said(command, run_dir, "--network", "inception", "--measures", "frechet")
    assert status == 2 and "cannot be downloaded" in errors and "--weights FILE" in errors


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_fixes_what_its_number_depends_on(name: str) -> None:
    request = Request(protocol=name, weights="file").checked()
    protocol = PROTOCOLS[name]
    assert request.network == "inception" and request.reference == "train"
    assert request.count == protocol.count == (10_000 if name == "precision_recall" else 50_000)
    assert request.all_rows == (name in ("fid50k_train", "kid"))
    assert protocol.source and request.options == protocol.options


class Pixels(nn.Module):
    """The pixels are the features, and the first ten the logits."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.flatten(1), 4 * x.flatten(1)[:, 20:30]


@pytest.mark.parametrize(
    ("name", "tags", "rows"),
    [
        ("fid50k_train", {"FID": "images/fid"}, 1438),
        ("is50k", {"inception score": "images/classifier_score"}, None),
        ("kid", {"KID": "images/kid"}, 1438),
        ("precision_recall", {"density": "images/density", "coverage": "images/coverage"}, 120),
    ],
)
def test_a_protocol_measures_what_it_says_and_cites_its_source(
    name: str,
    tags: dict[str, str],
    rows: int | None,
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With few samples, and pixels instead of Inception's features."""
    short = replace(PROTOCOLS[name], count=120)
    monkeypatch.setitem(PROTOCOLS, name, short)
    made = Features("inception", Pixels(), "none", 64)
    monkeypatch.setattr("gan_runner.evaluation.measure.features_of", lambda *_, **__: made)
    result = evaluate(run_dir, Request(protocol=name))
    row = markdown_row(result)
    for word, tag in tags.items():
        entry = result["values"][tag]
        assert f"{word} {entry['value']:.4g}" in row
        assert entry["protocol"] == name and entry["network"] == "inception"
        assert entry.get("rows") == rows and entry["samples"] == 120
    assert short.source in row and "\n" not in row and "checkpoint last, step 12" in row
    options = {"is50k": {"splits": 10}, "kid": {"subsets": 100}, "precision_recall": {"k": 5}}
    for key, value in options.get(name, {}).items():
        assert entry[key] == value
    assert {tag.removeprefix("images/") for tag in result["values"]} <= {
        "fid", "classifier_score", "classifier_score_std", "kid", "precision", "recall", "density",
        "coverage",
    }  # fmt: skip


def write_textures(folder: Path, contrast: float, count: int) -> None:
    """Real digits, moved by a pixel, with noise, as RGB files."""
    folder.mkdir()
    images, rng = load_digits().images, np.random.default_rng(0)
    for k in range(count):
        image = np.roll(images[rng.integers(len(images))], rng.integers(-1, 2, size=2), (0, 1))
        pixels = np.clip(contrast * image + rng.normal(0, 8, image.shape), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(folder / f"{k:04d}.png")


@pytest.mark.slow
def test_fid_is_that_of_torch_fidelity(tmp_path: Path) -> None:
    """Of two folders of images, with random weights in the published format.

    The published weights need a download. Random ones (He et al. 2015) go the same way.
    """
    published = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        network = published.FeatureExtractorInceptionV3("inception", ["2048"])
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    weights = tmp_path / "weights.pth"
    torch.save(network.state_dict(), weights)
    for name, contrast in (("one", 15.9), ("two", 9.0)):
        write_textures(tmp_path / name, contrast, FILES)
    program = (
        sys.executable, "-c", "from torch_fidelity.fidelity import main; main()", "--cpu", "--fid", "--json", "--no-cache",
        "--input1", "one", "--input2", "two", "--feature-extractor", "inception-v3-compat",
        "--feature-extractor-weights-path", "weights.pth", "--batch-size", "50",
    )  # fmt: skip
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)["frechet_inception_distance"]
    request = Request(
        network="inception", weights=str(weights), measures=("fid",),
        reference=str(tmp_path / "two"),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="do not determine the covariance"):
        entry = evaluate(tmp_path / "one", request)["values"]["images/fid"]
    assert entry["rows"] == entry["samples"] == FILES
    assert theirs > 1 and entry["value"] == pytest.approx(theirs, abs=1e-3)


@pytest.mark.slow
def test_ten_thousand_digits_are_evaluated(
    composed: Callable[..., DictConfig], shared_data: Path, tmp_path: Path
) -> None:
    cfg = composed("dataset=mnist", f"dataset.root={shared_data}", "dataset.download=false",
                   "trainer.steps=1", "trainer.num_eval_samples=64", "model.filters=16",
                   "metrics=none", "plots=none", "device=cpu")  # fmt: skip
    fit(build(cfg), tmp_path / "run")
    begun = time.process_time()
    result = evaluate(
        tmp_path / "run", Request(count=10_000, measures=("images",), network="random")
    )
    seconds = time.process_time() - begun
    assert result["values"]["images/frechet"]["rows"] == 10_000
    assert seconds < 2 * 15, seconds  # of both cores together


def test_help_answers_without_torch() -> None:
    code = (
        "import sys\nfrom gan_runner.commands import evaluate\n"
        "try: evaluate.main(['--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "fid50k_train" in done.stdout and done.stdout.rstrip().endswith("False")


def test_an_error_of_rounding_is_not_shown() -> None:
    """All probes say log 2 to the last digits; the spread of the mean is that of rounding."""
    values = {"jsd/probe": {"value": 0.6911}, "jsd/probe_se": {"value": 4.6e-18}}
    result = {"values": values, "path": "x.npz", "kind": "samples"}
    assert terminal_text(result).splitlines()[1].split() == ["jsd/probe", "0.6911"]
    values["jsd/probe_se"]["value"] = 0.0052
    assert terminal_text(result).splitlines()[1].split()[1:] == ["0.6911", "\u00b1", "0.0052"]
    facts = {"name": "a", "facts": [], "remarks": [], "evaluations": [], "picture": None}
    assert "| 0.6911 \u00b1 0.0052 |" in card_text(logged=values, is_image=False, **facts)
    values["jsd/probe_se"]["value"] = 4.6e-18
    assert "| 0.6911 |" in card_text(logged=values, is_image=False, **facts)


def test_a_card_of_own_code_says_what_its_commands_need() -> None:
    def card(*allow: str) -> str:
        text: dict[str, Any] = {"name": "x", "facts": [], "remarks": [], "logged": {}}
        return card_text(**text, evaluations=[], is_image=True, picture=None, allow=allow)

    assert "--allow" not in card() and "PYTHONPATH" not in card()
    own = card("mygan.")
    assert "code of `mygan`: have it on PYTHONPATH" in own
    assert own.count(" --allow mygan.\n") == 2 and "allow=['mygan.']).sample(" in own


def test_no_metric_that_applies_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", samples=np.random.default_rng(0).normal(size=(200, 2)))
    with pytest.raises(SystemExit, match="2"):
        command.main([
            str(tmp_path / "x.npz"), "dataset=gaussians8", "dataset.n_samples=2000",
            "--measures", "images", "--device", "cpu",
        ])  # fmt: skip
    captured = capsys.readouterr()
    assert "--measures images: no metric applies to these samples of gaussians8" in captured.err
    assert not captured.out

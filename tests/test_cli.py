"""gan-run and gan-sample as a user meets them: in an empty folder, output and errors apart.

Most run in a fork of a process that has imported everything; those that test the start don't.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import Zygote
from PIL import Image

from gan_runner.config.compose import config_dir
from gan_runner.core import Batch
from gan_runner.data.digits import digits

QUICK = (
    "model.filters=4",
    "trainer.steps=4",
    "trainer.batch_size=16",
    "trainer.num_eval_samples=64",
    "trainer.checkpoint_every=1",
)
REPOSITORY = Path(__file__).resolve().parents[1]


def command(module: str, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        f"gan_runner.{'' if module == 'train' else 'commands.'}{module}",
        *arguments,
    ]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "100", **more}


ZYGOTES: list[Zygote] = []


@pytest.fixture(scope="module", autouse=True)
def _zygote(zygote: Zygote) -> Iterator[None]:
    ZYGOTES.append(zygote)
    yield
    ZYGOTES.clear()


def gan(module: str, *arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a fork; with environment variables, in a new process."""
    before = set(cwd.rglob("*"))
    if env:
        result = subprocess.run(
            command(module, *arguments), cwd=cwd, env=environment(**env), capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
    else:
        result = fork(command(module, *arguments), cwd)
    result.left_behind = set(cwd.rglob("*")) - before  # type: ignore[attr-defined]
    return result


def fork(argv: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ...` in a fork of the zygote."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder) / "out", Path(folder) / "errors"
        files = {"out": str(out), "errors": str(errors)}
        ZYGOTES[0].start(cwd, *argv[3:], module=argv[2], **files)
        code = ZYGOTES[0].wait()
        return subprocess.CompletedProcess(argv, code, out.read_text(), errors.read_text())


def refused(result: subprocess.CompletedProcess[str], words: str, cwd: Path) -> None:
    """One clear message, an exit status of 1 or 2, no traceback, nothing left behind."""
    assert result.returncode in (1, 2), result.stderr
    assert re.search(words, result.stderr), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    left = [p for p in result.left_behind if "__pycache__" not in p.parts]  # type: ignore[attr-defined]
    assert not left


def test_help_lists_groups_and_options(tmp_path: Path) -> None:
    out = gan("train", "--help", cwd=tmp_path).stdout
    objectives = sorted(path.stem for path in (config_dir() / "objective").glob("*.yaml"))
    assert len(objectives) > 5 and f"objective: {', '.join(objectives)}" in out
    assert re.search("model: dcgan, .*mlp, .*random, resnet", out)
    optimizers = sorted(path.stem for path in (config_dir() / "optimizer").glob("*.yaml"))
    assert len(optimizers) > 5 and f"optimizer: {', '.join(optimizers)}" in " ".join(out.split())
    assert "schedule: constant, cosine, linear, r3gan, robbins_monro, warmup" in out
    assert "average: exponential, half_life, uniform" in out
    assert re.search(r"dataset: .*digits.*gaussians8.*image_folder.*swiss_roll", out)
    assert not list(tmp_path.iterdir())


COMPOSITION = {
    "objective=wgangp": r"objective=wgangp: no such option; did you mean objective=wgan_gp\?",
    "trainer.stpes=5": r"trainer\.stpes: no such key; did you mean trainer\.steps\?",
    "optimzer.lr=1": r"optimzer\.lr: no such key; did you mean optimizer\.lr\?",
    "objetive=gan": r"objetive: no such key; did you mean objective\?",
    "model.filtres=3": r"model\.filtres: no such key; did you mean model\.filters\?",
    "nonsense": r"nonsense: not of the form KEY=VALUE",
    "dataset.path=photos=v1": r"inside the shell's: 'dataset\.path=\"photos=v1\"'$",
    "dataset.path=a,b": r"or quote one path: 'dataset\.path=\"a,b\"'$",
    "optimizer.generator_lr=1": r"did you mean optimizer\.generator\.lr\?$",
    "penalty=r1": r"penalty: no such key to override; add an option with a plus: \+penalty=r1$",
    "seed=0,1": r"add -m to run one job for each value$",
    "steps=5": r"steps: no such key; did you mean trainer\.steps\?$",
    "lr=1": r"lr: no such key; did you mean optimizer\.lr or ",
    "model.width=5": r"model has latent_dim, .*, but model=mlp and mlp_generator have width",
    "metrics.images.network=x": r"metrics has critic, .*, but metrics=images and study have images",
}


QUICK_TYPOS = ("objective=wgangp", "steps=5", "model.width=5")  # a process each


@pytest.mark.parametrize(
    "typo",
    [pytest.param(t, marks=() if t in QUICK_TYPOS else pytest.mark.slow) for t in COMPOSITION],
)
def test_a_typo_is_answered_without_torch(tmp_path: Path, typo: str) -> None:
    """A stand-in that cannot be imported shows that torch is not."""
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in" / "torch.py").write_text("raise RuntimeError('torch was imported')")
    path = f"{tmp_path / 'stand_in'}{os.pathsep}{REPOSITORY}"
    refused(gan("train", typo, cwd=tmp_path, PYTHONPATH=path), COMPOSITION[typo], tmp_path)


def test_help_on_a_group_takes_no_other_flag_but_a_folder(tmp_path: Path) -> None:
    words = r"--help objective: takes --config-dir and no other flag; leave the others out$"
    refused(gan("train", "--help", "objective", "--cfg", "job", cwd=tmp_path), words, tmp_path)
    words = r"--config-dir nowhere: no such folder; set another one$"
    arguments = ("--help", "objective", "--config-dir", "nowhere")
    refused(gan("train", *arguments, cwd=tmp_path), words, tmp_path)


@pytest.mark.skipif(find_spec("ray") is not None, reason="the launcher is installed")
def test_a_launcher_that_is_not_installed(tmp_path: Path) -> None:
    words = r"hydra/launcher=ray: no such option before pip install 'gan_runner\[ray\]'"
    refused(gan("train", "hydra/launcher=ray", cwd=tmp_path), words, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model=dcgan", "dataset=gaussians8"), r"this model needs images.*use model=mlp"),
        (
            ("trainer.batch_size=5000",),
            r"trainer\.batch_size=5000: the batch is larger than .*1438 samples",
        ),
        (("device=cuda:99",), r"device=cuda:99: this machine has"),
        (("trainer.steps=many",), r"trainer\.steps=many: should be a valid integer"),
        (
            ("dataset=image_folder", "dataset.path=nowhere"),
            r"dataset\.path=nowhere: the path does not exist",
        ),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    refused(gan("train", *arguments, cwd=tmp_path), words, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = gan("train", "hydra.run.dir=file/run", cwd=tmp_path)
    refused(
        result,
        r"cannot write .*file/run \(Not a directory\); set hydra\.run\.dir to another folder",
        tmp_path,
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the default method, started in an empty folder with the default directory."""
    cwd = tmp_path_factory.mktemp("cwd")
    result = gan("train", *QUICK, cwd=cwd)
    assert result.returncode == 0, result.stderr
    (run_dir,) = cwd.glob("outputs/*/*")
    named = run_dir.relative_to(cwd)
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", str(named))
    assert f"tensorboard --logdir {named}" in result.stdout
    assert f"{named}/samples/step_000004.png" in result.stdout
    return run_dir


def test_a_saved_configuration_repeats_its_run(run_dir: Path, tmp_path: Path) -> None:
    relative = os.path.relpath(run_dir, tmp_path)
    result = gan("train", f"repeat={relative}", "hydra.run.dir=again", cwd=tmp_path)
    assert result.returncode == 0, result.stderr

    def numbers(folder: Path) -> list[dict[str, float]]:
        log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in log]

    assert numbers(run_dir) == numbers(tmp_path / "again")
    assert {p.name for p in (tmp_path / "again").iterdir() if "tfevents" not in p.name} == {
        p.name for p in run_dir.iterdir() if "tfevents" not in p.name
    }


def test_a_random_architecture_is_written_down(tmp_path: Path) -> None:
    result = gan(
        "train", "model=random", "model.seed=1", "model.filters=[4,6]", "model.depths=[3,5]", *QUICK[1:], "hydra.run.dir=run", cwd=tmp_path
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    networks = json.loads((tmp_path / "run" / "summary.json").read_text())["networks"]
    whole = (tmp_path / "run" / "architecture.txt").read_text()
    for player, facts in networks.items():
        drawn = " ".join(f"{key}={value}" for key, value in facts["architecture"].items())
        assert re.search(r"activation=\w+ depth=\d+ norm=\w+ filters=[46]$", drawn)
        line = re.search(
            rf"  {player} +{facts['parameters']:,} parameters, .*; drawn: {drawn}", whole
        )
        assert line and line[0] in result.stdout
    assert gan("sample", "run", "--count", "4", cwd=tmp_path).returncode == 0


def test_a_run_is_not_overwritten(run_dir: Path, tmp_path: Path) -> None:
    before = (run_dir / "metrics.jsonl").read_bytes()
    refused(
        gan("train", *QUICK, f"hydra.run.dir={run_dir}", cwd=tmp_path),
        "already contains a run",
        tmp_path,
    )
    assert (run_dir / "metrics.jsonl").read_bytes() == before


def test_sampling(run_dir: Path, tmp_path: Path) -> None:
    def arrays(name: str, *options: str) -> np.ndarray:
        result = gan("sample", str(run_dir), "--out", name, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return np.load(tmp_path / name)["samples"]

    many = arrays("many.npz", "--count", "600")  # more than one batch
    assert many.shape == (600, 1, 8, 8) and many.dtype == np.float32
    assert np.abs(many).max() <= 1 and len(np.unique(many[:, 0, 4, 4])) > 300
    few = arrays("few.npz", "--count", "7")
    assert (few == many[:7]).all()  # a sample is a matter of its seed and place alone
    assert (arrays("other.npz", "--count", "7", "--seed", "1") != few).any()
    assert (arrays("raw.npz", "--count", "7", "--raw") != few).any()
    result = gan("sample", str(run_dir), "--count", "9", "--out", "grid.png", cwd=tmp_path)
    assert result.returncode == 0
    assert Image.open(tmp_path / "grid.png").size == (416, 416)  # 3 x 3 of 136, enlarged, 2 apart


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere is not a run directory"),
        (("{run}", "--out", "x.gif"), r"--out x\.gif: should end in \.png, .*\.npz"),
        (("{run}", "--count", "0"), "--count 0: should be 1 or more"),
        (("{run}", "--seed", "-1"), "--seed -1: should be 0 to"),
        (("{run}", "--langevin", "2", "--step-size", "nan"), "--step-size positive"),
    ],
)
def test_sampling_refuses(
    run_dir: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = gan("sample", *(a.replace("{run}", str(run_dir)) for a in arguments), cwd=tmp_path)
    refused(result, words, tmp_path)


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    gan("train", "hydra.run.dir=results/x", "trainer.batch_size=99999", cwd=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["results"]
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.parametrize(
    ("there", "asked", "left"),
    [
        ("results/empty", "results/empty", {"results", "results/empty"}),
        ("results", "results/a/b", {"results"}),
        ("results/empty", "results/empty/a/b", {"results", "results/empty"}),
        ("here", "../beside/a", {"here"}),
        ("results/empty", "results/${model.filters}/${seed}", {"results", "results/empty"}),
    ],
)
def test_a_refused_run_takes_away_what_it_made_alone(
    tmp_path: Path, there: str, asked: str, left: set[str]
) -> None:
    (tmp_path / there).mkdir(parents=True)
    cwd = tmp_path / "here" if there == "here" else tmp_path
    result = gan("train", f"hydra.run.dir={asked}", "trainer.batch_size=99999", cwd=cwd)
    assert result.returncode == 2
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == left


def test_groups_of_ones_own(tmp_path: Path) -> None:
    cards = tmp_path / "mine" / "objective"
    cards.mkdir(parents=True)
    (cards / "strong.yaml").write_text(
        "_target_: gan_runner.objectives.objective.Objective\n"
        "critic_loss: {_target_: gan_runner.objectives.losses.wasserstein_critic, _partial_: true}\n"
        "generator_loss: {_target_: gan_runner.objectives.losses.hinge_generator, _partial_: true}\n"
        "critic_terms:\n"
        "  strong_penalty:\n"
        "    {_target_: gan_runner.objectives.penalties.gradient_penalty, _partial_: true, weight: 99.0}\n"
    )
    result = gan(
        "train",
        "--config-dir",
        "mine",
        "objective=strong",
        "hydra.run.dir=run",
        *QUICK,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert "loss/strong_penalty" in json.loads(line)


def test_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("train", "hydra.run.dir=run", *QUICK, "trainer.steps=100000", "trainer.log_every=2"),
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 3):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert json.loads(log.read_text().splitlines()[-1])["step"] == summary["steps"]


def test_a_sweep_runs_all_jobs(tmp_path: Path) -> None:
    sweep = ("-m", "objective=gan,wgan", "hydra.sweep.dir=sweep", *QUICK, "trainer.steps=1")
    result = gan("train", *sweep, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    summaries = [json.loads(p.read_text()) for p in sorted(tmp_path.glob("sweep/*/summary.json"))]
    assert [s["status"] for s in summaries] == ["completed", "completed"]
    assert ["jsd/critic" in s["final"] for s in summaries] == [True, False]


def test_images_of_ones_own(tmp_path: Path) -> None:
    data: Batch = digits().heldout
    (tmp_path / "images").mkdir()
    for i, x in enumerate(data.x[:40]):
        Image.fromarray(x[0].numpy()).resize((20, 20)).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n")
    arguments = ("dataset=image_folder", "dataset.path=images", "hydra.run.dir=run", *QUICK)
    refused(gan("train", *arguments, cwd=tmp_path), r"broken\.png .*on_bad_file=skip", tmp_path)
    result = gan("train", *arguments, "dataset.on_bad_file=skip", cwd=tmp_path)
    assert result.returncode == 0 and "broken.png" in result.stderr
    assert Image.open(tmp_path / "run" / "samples" / "step_000004.png").size == (
        422,
        296,
    )  # all 64 of num_eval_samples


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """gan-run --help | head -1"""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "gan_runner.train", "--help"],
            stdout=nobody, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")

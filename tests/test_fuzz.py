"""Any command line ends in a run or in a clear message, never in a traceback."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gan_runner import train
from gan_runner.commands import compare, evaluate, export, plot, report, sample, table, verify
from gan_runner.sweeps.jobs import write_note

GROUPS = {
    "dataset": [
        "digits",
        "gaussians8",
        "swiss_roll",
        "mnist",
        "image_folder",
        "points",
        "nonsense",
    ],
    "model": ["dcgan", "mlp", "unet"],
    "objective": ["gan", "ns_gan", "lsgan", "hinge", "wgan", "wgan_gp", "wgangp"],
    "optimizer": ["adam", "rmsprop", "sgd", "adamw", "adamax"],
}
KEYS = [
    "seed", "device", "deterministic", "trainer.steps", "trainer.batch_size", "trainer.ema_decay",
    "trainer.log_every", "trainer.evaluate_every", "trainer.checkpoint_every", "trainer.num_eval_samples",
    "trainer.checkpoint_metric", "trainer.keep_checkpoints", "model.filters", "model.latent_dim", "model.init",
    "trainer.on_diverged", "health", "health.min_diversity", "health.patience",
    "model.width", "model.depth", "model.critic.norm", "model.generator.norm", "optimizer.lr",
    "optimizer.betas", "optimizer.critic.lr", "optimizer.generator.weight_decay", "optimizer.alpha",
    "objective.n_critic", "objective.constraint", "objective.critic_terms", "objective.estimates",
    "objective.critic_terms.gradient_penalty.weight", "objective.critic_loss._target_",
    "dataset.heldout", "dataset.n_samples", "dataset.std", "dataset.root", "dataset.path", "dataset.shift", "dataset.scale",
    "model._target_", "model.generator._target_", "allow_targets", "trainer", "objective", "nonsense",
]  # fmt: skip
VALUES = [
    "0", "1", "2", "-1", "0.5", "1e-3", "1e400", "nan", "inf", "true", "null", "abc", "''", "[]", "{}",
    "[0,0.9]", "[1,2,3]", "{a: 1}", "none", "batch", "auto", "cpu", "cuda:7", "os.system", "???",
    "torch.load", "gan_runner.objectives.losses.hinge_critic", "${seed}", "${nowhere}", "jsd/critic",
]  # fmt: skip

choices = st.one_of(
    [
        st.sampled_from(options).map(lambda option, group=group: f"{group}={option}")
        for group, options in GROUPS.items()
    ]
)
assignments = st.tuples(
    st.sampled_from(["", "", "", "", "+", "~"]), st.sampled_from(KEYS), st.sampled_from(VALUES)
).map(lambda parts: parts[0] + parts[1] if parts[0] == "~" else f"{parts[0]}{parts[1]}={parts[2]}")
command_lines = st.lists(st.one_of(choices, assignments, assignments), min_size=1, max_size=4)

# Small, and no network: a data set that is not here must be refused, not fetched.
SMALL = [
    "trainer.steps=1", "trainer.batch_size=8", "trainer.num_eval_samples=16", "dataset.download=false",
]  # fmt: skip
COUNTER = itertools.count()


def fuzz(count: int, scratch: Path) -> None:
    """Try the first command lines that the strategy draws."""

    @settings(max_examples=count, deadline=None, derandomize=True, database=None,
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(overrides=command_lines)
    def each(overrides: list[str]) -> None:
        run_or_clear_message(overrides, scratch)

    each()


def test_a_run_or_a_clear_message(scratch: Path) -> None:
    fuzz(8, scratch)


@pytest.mark.slow
def test_a_run_or_a_clear_message_of_320_command_lines(scratch: Path) -> None:
    fuzz(320, scratch)


# The other commands


WORDS = [
    "run", "run/config.yaml", "run/checkpoints", "run/checkpoints/step_00000001.pt", "sweep",
    "sweep/job", "nowhere", ".", "", "/", "a, b $(x) [1]", "~", "-", "run/summary.json", "\u0444",
]  # fmt: skip
FLAGS = {
    "--count": ["1", "0", "-1", "3", "x", "1e3"],
    "--out": [
        "s.png",
        "s.PNG",
        "s.npy",
        "s.npz",
        "s.jpg",
        "s.gif",
        "g.safetensors",
        "g.pt",
        "/",
        "",
    ],
    "--seed": ["0", "-1", "9" * 30, "nan"],
    "--label": ["0", "3,4", "cat", "-1", "", "\u00b2"],
    "--code": ["0", "-1", "x"],
    "--langevin": ["1", "-1", "x"],
    "--step-size": ["0", "inf", "nan"],
    "--average": ["ema", "nowhere", ""],
    "--device": ["cpu", "cuda:7", "meta", "nonsense"],
    "--allow": ["os.", "os", "", "a b."],
    "--tags": ["*", "jsd/*", "nowhere", "[", ","],
    "--over": ["seed", "nowhere", "", "seed=1"],
    "--at": ["step=1", "step=0", "seconds=nan", "x", "step=1e9"],
    "--csv": ["t.csv", ".", "nowhere/t.csv"],
    "--json": ["t.json", "."],
    "--x": ["step", "seconds", "nowhere"],
    "--band": ["range", "x"],
    "--checkpoint": ["best", "1", "7", "x"],
    "--reference": ["train", "run", "nowhere", "s.npz"],
    "--network": ["random", "x"],
    "--measures": ["exact", "nowhere", ""],
    "--protocol": ["nowhere"],
    "--plots": ["plots", "run/config.yaml"],
    "--markdown": ["t.md", "."],
}
ALONE = ["--raw", "--unlike", "--best", "--final", "--latex", "--help", "--nonsense"]
COMMANDS = {
    "gan-sample": sample, "gan-verify": verify, "gan-export": export, "gan-compare": compare,
    "gan-table": table, "gan-report": report, "gan-plot": plot, "gan-evaluate": evaluate,
}  # fmt: skip
options = st.one_of(
    st.sampled_from(ALONE).map(lambda flag: [flag]),
    *(
        st.sampled_from(values).map(lambda value, flag=flag: [flag, value])
        for flag, values in FLAGS.items()
    ),
)
others = st.tuples(
    st.sampled_from(sorted(COMMANDS)),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2),
    st.lists(options, max_size=3).map(lambda parts: [word for part in parts for word in part]),
)


@pytest.fixture(scope="module")
def place(scratch: Path) -> Path:
    """A folder with a run, and a sweep of the same run."""
    place = scratch / "place"
    code, errors = call([*SMALL[:3], "dataset=gaussians8", "model=mlp", "model.width=8",
                         "metrics=none", "plots=none", f"hydra.run.dir={place}/run"])  # fmt: skip
    assert code == 0, errors
    shutil.copytree(place / "run", place / "sweep" / "job")
    note = {"overrides": ["seed=0"], "number": 0, "status": "completed", "config": {}}
    write_note(place / "sweep" / "job", {**note, "error": ""})
    return place


@pytest.mark.slow
def test_the_other_commands_end_in_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None,
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(line=others)
    def each(line: tuple[str, list[str], list[str]]) -> None:
        command, paths, flags = line
        assume(command != "gan-verify" or not flags)
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(out):
            try:
                COMMANDS[command].main([*flags, *paths])
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
        assert code in (0, 1, 2), line
        assert code == 0 or command in errors.getvalue(), (line, errors.getvalue())
        assert "Traceback" not in errors.getvalue(), line

    each()


def run_or_clear_message(overrides: list[str], scratch: Path) -> None:
    given_keys = {o.lstrip("+~").partition("=")[0] for o in overrides}
    vision = any(o.startswith("dataset=mnist") for o in overrides)
    small = [o for o in SMALL if o.partition("=")[0] not in given_keys]
    small = [o for o in small if vision or not o.startswith("dataset")]
    run_dir = scratch / str(next(COUNTER))
    arguments = [*small, *overrides, f"hydra.run.dir={run_dir}"]
    code, errors = call(arguments)
    if code == 0:
        assert (run_dir / "summary.json").is_file()
    else:
        assert code in (1, 2), (arguments, errors)
        assert "gan-run: " in errors and "Traceback" not in errors, (arguments, errors)
        assert code == 1 or not (run_dir / "config.yaml").exists()  # a refused run leaves nothing


@pytest.fixture(scope="module")
def scratch() -> Path:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def call(arguments: list[str]) -> tuple[int, str]:
    """gan-run in this process."""
    GlobalHydra.instance().clear()
    errors, before = io.StringIO(), (sys.argv, warnings.showwarning, dict(os.environ))
    sys.argv = ["gan-run", *arguments]
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            train.main()
        return 0, errors.getvalue()
    except SystemExit as stop:
        return int(stop.code or 0), errors.getvalue()
    finally:
        sys.argv, warnings.showwarning = before[0], before[1]
        os.environ.clear()
        os.environ.update(before[2])
        torch.use_deterministic_algorithms(False)

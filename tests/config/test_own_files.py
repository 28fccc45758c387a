"""A user's own configuration files: each works, or one line has the file, the line and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import Zygote

TOY = (
    "dataset=gaussians8", "dataset.n_samples=2000", "model=mlp", "model.width=8", "metrics=none", "plots=none",
    "trainer.batch_size=4", "trainer.log_every=1", "trainer.num_eval_samples=64", "trainer.precision=fp32",
)  # fmt: skip
GLOBAL = b"# @package _global_\n"

REFUSED = {
    "a tab": ("x.yaml", GLOBAL + b"trainer:\n\tsteps: 3\n", "x.yaml:3: a tab; indent with spaces"),
    "a list": ("x.yaml", GLOBAL + b"- trainer\n", "x.yaml:2: a list at the top; write keys"),
    "a word": ("x.yaml", b"trainer\n", "x.yaml:1: a single value at the top; write keys"),
    "nothing": ("x.yaml", b"", "x.yaml:1: is empty and would have no effect"),
    "comments alone": ("x.yaml", GLOBAL, "x.yaml:1: is empty and would have no effect"),
    ".yml": ("x.yml", GLOBAL + b"trainer: {steps: 3}\n", "x.yml: only files that end in .yaml are read"),
    "no package": (
        "x.yaml", b"trainer:\n  steps: 3\n",
        "x.yaml:1: trainer would become experiment.trainer, which nothing reads; write # @package",
    ),
    "norm: no": (
        "x.yaml", GLOBAL + b"model:\n  critic:\n    norm: no\n",
        "x.yaml:4: norm: no is a boolean in YAML; write false, 'no' in quotes, or none",
    ),
    "on in a list": ("x.yaml", GLOBAL + b"model:\n  norms: [On]\n", "x.yaml:3: norms: On is a boolean"),
    "a key twice": (
        "x.yaml", GLOBAL + b"seed: 1\nseed: 2\n", "x.yaml:3: found duplicate key seed; keep one",
    ),
    "a colon": ("x.yaml", GLOBAL + b"seed: 1: 2\n", "x.yaml:2: mapping values are not allowed here"),
    "another encoding": ("x.yaml", GLOBAL + b"seed: 1 # caf\xe9\n", "x.yaml: is not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_with_a_fault_is_refused(zygote: Zygote, tmp_path: Path, name: str) -> None:
    file, content, words = REFUSED[name]
    folder = tmp_path / "own" / "experiment"
    folder.mkdir(parents=True)
    (folder / file).write_bytes(content)
    for more in ((), ("-m", "seed=0,1")):
        code, out = zygote.run(tmp_path, "--config-dir", "own", "experiment=x", *TOY, *more)
        assert code == 2 and words in out and len(out.splitlines()) == 1, out
        assert {p.name for p in tmp_path.iterdir()} == {"own", "output.txt"}


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf# @package _global_\ntrainer: {steps: 3}\n",
        b"# @package _global_\r\ntrainer:\r\n  steps: 3\r\n",
        b"\xef\xbb\xbf# @package _global_\r\ntrainer:\r\n  steps: 3\r\n",
        b"# @package _global_\ndefaults:\n  - override /optimizer: sgd\ntrainer: {steps: 3}\n",
    ],
    ids=["a byte-order mark", "CRLF", "both", "with defaults"],
)
def test_a_file_of_another_editor_has_its_effect(
    zygote: Zygote, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "x.yaml").write_bytes(content)
    words = ("--config-dir", "own", "experiment=x", *TOY, "hydra.run.dir=run")
    code, out = zygote.run(tmp_path, *words)
    assert code == 0, out
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["trainer"]["steps"] == 3


def test_a_card_of_an_objective_names_its_package(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "own" / "objective").mkdir(parents=True)
    card = tmp_path / "own" / "objective" / "x.yaml"
    card.write_text("# mine\npaper_defaults: {adam: {lr: 1.0e-4}}\nobjective: {n_critic: 1}\n")
    code, out = zygote.run(tmp_path, "--config-dir", "own", "objective=x", *TOY)
    assert code == 2 and "x.yaml:2: paper_defaults would become objective.paper_defaults" in out


def test_hints_know_the_cards_of_ones_own(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "own" / "model").mkdir(parents=True)
    card = tmp_path / "own" / "model" / "attention.yaml"
    card.write_text(
        "heads: 4\nlatent_dim: 2\n"
        "generator: {_target_: gan_runner.models.mlp.Generator, latent_dim: '${..latent_dim}', depth: '${..heads}'}\n"
        "critic: {_target_: gan_runner.models.mlp.Critic}\n"
    )
    words = ("--config-dir", "own", "dataset=gaussians8")
    code, out = zygote.run(tmp_path, *words, "model=attention", "model.haeds=2")
    assert code == 2 and "model.haeds: no such key; did you mean model.heads?" in out, out
    code, out = zygote.run(tmp_path, *words, "model.heads=2")
    assert code == 2 and "but model=attention has heads" in out, out
    code, out = zygote.run(tmp_path, *words, "model=atention")
    assert code == 2 and "did you mean model=attention?" in out, out

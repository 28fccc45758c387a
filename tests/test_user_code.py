"""Errors in a package of the user's keep file and line; refusals of ours are one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Zygote

QUICK = (
    "dataset=gaussians8", "dataset.n_samples=2000", "model=mlp", "model.width=8", "trainer.batch_size=8",
    "trainer.num_eval_samples=64", "trainer.log_every=1", "metrics=none", "trainer.accelerate=eager", "trainer.precision=fp32",
)  # fmt: skip

LOSSES = {
    "a loss": ("raise ValueError('3 values expected')", "ValueError: 3 values expected"),
    "a file": ("open('no/such/file')", "FileNotFoundError"),
    "a key": ("{}['k']", "KeyError: 'k'"),
    "torch": ("torch.zeros(2, 3) @ torch.zeros(2, 3)", "RuntimeError: mat1 and mat2"),
}


def package(folder: Path, line: str) -> Path:
    """Write a package whose critic's loss executes a line, its fourth."""
    (folder / "mine_gan").mkdir()
    (folder / "mine_gan" / "__init__.py").write_text("")
    file = folder / "mine_gan" / "losses.py"
    file.write_text(
        f"import torch\n\ndef critic(real, fake):\n    {line}\n    return fake.mean()\n"
    )
    return file


@pytest.mark.parametrize(
    "name",
    ["a loss", "torch", *(pytest.param(n, marks=pytest.mark.slow) for n in ("a file", "a key"))],
)
def test_an_error_in_a_package_of_ones_own(zygote: Zygote, tmp_path: Path, name: str) -> None:
    line, words = LOSSES[name]
    file = package(tmp_path, line)
    target = ("objective.critic_loss._target_=mine_gan.losses.critic",)
    arguments = (*QUICK, *target, "allow_targets=[mine_gan.]", "trainer.steps=2")
    code, out = gan_run(zygote, tmp_path, *arguments)
    assert code == 1 and f'File "{file}", line 4' in out and words in out, out
    assert "hydra/_internal" not in out and "Traceback (most recent call last)" in out, out
    code, out = gan_run(zygote, tmp_path, "-m", "seed=0,1", *arguments, "hydra.sweep.dir=s")
    assert code == 1 and f"({file}:4)" in out and "Traceback" not in out, out
    (first, _) = sorted((tmp_path / "s").glob("*/output.txt"))
    assert f'File "{file}", line 4' in first.read_text()


def gan_run(zygote: Zygote, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run gan-run with a folder on the path of modules."""
    return zygote.run(folder, *arguments, path=[str(folder)])


def test_an_import_that_fails_within_a_package(zygote: Zygote, tmp_path: Path) -> None:
    file = package(tmp_path, "pass")
    file.write_text("import torch\nfrom torch import nothing_of_that_name\n")
    target = "objective.critic_loss._target_=mine_gan.losses.critic"
    code, out = gan_run(zygote, tmp_path, *QUICK, target, "allow_targets=[mine_gan.]")
    assert code == 2 and f"({file}:2)" in out and len(out.splitlines()) == 1, out


def test_the_flag_shows_the_traceback_of_a_refusal(zygote: Zygote, tmp_path: Path) -> None:
    for words in (("trainer.stpes=3",), ("dataset=gaussians8", "model=dcgan")):
        code, out = zygote.run(tmp_path, *words)
        assert code == 2 and len(out.splitlines()) == 1, out
        line = out
        code, out = zygote.run(tmp_path, *words, "--traceback")
        assert code == 2 and "Traceback (most recent call last)" in out and out.endswith(line), out


@pytest.mark.parametrize("dim", [*(pytest.param(d, marks=pytest.mark.slow) for d in (1, 3)), 2, 5])
def test_points_of_any_dimension(zygote: Zygote, tmp_path: Path, dim: int) -> None:
    more = (
        f"dataset.dim={dim}",
        "plots=full",
        "trainer.steps=2",
        "trainer.sample_every=1",
        "metrics=default",
    )
    quick = [w for w in QUICK if not w.startswith("dataset") and w != "metrics=none"]
    code, out = zygote.run(tmp_path, "dataset=gaussian", *quick, *more, "hydra.run.dir=r")
    assert code == 0 and "checkpoint_every" not in out, out
    for plot in ("samples", "curves"):
        assert (tmp_path / "r" / plot / "step_000002.png").is_file()
    code, out = zygote.run(
        tmp_path, "r", "--count", "9", "--out", "s.png", module="gan_runner.commands.sample"
    )
    assert code == 0 and (tmp_path / "s.png").stat().st_size > 1000, out


def test_a_default_that_nobody_set_is_no_warning(zygote: Zygote, tmp_path: Path) -> None:
    code, out = zygote.run(tmp_path, *QUICK, "trainer.steps=2", "plots=none")
    assert code == 0 and "warning" not in out, out
    code, out = zygote.run(
        tmp_path, *QUICK, "trainer.steps=2", "plots=none", "trainer.checkpoint_every=5"
    )
    assert code == 0 and "warning: trainer.checkpoint_every=5 is more than trainer.steps=2" in out

"""Networks and samples of a stranger's configuration that are larger than its checkpoint."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from toy_runs import TOY

from gan_runner.builder import build
from gan_runner.config.compose import compose, config_dir
from gan_runner.config.fitting import check_fits
from gan_runner.config.instantiate import instantiate
from gan_runner.config.networks import critic_of, generator_of
from gan_runner.config.validate import validate
from gan_runner.core import DataSpec
from gan_runner.restore import load, rebuild_engine
from gan_runner.training.loop import fit

LARGE = [
    ("model", "generator", {"width": 12_000, "depth": 4}),
    ("model", "critic", {"width": 30_000}),
    ("model", "generator", {"depth": 10_000_000}),
    ("model", "critic", {"depth": 10_000_000}),
    ("model", "generator", {"latent_dim": 10**12}),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    fit(build(compose(*TOY, "trainer.steps=1", "device=cpu")), folder)
    return folder


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.parametrize("act", [lambda run: load(run, device="cpu"), rebuild_engine])
@pytest.mark.parametrize(("group", "player", "values"), LARGE)
def test_networks_larger_than_the_checkpoint_are_never_allocated(
    group: str, player: str, values: dict[str, int], act: Callable[[Path], Any], run: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    changed = Path(shutil.copytree(run, tmp_path / "run"))
    config = yaml.safe_load((changed / "config.yaml").read_text())
    config[group][player] |= values
    (changed / "config.yaml").write_text(yaml.safe_dump(config))
    before = peak()
    with pytest.raises(ValueError, match=r"its checkpoint does not fit its config\.yaml"):
        act(changed)
    assert peak() - before < 200 << 20


def test_more_samples_than_memory_are_refused_before_their_noise_is_drawn() -> None:
    with pytest.raises(ValueError, match=r"^trainer\.num_eval_samples=10+: the samples need about"):
        build(compose(*TOY, "trainer.num_eval_samples=100000000000"))


SPECS = {"digits": DataSpec("x", (1, 32, 32), 10), "gaussians8": DataSpec("x", (2,))}


@pytest.mark.parametrize(
    "model", sorted(path.stem for path in (config_dir() / "model").glob("*.yaml"))
)
def test_every_model_can_be_compared_without_memory(model: str) -> None:
    """A model that could not would be built as large as a stranger asks."""
    compared = 0
    for dataset, spec in SPECS.items():
        config = validate(compose(f"dataset={dataset}", f"model={model}"))
        objective = instantiate(config["objective"])
        try:
            generator = generator_of(config["model"]["generator"], objective, spec)
            critic = critic_of(config["model"]["critic"], objective, spec)
        except ValueError:  # for other data
            continue
        state = {"generator": generator.state_dict(), "critic": critic.state_dict()}
        check_fits(config["model"], objective, spec, state)
        name = next(iter(state["critic"]))
        state["critic"][name] = torch.cat([state["critic"][name].flatten(), torch.zeros(1)])
        with pytest.raises(RuntimeError, match="size mismatch"):
            check_fits(config["model"], objective, spec, state)
        compared += 1
    assert compared

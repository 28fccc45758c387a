"""The private names of other packages that gan_runner uses are there and mean what they did."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from importlib import import_module
from math import nan
from pathlib import Path

import hydra
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.tensorboard import SummaryWriter

from gan_runner import private_apis, private_hydra
from gan_runner.config.compose import compose, config_dir

PACKAGE = Path(__file__).resolve().parents[1] / "gan_runner"


def test_the_processor_answers() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    assert private_apis.has_avx512_bf16() == ("avx512_bf16" in flags)
    assert private_apis.has_amx() == ("amx_tile" in flags)


def test_spectral_norm_is_recognised() -> None:
    layer = spectral_norm(nn.Linear(2, 3))
    assert private_apis.is_spectral_norm(layer.parametrizations.weight[0])
    assert not private_apis.is_spectral_norm(nn.Linear(2, 3))


def test_norms_have_common_bases() -> None:
    assert issubclass(nn.BatchNorm2d, private_apis.AnyBatchNorm)
    assert issubclass(nn.InstanceNorm2d, private_apis.AnyNorm)
    assert not issubclass(nn.InstanceNorm2d, private_apis.AnyBatchNorm)


def test_a_mask_is_taken_from_another_tensor() -> None:
    x, by = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([5.0, -5.0, 0.0, nan])
    assert private_apis.masked(x, by, 0.5).tolist() == [1.0, 1.0, 1.5, 2.0]


def test_a_summary_is_written(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as board:
        private_apis.write_summary(
            board, Summary(value=[Summary.Value(tag="a/tag", simple_value=1.5)])
        )
    (events,) = tmp_path.iterdir()
    assert b"a/tag" in events.read_bytes()


def test_hydra_splits_and_composes_jobs() -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        overrides = private_hydra.parse_overrides(["seed=0,1", "objective=gan"])
        jobs = private_hydra.combinations(overrides)
        assert jobs == [["seed=0", "objective=gan"], ["seed=1", "objective=gan"]]


def test_hydra_loads_every_file_through_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = import_module("hydra._internal.config_repository").ConfigRepository
    monkeypatch.setattr(repository, "load_config", repository.load_config)  # put back afterwards
    seen: dict[str, private_hydra.LoadedFile] = {}
    private_hydra.on_config_load(lambda file: seen.update({file.path: file}))
    compose("objective=fgan_kl", "+penalty=r1")
    assert {"config", "objective/fgan_kl", "objective/base/fgan", "penalty/r1"} < set(seen)
    assert seen["config"].source == f"file://{config_dir()}" and seen["config"].package is None
    assert seen["objective/base/fgan"].package == "_global_"
    assert seen["objective/base/fgan"].defaults == ["/optimizer", "adam"]
    assert "objective" in seen["objective/base/fgan"].content
    assert {file.source for file in seen.values()} > {"structured://", "pkg://hydra.conf"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "objective=wgan_gp trainer.steps=5 optimizer.lr=1e-3 device=cpu",
        "model=mlp dataset=gaussians8 +penalty=r1 model.width=8 ~trainer.ema_decay +extra.deep={a:[1]}",
        "+experiment=sngan_cifar seed=3 optimizer=sgd ++optimizer.lr=0.5 model.seed=${seed}",
        "penalty@objective.critic_terms=r1 ~plots metrics=images",
        "hydra.run.dir=x seed=1",
    ],
)
def test_the_fixture_composes_as_hydra_does(config: Callable[..., DictConfig], line: str) -> None:
    """It merges the files of the groups once, and sets values afterwards."""
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            expected, error = hydra.compose("config", overrides=line.split()), None
    except HydraException as caught:
        error = str(caught)
    if error is not None:
        with pytest.raises(HydraException) as stop:
            config(*line.split())
        assert str(stop.value) == error
        return
    composed = config(*line.split())
    assert composed == expected and OmegaConf.is_struct(composed)
    unresolved = [OmegaConf.to_container(c, resolve=False) for c in (composed, expected)]
    assert json.dumps(unresolved[0]) == json.dumps(unresolved[1])  # the order of the keys as well


def test_hydras_flags_by_name() -> None:
    flags = private_hydra.command_line_flags(["-m", "--config-p", "x", "seed=1", "--nonsense"])
    assert flags["config_path"] == "x" and flags["multirun"] and flags["overrides"] == ["seed=1"]
    assert flags["experimental_rerun"] is None and flags["config_name"] is None


def private_names(path: Path) -> list[str]:
    """Attributes and modules with an underscore that belong to something else than the file itself."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
        ):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not own and node.attr not in {
                "_replace",
                "_asdict",
                "_target_",
            }:  # a NamedTuple's, which are public
                names.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            outside = not module.startswith(("gan_runner", "__future__"))
            names += [module] if "._" in module else []
            names += [a.name for a in node.names if outside and a.name.startswith("_")]
    return names


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_private_names_stand_in_two_files(path: Path) -> None:
    assert path.name in ("private_apis.py", "private_hydra.py") or private_names(path) == []

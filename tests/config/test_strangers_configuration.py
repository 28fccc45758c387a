"""Configurations from strangers: nothing that they say is executed, whatever reads them.

Every payload makes the folder `MARK`, or would; a test passes only if the folder is not there.
"""

from __future__ import annotations

import json
import os
import pkgutil
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from covering import some

import gan_runner
from gan_runner.commands.export import export
from gan_runner.commands.verify import verify
from gan_runner.config.compose import compose
from gan_runner.config.targets import PLACES, locate
from gan_runner.config.validate import validate
from gan_runner.evaluation.evaluate import evaluate
from gan_runner.evaluation.request import Request
from gan_runner.restore import load, rebuild_engine
from gan_runner.runs.comparison import read_runs
from gan_runner.runs.plain import plain
from gan_runner.training.loop import fit

TOY = (
    "dataset=gaussians8", "model=mlp", "model.width=8", "dataset.n_samples=2000",
    "trainer.batch_size=32", "trainer.steps=2", "trainer.checkpoint_every=1", "metrics=none",
    "plots=none", "device=cpu",
)  # fmt: skip
MKDIR = "${oc.create:{_target_:os.mkdir,path:MARK}}"

NODES: dict[str, tuple[str, Any]] = {
    "bytes turn into text": (
        "objective.n_critic", {"_target_": "gan_runner.data.torchvision.mnist", "root": MKDIR.encode()}
    ),
    "a set turns into a list": (
        "objective.n_critic",
        {"_target_": "gan_runner.objectives.requires.requires", "logs": {MKDIR}},
    ),
    "a key of bytes names a target": (
        "objective.n_critic",
        {"_target_": "gan_runner.runs.history.BestTracker",
         "provenances": {"x": {b"_target_": "os.mkdir", b"path": "MARK"}}},
    ),
    "a module by its name": (
        "objective.n_critic",
        {"_target_": "torch.nn.attention._fa4.register_flash_attention_fa4", "module_path": "evil"},
    ),
    "a data set in an objective": (
        "objective.n_critic",
        {"_target_": "gan_runner.data.image_folder.image_folder", "path": ".", "cache": "MARK"},
    ),
    "the target itself": ("model.generator", {"_target_": "os.mkdir", "path": "MARK"}),
    "a target by interpolation": ("model.generator._target_", "${oc.create:os.mkdir}"),
    "a target in a key": ("model.generator", {MKDIR: 1}),
    "a target deep in lists": ("objective.n_critic", [[{"a": {"_target_": "os.mkdir", "path": "MARK"}}]]),
    "a date": ("objective.n_critic", {"_target_": "gan_runner.objectives.losses.hinge_critic", "x": b"a"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps with two checkpoints."""
    run_dir = tmp_path_factory.mktemp("original") / "run"
    fit(gan_runner.build(compose(*TOY)), run_dir)
    return run_dir


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which no payload has left its mark."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("import os\nos.mkdir('MARK')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def edited(original: Path, run_dir: Path, key: str, value: Any) -> None:
    """Copy a run and set one key of its configuration."""
    shutil.copytree(original, run_dir)
    path = run_dir / "config.yaml"
    config = yaml.safe_load(path.read_text())
    node = config
    *parents, last = key.split(".")
    for parent in parents:
        node = node[parent]
    node[last] = value
    path.write_text(yaml.dump(config))


COMMANDS: dict[str, Callable[[Path], Any]] = {
    "sample": lambda run: load(run, device="cpu").sample(4),
    "export": lambda run: export(run, run.parent / "generator.safetensors"),
    "verify": verify,
    "resume": lambda run: fit(rebuild_engine(run, steps=4), run),
    "compare": lambda run: read_runs([run]),
    "evaluate": lambda run: evaluate(run, Request(measures=("exact",), device="cpu")),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("payload", some(NODES, one_in=3))
def test_a_run_directory_executes_nothing(
    here: Path, original: Path, payload: str, command: str
) -> None:
    edited(original, here / "run", *NODES[payload])
    try:
        COMMANDS[command](here / "run")
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert command == "compare"  # it shows values and builds nothing
    assert not (here / "MARK").exists() and "evil" not in sys.modules


@pytest.mark.parametrize("payload", NODES)
def test_a_recipe_executes_nothing(zygote: Any, here: Path, payload: str) -> None:
    key, node = NODES[payload]
    recipe: Any = node
    for part in reversed(key.split(".")):
        recipe = {part: recipe}
    (here / "D" / "experiment").mkdir(parents=True)
    text = "# @package _global_\n" + yaml.dump(recipe)
    (here / "D" / "experiment" / "x.yaml").write_text(text)
    for more in ((), ("--cfg", "job"), ("--help",)):
        code, out = zygote.run(here, "--config-dir", "D", "experiment=x", *TOY, *more)
        assert "Traceback" not in out and (code == 2 or more), out
        assert not (here / "MARK").exists() and not (here / "outputs").exists()


def test_a_file_allows_nothing(zygote: Any, here: Path, original: Path) -> None:
    node = {"_target_": "tempfile.mkdtemp", "dir": ".", "prefix": "MARK"}
    recipe = {"allow_targets": ["tempfile."], "objective": {"n_critic": node}}
    (here / "D" / "experiment").mkdir(parents=True)
    path = here / "D" / "experiment" / "x.yaml"
    path.write_text("# @package _global_\n" + yaml.dump(recipe))
    words = ("--config-dir", "D", "experiment=x", *TOY)
    code, out = zygote.run(here, *words)
    assert code == 2 and "counts from the command line alone" in out
    assert len(out.splitlines()) == 1 and not list(here.glob("MARK*"))
    code, out = zygote.run(here, *words, "allow_targets=[tempfile.]")  # the user may
    assert list(here.glob("MARK*")), out


@pytest.mark.parametrize("prefix", ["", "tempfile", "tempfile.mkdtemp", ".", "os..", "*", " os."])
def test_a_prefix_ends_with_a_dot(zygote: Any, here: Path, original: Path, prefix: str) -> None:
    node = {"_target_": "tempfile.mkdtemp", "dir": ".", "prefix": "MARK"}
    edited(original, here / "run", "objective.n_critic", node)
    for act in (
        lambda: load(here / "run", device="cpu", allow=[prefix]),
        lambda: rebuild_engine(here / "run", allow=[prefix]),
    ):
        with pytest.raises(ValueError, match="should be a package's name and a dot"):
            act()
    code, out = zygote.run(here, "resume=run", f"allow_targets=['{prefix}']")
    assert code == 2 and "should be a package's name and a dot" in out
    assert not list(here.glob("MARK*"))


def test_a_prefix_that_is_no_list_is_one_line(zygote: Any, here: Path) -> None:
    for words in (TOY, (*TOY, "-m")):
        code, out = zygote.run(here, "allow_targets=5", *words)
        assert code == 2 and len(out.splitlines()) == 1, out
        assert "should be a list, 'allow_targets=[my_package.]'" in out
        assert not (here / "outputs").exists()


LOGGING = {
    "version": 1, "root": {"level": "INFO", "handlers": ["f"]},
    "handlers": {"f": {"()": "tempfile.mkdtemp", "dir": ".", "prefix": "MARK"}},
}  # fmt: skip
CALLBACK = {"x": {"_target_": "tempfile.mkdtemp", "dir": ".", "prefix": "MARK"}}
GLOBAL = "# @package _global_\n"

FILES: dict[str, dict[str, str]] = {
    **{
        f"hydra.{key}": {"experiment/x": GLOBAL + yaml.dump({"hydra": value})}
        for key, value in {
            "callbacks": {"callbacks": CALLBACK},
            "hydra_logging": {"hydra_logging": LOGGING},
            "job_logging": {"job_logging": LOGGING},
            "job.env_set": {"job": {"env_set": {"PATH": "EVIL"}}},
            "run.dir": {"run": {"dir": "MARK"}},
            "sweep.dir": {"sweep": {"dir": "MARK"}},
            "output_subdir": {"output_subdir": "../MARK"},
            "searchpath": {"searchpath": ["file://MARK"]},
            "launcher": {"launcher": {"_target_": "os.mkdir", "path": "MARK"}},
            "sweeper.params of hydra": {
                "sweeper": {"params": {"+hydra.callbacks.x": CALLBACK["x"]}}
            },
            "sweeper.params that allow": {"sweeper": {"params": {"allow_targets": "[os.]"}}},
            "sweeper.params relocated": {"sweeper": {"params": {"experiment@hydra.job": "y"}}},
            "text": "MARK",
            "nothing": None,
        }.items()
    },
    "@package hydra": {"experiment/x": "# @package hydra\n" + yaml.dump({"callbacks": CALLBACK})},
    "@package hydra.callbacks": {
        "experiment/x": "# @package hydra.callbacks\n" + yaml.dump(CALLBACK)
    },
    "@package _global_.hydra": {
        "experiment/x": "# @package _global_.hydra\n" + yaml.dump({"callbacks": CALLBACK})
    },
    "a group of Hydra's": {
        "experiment/x": GLOBAL + "defaults:\n  - override /hydra/job_logging: mine\n",
        "hydra/job_logging/mine": yaml.dump(LOGGING),
    },
    "an added group of Hydra's": {
        "experiment/x": GLOBAL + "defaults:\n  - /hydra/callbacks: mine\n",
        "hydra/callbacks/mine": yaml.dump(CALLBACK),
    },
    "a launcher": {"experiment/x": GLOBAL + "defaults:\n  - override /hydra/launcher: joblib\n"},
    "another package": {
        "experiment/x": GLOBAL + "defaults:\n  - /mine@hydra.callbacks: y\n",
        "mine/y": yaml.dump(CALLBACK),
    },
    "a package by interpolation": {
        "experiment/x": GLOBAL + "h: hydra\ndefaults:\n  - /mine@${h}.callbacks: y\n",
        "mine/y": yaml.dump(CALLBACK),
    },
    "a file by its path": {
        "experiment/x": GLOBAL + "defaults:\n  - ../hydra/callbacks/mine@_global_\n",
        "hydra/callbacks/mine": yaml.dump({"hydra": {"callbacks": CALLBACK}}),
    },
    "two files": {
        "experiment/x": GLOBAL + "defaults:\n  - /mine/y\n",
        "mine/y": GLOBAL + yaml.dump({"hydra": {"callbacks": CALLBACK}}),
    },
    "an anchor": {
        "experiment/x": GLOBAL + "a: &a {callbacks: {x: {_target_: tempfile.mkdtemp, dir: ., "
        "prefix: MARK}}}\nhydra: *a\n"
    },
}


@pytest.mark.parametrize("name", some(FILES, one_in=3))
def test_a_file_sets_no_key_of_hydras(zygote: Any, here: Path, name: str) -> None:
    for path, text in FILES[name].items():
        file = here / "D" / f"{path}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    before = sorted(here.rglob("*"))
    for more in ((), ("--help",), ("--cfg", "job"), ("-m", "seed=0,1"), ("-m", "--dry-run")):
        code, out = zygote.run(here, "--config-dir", "D", "experiment=x", *TOY, *more)
        assert code == 2 and len(out.splitlines()) == 1 and "Traceback" not in out, out
        assert "command line" in out or "defaults" in out, out
        assert sorted(set(here.rglob("*")) - {here / "output.txt"}) == before, more
    search = "hydra.searchpath=[file://" + str(here / "D") + "]"
    code, out = zygote.run(here, search, "experiment=x", *TOY)
    assert code == 2 and not list(here.glob("MARK*")), out


def test_a_file_lists_values_of_a_sweep(zygote: Any, here: Path) -> None:
    (here / "D" / "experiment").mkdir(parents=True)
    lists = {"hydra": {"sweeper": {"params": {"seed": "0,1"}}}}
    (here / "D" / "experiment" / "x.yaml").write_text(GLOBAL + yaml.dump(lists))
    code, out = zygote.run(here, "-m", "--config-dir", "D", "experiment=x", *TOY)
    assert code == 0 and "2 jobs: 2 completed" in out, out


def test_a_design_lists_values_of_own_keys(zygote: Any, here: Path) -> None:
    (here / "D" / "experiment").mkdir(parents=True)
    for key, value in {
        "allow_targets": "[os.]",
        "+hydra.callbacks.x._target_": "os.getcwd",
    }.items():
        study = {"study": {"design": [{"seed": "0,1", key: value}]}}
        (here / "D" / "experiment" / "x.yaml").write_text(GLOBAL + yaml.dump(study))
        code, out = zygote.run(here, "-m", "--config-dir", "D", "experiment=x", *TOY)
        assert code == 2 and "counts from the command line alone" in out, out


class Payload:
    """Makes MARK when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("MARK",)


def test_flags_that_take_a_file_as_the_whole_are_refused(
    zygote: Any, here: Path, original: Path
) -> None:
    torch.save(Payload(), here / "rerun.pickle")
    refused = {
        "--experimental-rerun": "rerun.pickle", "--experimental-r": "rerun.pickle",
        "--config-path": str(original), "-cp": str(original), "--config-name": "x", "-cn": "x",
        "--config-p": str(original),
    }  # fmt: skip
    for flag, value in refused.items():
        for words in ((flag, value), (f"{flag}={value}",), (flag, value, "-m")):
            code, out = zygote.run(here, *words)
            assert code == 2 and "is not taken; " in out and len(out.splitlines()) == 1, out
            assert not (here / "MARK").exists()


def test_a_variable_is_read_where_the_command_line_names_it(
    zygote: Any, here: Path, original: Path
) -> None:
    token = "s3cr3t-t0ken"
    (here / "D" / "experiment").mkdir(parents=True)
    recipe = {"plots": {"c": {
        "_target_": "gan_runner.plots.learning_curves.Curves",
        "distances": ["${oc.env:MY_API_TOKEN}"],
    }}}  # fmt: skip
    (here / "D" / "experiment" / "x.yaml").write_text(GLOBAL + yaml.dump(recipe))
    environment = {"MY_API_TOKEN": token}
    code, out = zygote.run(here, "--config-dir", "D", "experiment=x", *TOY, env=environment)
    assert code == 2 and "is read only where the command line names it" in out and token not in out
    edited(original, here / "run", "plots", recipe["plots"])
    with pytest.raises(ValueError, match="is an interpolation"):
        rebuild_engine(here / "run", steps=4)
    code, out = zygote.run(
        here, *TOY, "hydra.run.dir='runs/${oc.env:MY_API_TOKEN}'", env=environment
    )
    assert code == 0 and (here / "runs" / token).is_dir(), out


def names(package: str) -> Iterator[str]:
    """Yield the dotted name of every public object in the modules of a package."""
    path = import_module(package).__path__
    walked = pkgutil.walk_packages(path, f"{package}.", onerror=lambda _: None)
    found = [package, *(info.name for info in walked)]
    for name in found:
        with suppress(Exception):
            yield from (f"{name}.{attribute}" for attribute in vars(import_module(name)))


@pytest.mark.parametrize("package", ["gan_runner", "torch.nn", "torch.optim"])
def test_a_place_names_its_own_parts(package: str) -> None:
    """Walk everything that exists: of this package only what is defined there, of torch parts."""
    walked = [name for name in names(package) if ".commands." not in name]
    assert len(walked) > 100
    for place, prefixes in PLACES.items():
        for name in walked:
            try:
                found = locate(name, place=place).function
            except ValueError:
                continue
            assert name.startswith(prefixes) and "._" not in name
            if package == "gan_runner":
                assert f"{found.__module__}.{found.__name__}" == name
            else:
                kinds = (
                    torch.nn.Module,
                    torch.optim.Optimizer,
                    torch.optim.lr_scheduler.LRScheduler,
                )
                assert issubclass(found, kinds)


def test_plain_values() -> None:
    tree = {"a": [1, 2.5, None, True, "x", {"b": []}]}
    assert plain(tree) == tree and plain(tree) is not tree
    for value in (
        b"x",
        {1},
        (1,),
        object(),
        Path("x"),
        {"a": {2: 1}},
        {b"k": 1},
        {"${x}": 1},
        "a${b}",
    ):
        with pytest.raises(
            ValueError, match=r"should be text|is an interpolation|cannot be an inter"
        ):
            plain({"x": [value]})
    assert plain({"seed": "${seed}"}, keep=("${seed}",)) == {"seed": "${seed}"}
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested too deeply"):
        plain(endless)
    wide: Any = "x"
    for _ in range(30):  # a billion values in thirty lines
        wide = [wide, wide]
    with pytest.raises(ValueError, match="too many values"):
        plain(wide)


class Trees:
    """Random trees with payloads at random depth."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        r = self.random
        leaves = [
            lambda: r.choice(
                [1, 0.5, None, True, "x", b"os.mkdir", "${seed}", MKDIR, MKDIR.encode()]
            ),
            lambda: {"_target_": "os.mkdir", "path": "MARK"},
            lambda: {b"_target_": "os.mkdir", b"path": "MARK"},
            lambda: {MKDIR},
        ]
        if depth > 4 or r.random() < 0.3:
            return r.choice(leaves)()
        kind = r.randrange(5)
        if kind == 0:
            return [self.value(depth + 1) for _ in range(r.randrange(3))]
        if kind == 1:
            return tuple(self.value(depth + 1) for _ in range(r.randrange(3)))
        keys = [
            r.choice(["a", "weight", "n_critic", b"b", 3, "_partial_", "_args_", MKDIR])
            for _ in range(2)
        ]
        node = {key: self.value(depth + 1) for key in keys}
        if kind == 2:
            node["_target_"] = r.choice(TARGETS)
        return node


TARGETS = [
    "os.mkdir", b"os.mkdir", "${oc.create:os.mkdir}", "hydra.utils.call", "hydra.utils.instantiate",
    "gan_runner.objectives.objective.Objective", "gan_runner.objectives.losses.hinge_critic",
    "gan_runner.data.image_folder.image_folder", "torch.load", "torch.nn.Linear", "builtins.eval",
    "gan_runner.runs.read.yaml.unsafe_load", "gan_runner.restore.load", "omegaconf.OmegaConf.create",
]  # fmt: skip


def everywhere(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value of a configuration."""
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield (*path, key)
            yield from everywhere(child, (*path, key))


@pytest.mark.parametrize("seed", some(range(10), one_in=3))
def test_random_trees_execute_nothing(here: Path, original: Path, seed: int) -> None:
    random_trees(here, original, range(6 * seed, 6 * seed + 6))


@pytest.mark.slow
def test_300_random_trees_execute_nothing(here: Path, original: Path) -> None:
    random_trees(here, original, range(1000, 1300))


def random_trees(here: Path, original: Path, seeds: range) -> None:
    config = yaml.safe_load((original / "config.yaml").read_text())
    paths = list(everywhere(config))
    for seed in seeds:
        trees = Trees(seed)
        path = trees.random.choice(paths)
        run = here / f"run_{seed}"
        shutil.copytree(original, run)
        broken = yaml.safe_load((original / "config.yaml").read_text())
        node = broken
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = trees.value()
        (run / "config.yaml").write_text(yaml.dump(broken))
        for command in COMMANDS.values():
            with suppress(ValueError):
                command(run)
            assert not (here / "MARK").exists() and not (run / "MARK").exists(), (seed, path)
        with suppress(ValueError):
            cfg = compose(*TOY)
            cfg = with_keys(cfg, {path[0]: broken[path[0]]})
            validate(cfg)
        assert not (here / "MARK").exists(), (seed, path)
        shutil.rmtree(run)


def with_keys(cfg: Any, tree: dict[Any, Any]) -> Any:
    """Return a configuration with one of its keys replaced, as a recipe would."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    OmegaConf.set_struct(cfg, False)
    try:
        for key, value in tree.items():
            cfg[key] = value
    except OmegaConfBaseException as error:
        raise ValueError(str(error)) from error
    return cfg


def test_a_repeated_run_executes_nothing(zygote: Any, here: Path, original: Path) -> None:
    for choice in (
        {"hydra/job_logging": "x"}, {"hydra": "x"}, {"experiment": "../../x"}, {"experiment": ["x,y=1"]},
        {"experiment": {"a": 1}}, {"allow_targets": "os"}, {"dataset": "digits trainer.steps=1"}, {}, [],
    ):  # fmt: skip
        shutil.rmtree(here / "run", ignore_errors=True)
        edited(original, here / "run", "choices", choice)
        code, out = zygote.run(here, "repeat=run", "hydra.run.dir=again")
        if choice == {}:  # nothing is named: the saved values alone decide
            assert code == 0, out
            shutil.rmtree(here / "again")
        else:
            assert code == 2 and len(out.splitlines()) == 1, out
            assert not (here / "again").exists()
    edited(original, here / "named", "choices", {})
    edited(here / "named", here / "evil", *NODES["the target itself"])
    code, out = zygote.run(here, "repeat=evil", "hydra.run.dir=again")
    assert code == 2 and not (here / "MARK").exists() and "os.mkdir" in out, out


def test_what_a_run_says_is_one_line(here: Path, original: Path) -> None:
    text = (original / "config.yaml").read_text()
    assert json.dumps(yaml.safe_load(text))  # plain: JSON holds all of it

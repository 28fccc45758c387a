"""Configurations: what is refused, in which words, and what the builder decides."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import yaml

import gan_runner
from gan_runner.config import signature
from gan_runner.config.compose import config_dir
from gan_runner.config.targets import locate
from gan_runner.config.validate import validate

BAD = {
    "trainer.steps=abc": r"^trainer\.steps=abc: should be a valid integer",
    "trainer.steps=2.5": r"^trainer\.steps=2\.5: should be a valid integer",
    "trainer.steps=true": r"^trainer\.steps=true: should be a valid integer$",
    "trainer.steps=-1": r"^trainer\.steps=-1: should be greater than or equal to 0",
    "trainer.ema_decay=1": r"^trainer\.ema_decay=1: should be less than 1",
    "seed=-1": r"^seed=-1: should be greater than or equal to 0",
    "model.filters=0": r"^model\.filters=0: should be greater than or equal to 1",
    "optimizer.lr=inf": r"^optimizer\.lr=inf: should be a finite number",
    "optimizer.lr=nan": r"^optimizer\.lr=nan: should be (a finite number|greater than 0)",
    "model.generator.init=nan": r"^model\.generator\.init=nan: ",
    "optimizer.lr=-1": r"^optimizer\.lr=-1: should be greater than 0",
    "optimizer.betas=[0.5]": r"^optimizer\.betas=\[0\.5\]: .*",
    "optimizer.generator.betas=[0,1.5]": r"^optimizer\.generator\.betas=.*\[1\] should be less than 1",
    "+trainer.stpes=3": r"^trainer\.stpes: no such key; did you mean trainer\.steps\?",
    "+objective.critic_terms.gradient_penalty.wieght=3": r"did you mean objective\.critic_terms\.gradient_penalty\.weight\?",
    "+colour=3": r"^colour: no such key",
    "+objective.critic_terms.foo=3": r"^objective\.critic_terms\.foo=3: should be callable",
    "+objective.constraint=false": r"^objective\.constraint=false: should be callable",
    "~model.critic": r"^model\.critic: should be a node",
    "~optimizer.generator": r"^optimizer\.generator: should be a node",
    "dataset=image_folder": r"^dataset\.path is needed; set dataset\.path=VALUE",
    "objective._target_=os.system": r"targets outside gan_runner, torch\.nn and torch\.optim are refused",
    "objective._target_=torch.load": r"objective may name gan_runner\.objectives\.\*",
    "objective._target_=gan_runner.training.ema.torch": r"objective may name gan_runner\.objectives\.\*",
    "objective._target_=gan_runner.objectives.objective.Objectve": r"did you mean Objective\?",
    "model.critic._target_=torch.nn.modules.module.torch.load": r"cannot be imported \([^)]*\)$",
}


@pytest.mark.parametrize("override", BAD)
def test_one_clear_line(config, override: str) -> None:
    with pytest.raises(ValueError, match=BAD[override]) as error:
        validate(config(override))
    assert len(str(error.value).splitlines()) == 1


def test_a_list_in_quotes_is_taken_for_a_sweep(config) -> None:
    with pytest.raises(
        ValueError, match=r"seed=0,1: .*; for a sweep, omit the quotes: -m seed=0,1"
    ):
        validate(config('seed="0,1"'))


def test_a_value_of_the_environment_names_its_variable(
    config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_RUNNER_X", "x")
    for key in ("seed", "optimizer.lr"):
        with pytest.raises(
            ValueError, match=r"=x: .*\(from the environment variable GAN_RUNNER_X\)"
        ):
            validate(config(f"{key}=${{oc.env:GAN_RUNNER_X}}"))


def test_all_problems_in_one_message(config) -> None:
    with pytest.raises(ValueError) as error:
        validate(config("trainer.steps=-1", "model.filters=x", "seed=-3"))
    assert len(str(error.value).splitlines()) == 3


def test_numbers_from_yaml_fit_the_signature(config) -> None:
    tree = validate(config("optimizer.betas=[0,0.9]", "trainer.steps=1e3"))
    assert tree["optimizer"]["critic"]["betas"] == (0.0, 0.9)
    assert isinstance(tree["optimizer"]["critic"]["betas"][0], float)
    assert tree["trainer"]["steps"] == 1000


def test_what_is_saved_is_what_is_used(config) -> None:
    tree = validate(config("optimizer.lr=3e-4"))
    assert tree["optimizer"]["critic"]["lr"] == tree["optimizer"]["generator"]["lr"] == 3e-4
    assert set(tree["optimizer"]) == {"order", "critic", "generator"}  # no key that nothing reads


@pytest.mark.parametrize(
    "path", sorted((config_dir() / "dataset").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_data_set_composes(config, path) -> None:
    needed = ["dataset.path=somewhere"] if path.stem in ("image_folder", "points") else []
    tree = validate(config(f"dataset={path.stem}", *needed))
    assert tree["dataset"]["_target_"].endswith(f".{path.stem}")


def test_the_toys_bring_the_penalty_of_their_code(config) -> None:
    weight = {
        name: validate(config(f"dataset={name}"))["objective"]["critic_terms"]["gradient_penalty"]["weight"]
        for name in ("digits", "gaussians8", "gaussians25", "swiss_roll")
    }  # fmt: skip
    assert weight == {"digits": 10.0, "gaussians8": 0.1, "gaussians25": 0.1, "swiss_roll": 0.1}
    key = "objective.critic_terms.gradient_penalty.weight"
    tree = validate(config("dataset=gaussians8", f"{key}=10"))
    assert tree["objective"]["critic_terms"]["gradient_penalty"]["weight"] == 10.0


def test_critic_norm_follows_from_the_objective(config) -> None:
    for objective, norm in {"wgan_gp": "none", "wgan": "batch", "ns_gan": "batch"}.items():
        assert validate(config(f"objective={objective}"))["model"]["critic"]["norm"] == norm


def test_batch_norm_under_a_penalty_is_refused(engine) -> None:
    with pytest.raises(
        ValueError, match=r"model\.critic\.norm=batch contradicts .*gradient_penalty"
    ):
        engine("model.critic.norm=batch")
    engine("model.critic.norm=batch", "objective.critic_terms=null")


def test_no_such_device(engine) -> None:
    for name in ("tpu", "CPU", "0", "cuda:-1", "cuda:x", "meta", "cpu:0", "null"):
        with pytest.raises(
            ValueError, match=r"=\S+: should be auto, .*; this machine has cpu"
        ) as e:
            engine(f"device={name}")
        assert f"device={name}".replace("null", "None") in str(e.value)
    with pytest.raises(ValueError, match=r"device=cuda:99: this machine has \d+ CUDA devices"):
        engine("device=cuda:99")


def test_user_packages_by_permission(config) -> None:
    name = "collections.OrderedDict"
    with pytest.raises(ValueError, match=r"allow_targets=\[collections\.\]"):
        locate(name, place="model")
    assert locate(name, allow=["collections."], place="model").function is OrderedDict


def test_a_package_that_is_not_found_leads_to_the_path_of_imports() -> None:
    with pytest.raises(ValueError, match=r"'absent_package'\); put its folder on PYTHONPATH$"):
        locate("absent_package.losses.critic", allow=["absent_package."], place="objective")


@pytest.mark.parametrize(
    "override",
    [
        "+dataset.extra=[{_target_: os.system, command: x}]",
        "+objective.critic_terms.evil=[{_target_: shutil.copyfile, src: a, dst: b}]",
        "+objective.critic_terms.evil={deep: [[{_target_: os.system}]]}",
    ],
)
def test_a_target_cannot_hide_in_a_list(config, override: str) -> None:
    with pytest.raises(ValueError, match=r"targets outside gan_runner|no such key"):
        validate(config(override))
    node = {"_target_": "torch.nn.BatchNorm2d", "device": [{"_target_": "shutil.copyfile"}]}
    assert "targets outside gan_runner" in signature.check(node, prefix="model")[1][0][1]


def test_a_target_cannot_borrow_another_module() -> None:
    with pytest.raises(ValueError, match="is not a class or function that dataset may name"):
        locate("gan_runner.data.image_folder.zipfile", place="dataset")
    with pytest.raises(ValueError, match=r"trainer may name gan_runner\.training\.settings\.\*"):
        locate("gan_runner.training.timer.perf_counter", place="trainer")


@pytest.mark.parametrize("path", sorted(config_dir().rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_card_says_what_it_is(path) -> None:
    text = path.read_text()
    assert isinstance(yaml.safe_load(text), dict)
    if path.parent.name in {"objective", "dataset", "model", "optimizer"}:
        assert text.startswith("#")  # what it is, and where it is from


def test_a_sentence_about_several_keys_is_said_once() -> None:
    problems = [("model.a", "is refused"), ("model.b", "is no number"), ("model.c", "is refused")]
    assert signature.joined(problems) == "model.a, model.c: is refused; model.b: is no number"


PLAYERS = ("critic", "generator")


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("card", ["adam", "adamw", "sgd"])
def test_a_key_of_the_card_that_a_typed_target_lacks(card: str, player: str) -> None:
    """The line names each such key, and the command with its mends passes."""
    words = [f"optimizer={card}", f"optimizer.{player}._target_=torch.optim.Adadelta"]
    lacking = []
    with pytest.raises(ValueError) as stop:
        validate(gan_runner.compose(*words))
    for line in str(stop.value).splitlines():
        key = line.partition(" ")[0]
        assert key.startswith(f"optimizer.{player}.")
        target = f"the optimizer.{player}._target_ on the command line lacks"
        assert line == f"{key} is a key of the card, which {target}; add '~{key}'"
        lacking.append(f"~{key}")
    tree = validate(gan_runner.compose(*words, *lacking))
    assert tree["optimizer"][player]["_target_"] == "torch.optim.Adadelta"


def test_a_key_that_is_typed_beside_the_target_has_the_keys_of_the_target() -> None:
    words = ("optimizer.generator._target_=torch.optim.NAdam", "optimizer.flavor=tensorflow")
    with pytest.raises(ValueError, match=r"^optimizer\.flavor: no such key; choose one of: lr, "):
        validate(gan_runner.compose(*words))


def test_a_group_that_is_null_is_empty(config) -> None:
    assert validate(config("averages=null"))["averages"] == {}

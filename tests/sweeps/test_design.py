"""The jobs of a study's design: blocks of combinations, in order, and what a command selects."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from gan_runner.config.compose import config_dir
from gan_runner.sweeps.design import design_jobs

SMALL = {
    "study": {
        "arms": {"a": ["objective=gan"], "b": ["objective=gan", "model.critic.norm=layer"]},
        "design": [
            {"model.seed": "null", "seed": "0,1", "arm": "a"},
            {"model.seed": "range(0,2)", "seed": "0", "arm": "a,b"},
        ],
    }
}


def jobs(config: dict[str, object], *typed: str) -> list[list[str]]:
    return design_jobs(OmegaConf.create(config), list(typed))


def test_blocks_follow_each_other_and_arms_are_neighbours() -> None:
    a, b = SMALL["study"]["arms"]["a"], SMALL["study"]["arms"]["b"]  # type: ignore[index]
    assert jobs(SMALL) == [
        ["model.seed=null", "seed=0", *a],
        ["model.seed=null", "seed=1", *a],
        ["model.seed=0", "seed=0", *a],
        ["model.seed=0", "seed=0", *b],
        ["model.seed=1", "seed=0", *a],
        ["model.seed=1", "seed=0", *b],
    ]
    assert jobs({}) == []


def test_a_command_selects_jobs_and_adds_to_all() -> None:
    found = jobs(SMALL, "experiment=x", "model.seed=1,null", "seed=0")
    assert found == [
        ["experiment=x", "model.seed=null", "seed=0", "objective=gan"],
        ["experiment=x", "model.seed=1", "seed=0", "objective=gan"],
        ["experiment=x", "model.seed=1", "seed=0", "objective=gan", "model.critic.norm=layer"],
    ]
    with pytest.raises(ValueError, match=r"^model\.seed=7: selects no job"):
        jobs(SMALL, "model.seed=7")


def test_an_unknown_arm_is_named() -> None:
    wrong = {"study": {"arms": {"a": []}, "design": [{"arm": "c"}]}}
    with pytest.raises(ValueError, match=r"no arm c; there are: a"):
        jobs(wrong)


def test_the_small_study_is_exactly_its_design() -> None:
    recipe = OmegaConf.load(config_dir() / "experiment" / "robustness_small.yaml")
    found = jobs({"study": OmegaConf.to_container(recipe.study)})
    keys = [tuple(sorted(job)) for job in found]
    assert len(keys) == len(set(keys)) == 146
    pick = [{o.partition("=")[0]: o.partition("=")[2] for o in job} for job in found]
    assert [job["model.seed"] for job in pick[:6]] == ["null"] * 6
    third = [job["model.seed"] for job in pick if "model.critic.norm" in job]
    assert third == [str(number) for number in range(12)]
    for objective in ("ns_gan", "wgan_gp"):
        main = [j for j in pick if j["objective"] == objective and "model.critic.norm" not in j]
        of = {s: {j["model.seed"] for j in main if j["seed"] == s} - {"null"} for s in "012"}
        assert of["0"] == {str(number) for number in range(48)}
        assert of["1"] == of["2"] == {str(number) for number in range(8)}

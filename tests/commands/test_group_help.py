"""gan-run --help GROUP: options and keys, in the words of cards and docstrings."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gan_runner.commands.group_help import group_help
from gan_runner.config.compose import config_dir
from gan_runner.config.errors import UsageError
from gan_runner.train import main

GROUPS = sorted(folder.name for folder in config_dir().iterdir() if folder.is_dir())


def entries(text: str) -> dict[str, str]:
    """{name: words below it}, joined."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("    "):
            found[name] = f"{found[name]} {line.strip()}".strip()
        elif line.startswith("  "):
            name = line.strip()
            found[name] = ""
    return found


def test_every_key_of_the_trainer_has_the_words_of_its_card() -> None:
    found = entries(group_help(["trainer"]))
    assert found["trainer.steps=2500"] == "generator iterations"
    card = (config_dir() / "trainer" / "default.yaml").read_text().splitlines()[1:]
    for line in card:
        key, _, rest = line.partition(": ")
        value, _, comment = rest.partition(" # ")
        value = re.sub(r"\$\{oc\.select:[\w.]+,(.*)\}", r"\1", value)  # no paper sets it here
        assert found[f"trainer.{key}={value}"] == comment
    assert len(found) == len(card) + 1  # the option itself


def test_words_come_from_docstrings_where_a_card_has_none() -> None:
    found = entries(group_help(["objective", "objective=wgan_gp"]))
    assert found["objective.n_critic=5"].startswith("critic updates")
    weight = found["objective.critic_terms.gradient_penalty.weight=10.0"]
    assert weight == "lambda; the toys bring their own"
    assert "Algorithm 1" in found["wgan_gp"]
    lr = entries(group_help(["optimizer", "objective=wgan"]))["optimizer.critic.lr=5.0e-05"]
    assert lr == "learning rate"


def test_a_key_does_not_take_the_words_of_another_of_the_same_name() -> None:
    found = entries(group_help(["penalty", "+penalty=r1"]))
    assert found["penalty.weight=null"].startswith("of every penalty")
    assert found["penalty.r1.weight=10.0"].startswith("gamma")


def test_the_option_that_is_chosen_shows_its_whole_comment() -> None:
    found = entries(group_help(["experiment", "experiment=collapse"]))
    assert found["collapse"].endswith("To shrink it: trainer.steps=500")
    assert "To shrink it" not in entries(group_help(["experiment"]))["collapse"]
    assert not any(name.startswith("experiment.") for name in found)


def test_cards_that_fill_another_node_have_words_too() -> None:
    found = entries(group_help(["average", "+average=uniform"]))
    assert found["averages.uniform.start=0"].startswith("iterations before which")
    assert "gan-run --help average +average=uniform" in group_help(["average"])
    assert "Keys of schedule=constant: none" in group_help(["schedule"])


def test_cards_of_the_defaults_list_count() -> None:
    found = entries(group_help(["metrics", "metrics=images"]))
    assert found["metrics.exact.samples=400"].startswith("largest number; up to 0.06 s")
    assert found["metrics.images.k=3"].startswith("neighbours that define the manifolds")


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_has_words(group: str) -> None:
    found = entries(group_help([group]))
    options = [path.stem for path in (config_dir() / group).glob("*.yaml")]
    assert options and set(options) <= set(found)
    assert all(found[option] for option in options if group not in ("trainer",))


def test_an_unknown_group() -> None:
    with pytest.raises(UsageError, match=r"--help traner: no such group; did you mean trainer\?"):
        group_help(["traner"])


def test_the_version_is_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gan-run", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert re.fullmatch(r"gan_runner \S+( \(commit [0-9a-f]{7,}\))?\n", capsys.readouterr().out)


def test_the_command_prints_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gan-run", "--help", "penalty"])
    main()
    assert "Mescheder et al. 2018, R1" in entries(capsys.readouterr().out)["r1"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with an option of one's own, one of a name that is taken, and a group of one's own."""
    (tmp_path / "own" / "objective").mkdir(parents=True)
    (tmp_path / "own" / "sauce").mkdir()
    (tmp_path / "own" / "objective" / "mine.yaml").write_text(
        "# @package _global_\n# A loss of my own. Its second sentence.\ndefaults:\n  - wgan_gp\n"
        "  - _self_\nobjective:\n  n_critic: 3 # so many of mine\n"
    )
    (tmp_path / "own" / "objective" / "gan.yaml").write_text("# Never read.\na: 1\n")
    (tmp_path / "own" / "sauce" / "hot.yaml").write_text("# A sauce.\nheat: 1 # degrees\n")
    return tmp_path / "own"


@pytest.mark.parametrize("flag", ["--config-dir OWN", "--config-dir=OWN", "-cd OWN"])
@pytest.mark.parametrize("is_first", [True, False])
def test_options_of_ones_own_are_explained(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    flag: str, is_first: bool,
) -> None:  # fmt: skip
    folder = flag.replace("OWN", str(own)).split(" ")
    words = ["--help", "objective", "objective=mine"]
    given = [*folder, *words] if is_first else [*words, *folder]
    monkeypatch.setattr("sys.argv", ["gan-run", *given])
    main()
    found = entries(capsys.readouterr().out)
    assert found["mine"] == "A loss of my own. Its second sentence."
    assert found["objective.n_critic=3"] == "so many of mine"
    weight = "objective.critic_terms.gradient_penalty.weight=10.0"
    assert found[weight] == "lambda; the toys bring their own"  # of the card that it extends
    assert found["gan"].startswith("Goodfellow") and "wgan_gp" in found


def test_a_group_of_ones_own(own: Path) -> None:
    found = entries(group_help(["sauce", "+sauce=hot"], [own]))
    assert found == {"hot": "A sauce.", "sauce.heat=1": "degrees"}
    with pytest.raises(UsageError, match="--help sauce: no such group"):
        group_help(["sauce"])


def test_files_of_an_own_folder_are_checked_and_escaped(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "objective" / "odd.yaml").write_bytes(b"# A \x1b[31mred\x1b[0m card, \xff.\na: 1\n")
    monkeypatch.setattr("sys.argv", ["gan-run", "--help", "objective", "--config-dir", str(own)])
    main()
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"A \x1b[31mred" in out
    os.mkfifo(own / "objective" / "pipe.yaml")
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 2 and "pipe.yaml: is not a regular file" in error

"""Planted illnesses: each is flagged in time, and the first step that is not finite is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from gan_runner import train
from gan_runner.commands.console import health
from gan_runner.core import Batch
from gan_runner.restore import rebuild_engine, resume_states
from gan_runner.runs.checkpoint import checkpoint_path, differences, fingerprint, load_checkpoint
from gan_runner.runs.log import Meter
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit
from gan_runner.training.replay import diverged_path

Built = Callable[..., Any]
TOY = (
    "dataset=gaussians8", "dataset.n_samples=2000", "model=mlp", "model.width=16", "model.depth=2",
    "plots=none", "trainer.log_every=5", "trainer.evaluate_every=10", "~metrics.probe",
    "~metrics.lipschitz",
)  # fmt: skip
IMAGES = (
    "model.filters=4", "plots=none", "trainer.log_every=5", "trainer.evaluate_every=10",
)  # fmt: skip
TRAINED = ("generator", "critic", "average", "generator_optimizer", "critic_optimizer", "stream")


def states(run_dir: Path) -> dict[int, float]:
    """`health/state` by step."""
    log = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {point["step"]: point["health/state"] for point in log}


@torch.no_grad()
def silence(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.zero_()


def poison(run: Engine, step: int, which: int = 0) -> None:
    """Put a NaN into the data that a step is the first to be given, for one critic update of it."""
    start = run.stream.state_dict()
    picks = [run.next_batches() for _ in range(step)][-1]
    run.stream.load_state_dict(start)
    table = run.stream.table  # replicas share theirs
    run.stream.table = table._replace(x=table.x.clone())
    run.stream.table.x[picks[which][0][0], 0] = torch.nan


@pytest.mark.parametrize("data", [TOY, IMAGES], ids=["points", "images"])
@pytest.mark.parametrize("objective", ["ns_gan", "wgan_gp"])
def test_a_constant_generator_is_a_collapse(
    engine: Built, tmp_path: Path, data: tuple[str, ...], objective: str
) -> None:
    built = engine(*data, f"objective={objective}", "trainer.steps=20")
    silence(built.nets.generator)
    summary = fit(built, tmp_path)
    assert states(tmp_path) == {5: 0, 10: 0, 15: 0, 20: 2}
    assert (summary["status"], summary["health"]["state"]) == ("completed", "collapsed")
    assert summary["health"]["since"] == 10
    assert summary["final"]["coverage/diversity_raw"] == 0.0
    board = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in board.Scalars("health/state")][-1] == (20, 2.0)


@pytest.mark.parametrize("objective", ["ns_gan", "wgan_gp", "hinge", "lsgan", "wgan", "r3gan"])
def test_a_dead_critic_is_a_stall(engine: Built, tmp_path: Path, objective: str) -> None:
    """Its weights become zero after 12 steps."""
    built = engine(*TOY, f"objective={objective}", "trainer.steps=40")
    iteration = built.iteration

    def killed(*args: Any) -> dict[str, torch.Tensor]:
        if built.step == 12:
            silence(built.nets.critic)
            built.optimizers["critic"].state.clear()  # whose momentum would wake it
        return iteration(*args)

    built.iteration = killed
    summary = fit(built, tmp_path)
    seen = states(tmp_path)
    assert [seen[step] for step in (5, 10)] == [0, 0]
    assert seen[30] == seen[40] == 1  # the second evaluation after it died, and from there on
    assert summary["health"]["state"] == "stalled" and 12 < summary["health"]["since"] <= 20


@pytest.mark.parametrize("objective", ["ns_gan", "wgan_gp", "hinge", "lsgan", "wgan"])
def test_healthy_runs_are_well(engine: Built, tmp_path: Path, objective: str) -> None:
    summary = fit(engine(
        *TOY[:3], *TOY[5:], "model.width=32", f"objective={objective}", "trainer.steps=150",
        "optimizer.lr=1e-3", "trainer.batch_size=64",
    ), tmp_path)  # fmt: skip
    assert set(states(tmp_path).values()) == {0.0}
    assert summary["health"] == {
        "state": "ok", "since": 0, "because": "", "history": [[0, "ok"]], "incident": None,
    }  # fmt: skip
    assert not diverged_path(tmp_path).exists()


EXPLODES = (
    "objective=wgan", "objective.constraint=null", "objective.n_critic=1", "optimizer=sgd",
    "optimizer.lr=0.1", "trainer.log_every=1", "model.init=default",
)  # fmt: skip


def test_an_exploding_run_is_stopped_while_it_is_finite(engine: Built, tmp_path: Path) -> None:
    """Without a bound on the critic, each player's slope is the other's step."""
    summary = fit(engine(*TOY, *EXPLODES, "trainer.steps=1000"), tmp_path)
    its, final = summary["health"], summary["final"]
    assert summary["status"] == its["state"] == "diverged" and summary["steps"] < 1000
    assert its["since"] == summary["steps"] - 1  # two points in a row
    assert 1e5 < max(abs(final["loss/critic"]), abs(final["loss/generator"])) < float("inf")
    assert its["incident"] is None and not diverged_path(tmp_path).exists()
    assert checkpoint_path(tmp_path, 0).is_file()


@pytest.mark.parametrize("objective", ["ns_gan", "wgan_gp"])
def test_the_first_step_that_is_not_finite_is_kept(
    engine: Built, tmp_path: Path, objective: str
) -> None:
    """A NaN in the data, which a batch meets long after the last point of the log."""
    command = (*TOY, f"objective={objective}", "trainer.log_every=40", "trainer.evaluate_every=80",
               "dataset.n_samples=10000")  # fmt: skip
    built = engine(*command, "trainer.steps=200")
    step, which = 67, built.game.objective.n_critic - 1
    poison(built, step, which)
    summary = fit(built, tmp_path / "run")
    assert (summary["status"], summary["steps"]) == ("diverged", 80)
    its = summary["health"]
    assert (its["state"], its["since"], its["incident"]) == ("diverged", step, step)

    kept = load_checkpoint(diverged_path(tmp_path / "run"))
    assert kept["step"] == step - 1 and kept["repeated"]
    assert not isfinite(kept["logs"]["loss/critic"])
    batches = [batch["x"] for batch in kept["batches"]]
    n_critic = built.game.objective.n_critic
    assert [bool(x.isnan().any()) for x in batches] == [k == which for k in range(n_critic)]

    # The state is that of a run which ended just before, bit for bit.
    fit(engine(*command, f"trainer.steps={step - 1}"), tmp_path / "before")
    whole = load_checkpoint(checkpoint_path(tmp_path / "before", step - 1))
    assert not {key for key in TRAINED if differences(kept[key], whole[key])}

    # The critic's loss is not finite on the kept batch, and it is without the NaN.
    again = engine(*command)
    again.load_state_dicts([kept])
    x, fake = batches[which], again.nets.generator(kept["noise"][which]).detach()
    fine = ~x.isnan().any(dim=1)
    loss = partial(again.game.objective.critic_loss, again.game.critic)
    assert loss(Batch(x), Batch(fake)).total.isnan()
    assert loss(Batch(x[fine]), Batch(fake[fine])).total.isfinite()


@pytest.mark.parametrize("replicas", [1, 3])
def test_repeating_steps_changes_nothing_and_repeats_them(
    engine: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replicas: int
) -> None:
    """A meter that lies: it says at step 15 that 13 was not finite, though all steps are."""
    command = (*TOY, "objective=wgan_gp", "trainer.steps=20", f"trainer.replicas={replicas}")
    fit(engine(*command, "trainer.log_every=1"), tmp_path / "plain")
    with monkeypatch.context() as patch:
        patch.setattr(Meter, "first_nonfinite_step", lambda self, step: 13 if step == 15 else None)
        with pytest.warns(UserWarning, match="step 13 was not finite, but is when it is repeated"):
            fit(engine(*command, "trainer.on_diverged=continue"), tmp_path / "lied")
    again = engine(*command)
    names = ["."] if replicas == 1 else [f"replica_{k}" for k in range(replicas)]
    kept = [load_checkpoint(diverged_path(tmp_path / "lied" / name)) for name in names]
    for name, its in zip(names, kept, strict=True):
        one, other = (
            load_checkpoint(checkpoint_path(tmp_path / run / name, 20)) for run in ("plain", "lied")
        )
        assert not {key for key in TRAINED if differences(one[key], other[key])}
        lines = (tmp_path / "plain" / name / "metrics.jsonl").read_text().splitlines()
        point = json.loads(lines[12])
        assert point["step"] == 13 and not its["repeated"]
        assert its["logs"] == {tag: point[tag] for tag in its["logs"]}

    # Put back, the states take the step with the kept batches and noise.
    again.load_state_dicts(kept)
    tape: list[Any] = []
    prior = again.game.prior
    object.__setattr__(again.game, "prior", lambda n: tape.append(prior(n)) or tape[-1])
    picks = again.next_batches()
    again.next_batches = lambda: picks
    logs = again.train_step()
    for k, its in enumerate(kept):
        row = (lambda t, k=k: t[k]) if replicas > 1 else (lambda t: t)
        assert {tag: value.item() for tag, value in logs[k].items()} == its["logs"]
        assert differences([row(latent.z) for latent in tape], its["noise"]) == []
        served = [{"x": row(again.game.to_batch(*pick).x), "y": None} for pick in picks]
        assert differences(served, its["batches"]) == []


def test_of_replicas_only_the_broken_one_is_kept(engine: Built, tmp_path: Path) -> None:
    command = (*TOY, "objective=ns_gan", "trainer.steps=20", "trainer.replicas=3")
    fit(engine(*command), tmp_path / "well")
    pack = engine(*command)
    poison(pack.engines[1], 7)
    summary = fit(pack, tmp_path / "ill")
    states_ = {name: its["health"]["state"] for name, its in summary["replicas"].items()}
    assert states_ == {"replica_0": "ok", "replica_1": "diverged", "replica_2": "ok"}
    assert summary["replicas"]["replica_1"]["health"]["since"] == 7
    kept = load_checkpoint(diverged_path(tmp_path / "ill" / "replica_1"))
    assert kept["step"] == 6 and kept["repeated"] and kept["batches"][0]["x"].isnan().sum() == 1
    assert not diverged_path(tmp_path / "ill" / "replica_0").exists()
    for k in (0, 2):  # the repetition has not touched the others
        one, other = (
            load_checkpoint(checkpoint_path(tmp_path / name / f"replica_{k}", 20))
            for name in ("well", "ill")
        )
        assert fingerprint(one) == fingerprint(other)
    text = health(summary, tmp_path / "ill")
    assert text.startswith("replica_1 diverged since step 7 (loss/critic is not finite); batch and")
    assert text.endswith(f"of step 7: {tmp_path}/ill/replica_1/diverged.pt; 2 of 3 ok")


def test_a_diverged_run_may_go_on(engine: Built, tmp_path: Path) -> None:
    """To its last step, and a resumed one to the same end."""
    command = (*TOY, "objective=ns_gan", "trainer.on_diverged=continue", "metrics=full",
               "trainer.checkpoint_every=8", "trainer.keep_checkpoints=9")  # fmt: skip

    def poisoned(*more: str) -> Engine:
        built = engine(*command, *more)
        poison(built, 13)
        return built

    whole = fit(poisoned("trainer.steps=40"), tmp_path / "whole")
    assert (whole["status"], whole["steps"]) == ("completed", 40)
    assert whole["health"]["history"] == [[0, "ok"], [13, "diverged"]]
    assert whole["final"]["loss/critic"] is None and states(tmp_path / "whole")[15] == 3
    assert not (tmp_path / "whole" / "checkpoints" / "best.pt").exists() or isfinite(
        sum(t.sum().item() for t in load_checkpoint(tmp_path / "whole" / "checkpoints" / "best.pt")["critic"].values())
    )  # fmt: skip
    for cut in (8, 16, 24):  # before it breaks; after, before and after the next point
        folder = tmp_path / str(cut)
        fit(poisoned(f"trainer.steps={cut}"), folder)
        state = load_checkpoint(checkpoint_path(folder, cut))
        resumed = fit(poisoned("trainer.steps=40"), folder, resume_from=[state])
        assert resumed["health"] == whole["health"]
        assert states(folder) == states(tmp_path / "whole")
        ends = [load_checkpoint(checkpoint_path(f, 40)) for f in (folder, tmp_path / "whole")]
        assert differences(*ends) == []
        kept = [load_checkpoint(diverged_path(f)) for f in (folder, tmp_path / "whole")]
        assert differences(*kept) == []


def test_health_survives_a_resumption(engine: Built, tmp_path: Path) -> None:
    """Cut at each checkpoint, between the evaluations that suspect a collapse and see it."""
    command = (
        *TOY,
        "objective=ns_gan",
        "trainer.checkpoint_every=4",
        "trainer.keep_checkpoints=99",
    )

    def constant(*more: str) -> Engine:
        built = engine(*command, *more)
        silence(built.nets.generator)
        return built

    whole = fit(constant("trainer.steps=32"), tmp_path / "whole")
    assert whole["health"]["history"] == [[0, "ok"], [10, "collapsed"]]
    for cut in (8, 12, 16, 20, 24):
        folder = tmp_path / str(cut)
        fit(constant(f"trainer.steps={cut}"), folder)
        resumed = rebuild_engine(folder, steps=32)
        summary = fit(resumed, folder, resume_from=resume_states(folder, resumed))
        assert summary["health"] == whole["health"]
        assert states(folder) == states(tmp_path / "whole")
        end = [load_checkpoint(checkpoint_path(f, 32)) for f in (folder, tmp_path / "whole")]
        assert fingerprint(end[0]) == fingerprint(end[1])


def test_measures_and_health_leave_training_alone(engine: Built, tmp_path: Path) -> None:
    """Bit for bit: without any measure, and with all of them at every step."""
    command = (*IMAGES, "objective=ns_gan", "trainer.steps=6")  # batch norm on both sides
    fit(engine(*command, "metrics=none", "trainer.log_every=6"), tmp_path / "blind")
    fit(
        engine(*command, "metrics=full", "trainer.log_every=1", "trainer.evaluate_every=1"),
        tmp_path / "seen",
    )
    one, other = (load_checkpoint(checkpoint_path(tmp_path / n, 6)) for n in ("blind", "seen"))
    keys = (*TRAINED, "random")
    assert not {key for key in keys if differences(one[key], other[key])}


BREAKS = (
    "dataset=gaussians8", "model=mlp", "model.width=8", "plots=none", "metrics=none",
    "objective=wgan", "objective.constraint=null", "optimizer=sgd", "optimizer.lr=1e9",
    "trainer.steps=4", "trainer.log_every=2", "trainer.checkpoint_every=4", "device=cpu",
    "trainer.batch_size=16",
)  # fmt: skip


@pytest.mark.parametrize("then", ["stop", "continue"])
def test_the_exit_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], then: str
) -> None:
    GlobalHydra.instance().clear()
    more = (f"trainer.on_diverged={then}", f"hydra.run.dir={tmp_path}/run")
    monkeypatch.setattr(sys, "argv", ["gan-run", *BREAKS, *more])
    monkeypatch.chdir(tmp_path)
    if then == "stop":
        with pytest.raises(SystemExit) as stop:
            train.main()
        assert stop.value.code == 1
    else:
        train.main()
    out, errors = capsys.readouterr()
    what = "diverged since step 1 (loss/critic is not finite); batch and weights of step 1: run/diverged.pt"
    assert f"  health      {what}\n" in out
    assert (f"gan-run: {what}" in errors) == (then == "stop")
    assert (tmp_path / "run" / "diverged.pt").is_file()


def test_the_message_of_other_states() -> None:
    its = {
        "state": "collapsed", "since": 1200, "because": "diversity 0.01 of the data's",
        "incident": None,
    }  # fmt: skip
    text = "collapsed since step 1,200 (diversity 0.01 of the data's)"
    assert health({"health": its}, Path("run")) == text
    fine = {"state": "ok", "since": 0, "because": "", "incident": None}
    assert health({"health": fine}, Path("run")) == "ok"

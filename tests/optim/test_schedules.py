"""Schedules against their formulas, in optimizers and objectives, and after a resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import pi, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from rehearsal import META, rehearsal
from torch.optim import lr_scheduler

from gan_runner.builder import build
from gan_runner.config.compose import config_dir
from gan_runner.objectives.objective import Objective
from gan_runner.optim import schedules
from gan_runner.optim.adam import Adam
from gan_runner.optim.schedules import LearningRateSchedule, SecondMomentSchedule
from gan_runner.restore import rebuild_engine, resume_states
from gan_runner.runs.checkpoint import checkpoint_path, fingerprint, load_checkpoint
from gan_runner.training.engine import Engine
from gan_runner.training.loop import fit

TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "objective=gan")
R3GAN = ("dataset=gaussians8", "model=mlp", "model.width=8", "objective=r3gan")
COSINE = (
    "{_target_: gan_runner.optim.schedules.cosine, _partial_: true, first: %s, last: %s, steps: %s}"
)
R3GAN_ANNEALING = (
    "schedule=cosine", "schedule.last=0.25", "schedule.steps=12",
    f"+schedule.beta2={COSINE % (0.9, 0.99, 12)}",
    f"+schedule.critic_terms.r1={COSINE % (0.05, 0.005, 12)}",
    f"+schedule.critic_terms.r2={COSINE % (0.05, 0.005, 12)}",
)  # fmt: skip

FORMULAS: dict[str, tuple[Callable[..., float], dict[str, Any], dict[int, float]]] = {
    "constant": (schedules.constant, {}, dict.fromkeys((0, 1, 7, 99, 10**6), 1.0)),
    "linear": (
        schedules.linear, {"steps": 8}, {0: 1.0, 2: 0.75, 4: 0.5, 7: 0.125, 9: 0.0},
    ),
    "linear, to a value": (
        schedules.linear, {"steps": 4, "first": 2.0, "last": 1.0},
        {0: 2.0, 1: 1.75, 2: 1.5, 4: 1.0, 100: 1.0},
    ),
    "cosine": (
        schedules.cosine, {"steps": 12},
        {0: 1.0, 2: (1 + sqrt(3) / 2) / 2, 4: 0.75, 6: 0.5, 8: 0.25, 12: 0.0, 99: 0.0},
    ),
    "cosine, R3GAN's beta2": (
        schedules.cosine, {"steps": 12, "first": 0.9, "last": 0.99},
        {0: 0.9, 4: 0.9225, 6: 0.945, 8: 0.9675, 12: 0.99},
    ),
    "warmup, constant": (
        schedules.warmup, {"warmup_steps": 4, "steps": 10},
        {0: 0.0, 1: 0.25, 3: 0.75, 4: 1.0, 50: 1.0},
    ),
    "warmup, linear": (
        schedules.warmup, {"warmup_steps": 4, "steps": 8, "then": "linear"},
        {0: 0.0, 2: 0.5, 4: 1.0, 6: 0.5, 8: 0.0},
    ),
    "warmup, cosine": (
        schedules.warmup, {"warmup_steps": 2, "steps": 8, "then": "cosine", "last": 0.5},
        {0: 0.0, 1: 0.5, 2: 1.0, 4: 0.875, 6: 0.625, 8: 0.5},
    ),
    "robbins_monro": (
        schedules.robbins_monro, {}, {0: 1.0, 1: 1 / 2, 2: 1 / 3, 9: 1 / 10, 99: 1 / 100},
    ),
    "robbins_monro, offset and power": (
        schedules.robbins_monro, {"first": 3.0, "offset": 3.0, "power": 0.5},
        {0: 1.5, 5: 1.0, 12: 0.75, 32: 0.5, 96: 0.3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_a_schedule_has_the_values_of_its_formula(name: str) -> None:
    function, arguments, values = FORMULAS[name]
    assert len(values) >= 5
    assert {step: function(step, **arguments) for step in values} == pytest.approx(values)


def test_torch_has_the_same_schedules() -> None:
    ours = {
        "cosine": lambda step: schedules.cosine(step, steps=10),
        "linear": lambda step: schedules.linear(step, steps=10, last=0.1),
    }
    theirs: dict[str, Callable[..., Any]] = {
        "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 10),
        "linear": lambda optimizer: lr_scheduler.LinearLR(
            optimizer, start_factor=1.0, end_factor=0.1, total_iters=10
        ),
    }
    for name, schedule in ours.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
        scheduler = theirs[name](optimizer)
        for step in range(10):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2 * schedule(step))
            optimizer.step()
            scheduler.step()


def test_the_sum_of_rates_diverges_and_that_of_squares_converges() -> None:
    rates = torch.tensor([schedules.robbins_monro(step) for step in range(10_000)])
    assert rates.sum().item() == pytest.approx(9.7876, abs=1e-3)  # log n + Euler's constant
    assert rates.square().sum().item() == pytest.approx(pi**2 / 6, abs=2e-4)


def test_a_schedule_sets_the_rate_of_both_players(engine: Callable[..., Any]) -> None:
    built = engine(*TOY, "schedule=linear", "trainer.steps=10", "optimizer.generator.lr=1e-3")
    for step in range(4):
        (logs,) = built.train_step()
        rates = {name: its.param_groups[0]["lr"] for name, its in built.optimizers.items()}
        expected = {"critic": 2e-4 * (1 - step / 10), "generator": 1e-3 * (1 - step / 10)}
        assert rates == pytest.approx(expected)
        assert {p: logs[f"lr/{p}"].item() for p in rates} == pytest.approx(expected)


def test_each_player_may_have_its_own(engine: Callable[..., Any]) -> None:
    built = engine(*TOY, "schedule=cosine", "schedule.steps=4", "schedule.critic.last=0.5")
    for _ in range(3):
        (logs,) = built.train_step()
    assert logs["lr/critic"].item() == pytest.approx(2e-4 * 0.75)
    assert logs["lr/generator"].item() == pytest.approx(2e-4 * 0.5)
    one = engine(*TOY, "schedule=robbins_monro", "schedule.generator=null")
    (logs,) = one.train_step()
    assert "lr/critic" in logs and "lr/generator" not in logs


def test_the_rate_is_the_rate_of_the_step(engine: Callable[..., Any]) -> None:
    """The first step of a warm-up from 0 moves nothing; the second one does."""
    built = engine(*TOY, "schedule=warmup", "schedule.warmup_steps=2", "optimizer=sgd")
    before = [p.clone() for p in built.nets.critic.parameters()]
    built.train_step()
    assert all(map(torch.equal, before, built.nets.critic.parameters()))
    built.train_step()
    assert not any(map(torch.equal, before, built.nets.critic.parameters()))


def test_a_constant_schedule_costs_nothing(engine: Callable[..., Any]) -> None:
    built = engine(*TOY)
    assert built.schedules is None
    (logs,) = built.train_step()
    assert not [tag for tag in logs if tag.startswith("lr/")]
    rate = built.optimizers["critic"].param_groups[0]["lr"]
    assert rate == 2e-4 and isinstance(rate, float)


def test_a_run_directory_without_these_groups_is_rebuilt(config: Callable[..., Any]) -> None:
    """Those of earlier versions have neither schedules nor limits nor named averages."""
    cfg = config(*TOY, "device=cpu", "trainer.precision=fp32")
    OmegaConf.set_struct(cfg, False)
    for group in ("schedule", "limits", "averages"):
        del cfg[group]
    built = build(cfg)
    assert isinstance(built, Engine)
    assert built.schedules is None and len(built.game.averages) == 1


def test_beta2_and_gamma_follow_a_cosine(engine: Callable[..., Any]) -> None:
    """R3GAN's annealing of lr, beta2 and gamma, each half way after half of the steps."""
    built = engine(*R3GAN, *R3GAN_ANNEALING)
    (start,) = built.train_step()
    for _ in range(5):
        built.train_step()
    (logs,) = built.train_step()
    for tag, first, middle in (
        ("lr/critic", 2e-4, 2e-4 * 0.625),
        ("beta2/critic", 0.9, 0.945),
        ("beta2/generator", 0.9, 0.945),
        ("weight/r1", 0.05, 0.0275),
        ("weight/r2", 0.05, 0.0275),
    ):
        assert (start[tag].item(), logs[tag].item()) == pytest.approx((first, middle)), tag
    for optimizer in built.optimizers.values():
        assert optimizer.param_groups[0]["betas"] == pytest.approx((0.0, 0.945))


def test_a_scheduled_weight_is_that_of_the_term(engine: Callable[..., Any]) -> None:
    fixed = engine(*R3GAN, "objective.critic_terms.r1.weight=0.5")
    moving = engine(*R3GAN, f"+schedule.critic_terms.r1={COSINE % (0.5, 0.0, 2)}",
                    f"+schedule.critic_terms.r2={COSINE % (0.5, 0.5, 2)}")  # fmt: skip
    for step, factor in enumerate((1.0, 0.5, 0.0)):
        torch.manual_seed(step)
        (one,) = fixed.train_step()
        torch.manual_seed(step)
        (other,) = moving.train_step()
        if step == 0:
            assert {tag: other[tag].item() for tag in one} == pytest.approx(
                {tag: value.item() for tag, value in one.items()}, rel=1e-5
            )
        assert other["weight/r1"].item() == pytest.approx(0.5 * factor, abs=1e-9)
    assert other["loss/r1"].item() == 0.0 and other["loss/r2"].item() > 0.0


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_resume_in_mid_schedule_is_bit_identical(
    engine: Callable[..., Any], tmp_path: Path, replicas: int
) -> None:
    command = (
        *R3GAN, *R3GAN_ANNEALING, f"trainer.replicas={replicas}", "metrics=none", "plots=none",
        "trainer.log_every=2", "trainer.checkpoint_every=4", "+average=[half_life,uniform]",
        "limits.max_grad_norm=0.5",
    )  # fmt: skip
    fit(engine(*command, "trainer.steps=12"), tmp_path / "whole")
    fit(engine(*command, "trainer.steps=8"), tmp_path / "cut")
    again = rebuild_engine(tmp_path / "cut", steps=12)
    fit(again, tmp_path / "cut", resume_from=resume_states(tmp_path / "cut", again))
    folder = "replica_1" if replicas > 1 else ""
    ends = [tmp_path / name / folder for name in ("whole", "cut")]
    one, other = (fingerprint(load_checkpoint(checkpoint_path(end, 12))) for end in ends)
    assert one == other
    curves = [_curves(end) for end in ends]
    assert curves[0] == curves[1]
    # the mean of the rate in force over steps 10 and 11
    rate = 2e-4 * sum(schedules.cosine(k, steps=12, last=0.25) for k in (10, 11)) / 2
    assert curves[0][-1]["lr/critic"] == pytest.approx(rate)


def _curves(run_dir: Path) -> list[dict[str, float]]:
    points = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{t: v for t, v in point.items() if not t.startswith("speed/")} for point in points]


def test_replicas_follow_the_schedule_from_their_own_rates(engine: Callable[..., Any]) -> None:
    pack = engine(*TOY, "schedule=linear", "trainer.steps=4", "trainer.replicas=3",
                  "trainer.replica_lrs=[1e-3,1e-3,1e-2]")  # fmt: skip
    for _ in range(3):
        logs = pack.train_step()
    assert [its["lr/critic"].item() for its in logs] == pytest.approx([5e-4, 5e-4, 5e-3])
    rates = [group["lr"] for group in pack.optimizers[1].stacked.param_groups]
    assert rates == pytest.approx([5e-4, 5e-3])
    saved = [state["critic_optimizer"]["param_groups"][0]["lr"] for state in pack.state_dicts()]
    assert saved == pytest.approx([5e-4, 5e-4, 5e-3])


REFUSED = {
    ("schedule=warmup", "schedule.warmup_steps=20", "schedule.steps=10"):
        r"^schedule\.warmup_steps=20: should be less than steps=10",
    ("optimizer=sgd", f"+schedule.beta2={COSINE % (0.9, 0.99, 5)}"):
        r"schedule\.beta2: SGD has no betas; set optimizer=adam",
    (f"+schedule.beta2={COSINE % (1.5, 0.99, 5)}",):
        r"schedule\.beta2: should have values in \[0, 1\)",
    (f"+schedule.beta2={COSINE % (0.9, 1, 5)}",): (
        r"schedule\.beta2: should have values in \[0, 1\)"
    ),
    (f"+schedule.critic_terms.r1={COSINE % (1, 0, 5)}",):
        r"schedule\.critic_terms\.r1: no such term in use; choose one of: none",
    (f"+schedule.critc={COSINE % (1, 0, 5)}",):
        r"schedule\.critc: no such key; did you mean schedule\.critic\?",
    ("schedule=cosine", "schedule.steps=0"): r"schedule\.steps=0: should be greater than 0",
    ("schedule=cosine", "schedule.critic._partial_=false"): r"_partial_: true",
}  # fmt: skip


@pytest.mark.parametrize("overrides", REFUSED)
def test_refusals(engine: Callable[..., Any], overrides: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=REFUSED[overrides]):
        engine(*TOY, *overrides)


def test_a_rate_of_0_before_the_end_is_warned_about(engine: Callable[..., Any]) -> None:
    with pytest.warns(UserWarning, match=r"rate is 0 before trainer.steps=20; set schedule.steps"):
        engine(*TOY, "schedule=linear", "schedule.steps=10", "trainer.steps=20")


def test_every_card_of_the_group_builds(engine: Callable[..., Any]) -> None:
    names = sorted(path.stem for path in (config_dir() / "schedule").glob("*.yaml"))
    assert names == ["constant", "cosine", "linear", "r3gan", "robbins_monro", "warmup"]
    for name in names:
        command = (*TOY, f"schedule={name}", *(["objective=r3gan"] if name == "r3gan" else []))
        (logs,) = engine(*command).train_step()
        assert ("lr/critic" in logs) == (name != "constant")


def test_on_a_gpu_the_values_are_tensors_filled_in_place() -> None:
    """A captured graph reads the memory that was captured: it must stay the same."""
    optimizer = Adam([torch.nn.Parameter(torch.zeros(3, device=META))], lr=0.5)
    parts = [
        LearningRateSchedule(optimizer, lambda step: 1.0 / (step + 1)),
        SecondMomentSchedule(optimizer, lambda step: 0.9),
    ]
    parameter = optimizer.param_groups[0]["params"][0]
    parameter.grad = torch.zeros_like(parameter)
    numbers = []
    for step in range(3):
        for part in parts:
            part.set_step(step)
        group = optimizer.param_groups[0]
        numbers.append((group["lr"], group["betas"][1]))
        if step == 0:
            optimizer.step()  # makes its state
        with rehearsal():
            optimizer.step()
    assert all(n[0] is numbers[0][0] and n[1] is numbers[0][1] for n in numbers)
    assert numbers[0][0].device == META and numbers[0][0].dtype == torch.float32


def test_only_a_weight_can_be_scheduled() -> None:
    built = Objective(
        critic_loss=lambda r, f: r.mean() - f.mean(), generator_loss=lambda f: f.mean(),
        generator_terms={"code": _without_weight},
    )  # fmt: skip
    with pytest.raises(ValueError, match="has no key `weight`"):
        built.schedule_weight("code", player="generator", device=torch.device("cpu"))


def _without_weight(critic: Any, real: Any, fake: Any) -> torch.Tensor:
    return torch.zeros(())

"""A closure is the same function at every call, and leaves the run as one evaluation does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gan_runner.core import Batch, Latent
from gan_runner.runs.log import Meter
from gan_runner.training.engine import Engine
from gan_runner.training.game import critic_loss, differentiate, generator_loss
from gan_runner.training.random_state import random_state
from gan_runner.training.update import Closure

TOY = ("dataset=gaussians8", "model=mlp", "model.width=8", "model.depth=1")
DIGITS = ("dataset=digits", "model.filters=2")
COMMANDS = {
    "eps of a penalty": (*TOY, "objective=wgan_gp"),
    "permuted noise": (*TOY, "objective=meg"),
    "power iteration": (*DIGITS, "objective=sn_gan"),
    "batch norm": (*DIGITS, "objective=ns_gan"),
}


def inputs(engine: Engine, player: str) -> tuple[Batch, Batch | Latent]:
    real = engine.game.to_batch(*engine.stream.next())
    latent = engine.game.prior(len(real.x))._replace(y=real.y)
    if player == "generator":
        return real, latent
    with torch.no_grad():
        return real, Batch(engine.game.generator(*latent), latent.y, latent.z)


def left_behind(engine: Engine) -> list[Tensor]:
    nets = (engine.nets.critic, engine.nets.generator)
    return [random_state(torch.device("cpu"))["cpu"], *(b for n in nets for b in n.buffers())]


@pytest.mark.parametrize("player", ["critic", "generator"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_evaluations_repeat(
    engine: Callable[..., Engine], command: tuple[str, ...], player: str
) -> None:
    loss = critic_loss if player == "critic" else generator_loss
    one = engine(*command)
    given = inputs(one, player)
    closure = Closure(loss, one.game, *given)
    first, _ = closure()
    parameter = next(getattr(one.nets, player).parameters())
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
        elsewhere, _ = closure()
        parameter.copy_(kept)
    again, outputs = closure()
    assert torch.equal(first, again) and not torch.equal(first, elsewhere)
    assert all(output.requires_grad for output in outputs)
    closure.finish()

    other = engine(*command)  # the same run, with one evaluation
    given = inputs(other, player)
    logs, _ = differentiate(loss, other.game, player, *given)
    assert torch.equal(logs[f"loss/{player}"], closure.logs[f"loss/{player}"])
    assert all(map(torch.equal, left_behind(one), left_behind(other)))


def test_a_run_draws_the_same_numbers_under_any_optimizer(engine: Callable[..., Engine]) -> None:
    states = []
    for optimizer in ("adam", "hessian_free"):
        built = engine(*TOY, "objective=wgan_gp", f"optimizer={optimizer}")
        built.train_step()
        states.append(built.state_dicts()[0])
    assert torch.equal(states[0]["random"]["cpu"], states[1]["random"]["cpu"])
    assert states[0]["stream"] == states[1]["stream"]


def test_seconds_are_logged_but_no_part_of_the_state() -> None:
    meter = Meter()
    meter.add({"loss/critic": torch.tensor(1.0), "speed/critic_step_seconds": torch.tensor(2.0)})
    assert list(meter.state_dict()) == ["loss/critic"]
    assert meter.read() == {"loss/critic": 1.0, "speed/critic_step_seconds": 2.0}

"""Every objective and every model pass an iteration that a CUDA graph could capture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from covering import covering
from rehearsal import META, HostWork, move_to_meta, on_meta, rehearsal
from torch import Tensor

from gan_runner.config.compose import config_dir
from gan_runner.core import Batch, Critic, Loss
from gan_runner.objectives.objective import Objective
from gan_runner.optim.schedules import WeightSchedule
from gan_runner.training.ema import ema_of
from gan_runner.training.engine import Engine
from gan_runner.training.orders import ORDERS


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def iterate_on_meta(
    engine: Callable[..., Engine], objective: str, model: str, *more: str
) -> dict[str, Tensor]:
    """Build a run on the CPU, move it to `meta`, and perform an iteration and a step of the average.

    The only function here that knows the training engine.
    """
    sizes = {"mlp": ["model.width=16"], "random": ["model.filters=[4,6]"], "point_and_slope": []}
    built = engine(
        f"objective={objective}", f"model={model}", *sizes.get(model, ["model.filters=4"]),
        "trainer.accelerate=eager", *more,
    )  # fmt: skip
    nets, stream, task = built.nets, built.stream, built.game.objective
    heads = [m for m in vars(task).values() if isinstance(m, torch.nn.Module)]
    move_to_meta(
        [nets.generator, nets.critic, nets.generator_ema, *heads], built.optimizers.values()
    )
    for part in built.schedules.parts.values() if built.schedules else ():
        if isinstance(part, WeightSchedule):  # the term reads the same tensor
            torch.utils.swap_tensors(part.weight, torch.zeros((), device=META))
    stream.device = stream.order.device = META
    stream.table = Batch(*(part.to(META) for part in stream.table if part is not None))
    stream.order.rows = stream.order.rows.to(META)
    prior = partial(built.game.prior.func, **{**built.game.prior.keywords, "device": META})
    averages = [ema_of(built.nets.generator_ema, built.nets.generator, decay=0.999)]
    built.game = replace(built.game, prior=prior, averages=averages)
    with on_meta():
        built.train_step()  # optimizers make their state, as in the eager warm-up
        batches = built.next_batches()
        built.next_batches = lambda: batches  # type: ignore[method-assign]
        with rehearsal():
            (logs,) = built.train_step()
    return logs


@pytest.mark.parametrize("objective", options("objective"))
def test_every_objective(engine: Callable[..., Engine], objective: str) -> None:
    logs = iterate_on_meta(engine, objective, "dcgan")
    assert {"loss/critic", "loss/generator"} <= set(logs)
    assert {value.device for value in logs.values()} == {META}


def test_adaptive_augmentation_waits_for_nothing(engine: Callable[..., Engine]) -> None:
    logs = iterate_on_meta(engine, "ns_gan", "dcgan", "+augmentation=adaptive")
    assert logs["augmentation/p"].device == META


@pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=pytest.mark.slow if m == "resnet101" else ()) for m in options("model")],
)
def test_every_model(engine: Callable[..., Engine], model: str) -> None:
    logs = iterate_on_meta(engine, "wgan_gp", model)
    assert {value.device for value in logs.values()} == {META}


AT_ONCE = {"extragradient", "extra_adam", "optimistic", "optimistic_adam"}  # both players
UNSCHEDULED = {"sgd", "extragradient"}  # rehearsed without fused kernels, which take a tensor lr


@pytest.mark.parametrize("optimizer", sorted({*options("optimizer")} - {"hessian_free"}))
def test_every_optimizer_with_a_schedule_and_limits(
    engine: Callable[..., Engine], optimizer: str
) -> None:
    more = [] if optimizer in AT_ONCE else ["objective.n_generator=2"]
    more += [] if optimizer in UNSCHEDULED else ["schedule=cosine"]
    logs = iterate_on_meta(
        engine, "gan", "mlp", "dataset=gaussians8", f"optimizer={optimizer}", *more,
        "limits.radius=1", "limits.max_grad_norm=1", "limits.max_grad_value=1",
    )  # fmt: skip
    assert optimizer in UNSCHEDULED or {"lr/critic", "lr/generator"} <= set(logs)
    assert {value.device for value in logs.values()} == {META}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_tensorflows_flavor(engine: Callable[..., Engine], optimizer: str) -> None:
    logs = iterate_on_meta(
        engine, "gan", "mlp", "dataset=gaussians8", f"optimizer={optimizer}", "schedule=linear",
        "optimizer.flavor=tensorflow",
    )  # fmt: skip
    assert {value.device for value in logs.values()} == {META}


WAITING = {"hessian_free"}  # it reads numbers from the device, and says so


@pytest.mark.parametrize(
    ("optimizer", "order"),
    covering([o for o in options("optimizer") if o not in WAITING], ["", *ORDERS], one_in=2),
)
def test_every_order_of_every_optimizer(
    engine: Callable[..., Engine], optimizer: str, order: str
) -> None:
    """An empty order is the card's own."""
    more = [f"optimizer={optimizer}", *([f"optimizer.order={order}"] if order else [])]
    command = ("wgan_gp", "mlp", "model.depth=1", "objective.n_critic=2", *more)
    if words := refusal(optimizer, order):
        with pytest.raises(ValueError, match=rf"^optimizer\.order.*{words}"):
            iterate_on_meta(engine, *command)
        return
    logs = iterate_on_meta(engine, *command)
    assert {value.device for value in logs.values()} == {META}


def refusal(optimizer: str, order: str) -> str | None:
    """Return what the error of a pair says, None for one that fits."""
    looks_ahead = {"extragradient": "ExtraSGD", "extra_adam": "ExtraAdam"}.get(optimizer)
    if looks_ahead and order not in ("", "extragradient"):
        return rf"{'alternating' if order == 'lookahead' else order}: .*{looks_ahead} looks ahead"
    if order == "extragradient" and not looks_ahead:
        return "=extragradient: .* cannot look ahead"
    if (optimizer, order) == ("sghmc", "lookahead"):
        return "=lookahead: .*SGHMC samples weights"
    return None


def test_an_objective_that_forgets_the_device_is_refused(
    engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, too, the sum would be right: only the capture would fail."""
    loss = Objective.critic_loss

    def forgetful(self: Objective, critic: Critic, real: Batch, fake: Batch) -> Loss:
        total, logs = loss(self, critic, real, fake)
        return Loss(total + torch.zeros(()), logs)

    monkeypatch.setattr(Objective, "critic_loss", forgetful)
    with pytest.raises(HostWork, match="allocates on the CPU"):
        iterate_on_meta(engine, "wgan_gp", "dcgan")


X = torch.ones(3, device=META)
HOST = {
    "reading a number": lambda: X.sum().item(),
    "a branch on a tensor": lambda: 1 if X.sum() > 0 else 0,
    "a tensor on the wrong device": lambda: torch.empty(3, device=META) + ON_CPU,
    "an upload from the host": lambda: torch.tensor([1.0, 2.0]).to(META),
    "a number from the host": lambda: torch.tensor(1.0, device=META),
    "a scalar from the host": lambda: FACTOR.to(META),
    "a download": lambda: ON_CPU.copy_(X),
    "a forgotten device": lambda: torch.zeros(3),
    "rows chosen by their values": lambda: X.nonzero(),
}
ON_CPU, FACTOR = torch.ones(3), torch.tensor(0.5)


@pytest.mark.parametrize("work", HOST)
def test_host_work_is_refused(work: str) -> None:
    with pytest.raises(HostWork), rehearsal():
        HOST[work]()


def test_scalars_and_device_work_pass() -> None:
    with rehearsal():
        y = X * FACTOR + torch.randn(3, device=META)
        y.mul_(2).clamp_(0, 1)
    assert y.device == META


def test_augmented_dequantised_and_flipped_batches(engine: Callable[..., Engine]) -> None:
    logs = iterate_on_meta(
        engine, "wgan_gp", "dcgan", "+augmentation=diffaugment", "trainer.dequantize=true",
        "trainer.horizontal_flips=true", "trainer.generator_batch_multiple=2",
    )  # fmt: skip
    assert {value.device for value in logs.values()} == {META}

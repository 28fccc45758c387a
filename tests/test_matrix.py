"""Every objective meets every model on every kind of data, for one real step of each player.

The step is checked against calculus, not against "it moved": a gradient step of size lr lowers the
loss by lr |g|^2 to first order, on the same batch and the same random numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from covering import covering
from torch import nn

from gan_runner.config.compose import config_dir
from gan_runner.core import Batch, Latent, Loss
from gan_runner.models.norms import has_feature_norm
from gan_runner.training.engine import Engine
from gan_runner.training.game import critic_loss, differentiate, generator_loss
from gan_runner.training.step import alternating


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


# One of each kind: points, grey images, colour images (whose size is no power of two).
DATA = ("gaussians8", "digits", "image_folder")
SIZES = {
    "mlp": ["model.width=16"],
    "random": ["model.filters=[4,6]"],
    "resnet101": [
        "model.filters=16"
    ],  # fewer leave dead channels: exact zeros, where ReLU has a kink
}
FAMILIES = ("dcgan", "mlp", "resnet")  # the others are options of theirs, but for resnet101
CELLS = [(model, objective) for model in FAMILIES for objective in options("objective")] + [
    (model, objective)
    for model in options("model")
    for objective in ("ns_gan", "wgan_gp")
    if model not in (*FAMILIES, "point_and_slope")  # the last is a game, with tests of its own
]
FAST = {"dcgan": "digits", "mlp": "gaussians8", "resnet": "digits"}  # all objectives meet these


def cells() -> list[Any]:
    """Each model and objective on each kind of data; the fast ones hold each of the three."""
    marks = {
        (data, model, objective): (
            FAST.get(model, "digits") == data
            or (data == "image_folder" and model in FAMILIES and objective in ("ns_gan", "wgan_gp"))
        )
        for data in DATA
        for model, objective in CELLS
    }
    return [
        pytest.param(*cell, marks=() if fast else pytest.mark.slow) for cell, fast in marks.items()
    ]


LR = 1e-9  # small, because double precision allows it and the claim is about first order


@pytest.fixture(scope="session")
def colour_images(tmp_path_factory: pytest.TempPathFactory) -> str:
    from torchvision.utils import save_image

    folder = tmp_path_factory.mktemp("colour")
    noise = torch.Generator().manual_seed(0)
    for i in range(40):
        save_image(torch.rand(3, 20, 20, generator=noise), folder / f"{i}.png")
    return str(folder)


def build_cell(
    engine: Callable[..., Engine], folder: str, data: str, model: str, *more: str
) -> Engine:
    path = [f"dataset.path={folder}"] if data == "image_folder" else []
    sizes = SIZES.get(model, ["model.filters=4"])
    if data == "gaussians8" and "objective=infogan" in more:
        sizes = [*sizes, "model.latent_dim=14"]  # room for the code
    return engine(f"dataset={data}", f"model={model}", *sizes, *path, *more)


@pytest.mark.parametrize(("data", "model", "objective"), cells())
def test_one_step_of_each_player(
    engine: Callable[..., Engine], colour_images: str, data: str, model: str, objective: str
) -> None:
    if data == "gaussians8" and model != "mlp":
        with pytest.raises(ValueError, match=r"this model needs images, .* use model=mlp"):
            build_cell(engine, colour_images, data, model, f"objective={objective}")
        return
    if data != "digits" and objective in {"cgan", "acgan"}:
        with pytest.raises(ValueError, match="needs data with labels"):
            build_cell(engine, colour_images, data, model, f"objective={objective}")
        return
    built = build_cell(engine, colour_images, data, model, f"objective={objective}")
    game, nets = built.game, built.nets
    start = copy.deepcopy((nets.generator.state_dict(), nets.critic.state_dict()))
    for network in (nets.generator, nets.critic):
        _hold_still(network.double())
    real = built.stream.to_batch(*built.stream.next())
    real = Batch(real.x.double(), real.y)
    latent = Latent(built.runs[0].noise.z[: len(real.x)].double(), real.y)
    with torch.no_grad():
        fake = Batch(nets.generator(*latent), latent.y, latent.z)

    def critic() -> tuple[Loss, list[torch.Tensor]]:
        torch.manual_seed(1)  # the same eps for the penalty
        logs, gradients = differentiate(critic_loss, game, "critic", real, fake)
        return Loss(logs["loss/critic"], logs), list(gradients)

    def generator() -> tuple[Loss, list[torch.Tensor]]:
        logs, gradients = differentiate(generator_loss, game, "generator", real, latent)
        return Loss(logs["loss/generator"], logs), list(gradients)

    for network, loss_and_gradients in ((nets.critic, critic), (nets.generator, generator)):
        before, gradients = loss_and_gradients()
        assert torch.isfinite(before.total)
        squared = sum(g.square().sum() for g in gradients)
        assert squared > 0
        _descend(network, gradients, LR / float(squared) ** 0.5)
        after, _ = loss_and_gradients()
        decrease = (before.total - after.total) / (LR * squared.sqrt())
        assert decrease.item() == pytest.approx(1.0, abs=0.02)

    # and a whole iteration as it is: every weight with a gradient moves, and clipping holds
    nets.generator.float().train().load_state_dict(start[0])
    nets.critic.float().train().load_state_dict(start[1])
    before = {name: _weights(getattr(nets, name)) for name in ("critic", "generator")}
    reals = [built.stream.next() for _ in range(built.game.objective.n_critic)]
    logs = alternating(built.game, reals)
    assert all(torch.isfinite(value) for value in logs.values())
    for name, weights in before.items():
        network = getattr(nets, name)
        gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
        steep = gradient.abs() > 0.1 * gradient.abs().max()
        moved = (weights != _weights(network))[steep].float().mean()
        assert moved > 0.99 if objective == "bayesian" else moved == 1  # noise may cancel a step
    if objective == "wgan":
        assert _weights(nets.critic).abs().max().item() <= 0.01 + 1e-9
    if objective == "wgan_frobenius":
        assert all(p.norm() <= 1 + 1e-6 for p in nets.critic.parameters() if p.ndim > 1)
        assert not has_feature_norm(nets.critic)  # it would undo that


def _hold_still(network: nn.Module) -> None:
    """Spectral norm iterates at each call, so that the loss would be another function."""
    for module in network.modules():
        if hasattr(module, "_power_method"):
            module.eval()


@torch.no_grad()
def _descend(network: nn.Module, gradients: list[torch.Tensor], lr: float) -> None:
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter -= lr * gradient


@pytest.mark.parametrize(
    ("optimizer", "objective"),
    covering(
        ["adam", "adamw", "hessian_free", "rmsprop", "sgd", "sghmc"],  # others: test_orders
        [o for o in options("objective") if o not in {"cgan", "acgan"}],
        one_in=4,
    ),
)
def test_every_optimizer_steps_both_players(
    engine: Callable[..., Engine], optimizer: str, objective: str
) -> None:
    """Adam and RMSProp first move each weight by about lr; SGD by lr times the gradient."""
    calm = ["optimizer.temperature=0", "optimizer.warm_up=0"] if optimizer == "sghmc" else []
    calm += ["optimizer.weight_decay=0"] if optimizer == "adamw" else []
    if optimizer == "hessian_free" and objective.startswith("fgan"):  # its card clips gradients
        calm += ["limits.max_grad_norm=null", "limits.max_grad_value=null"]
    calm += ["model.latent_dim=14"] if objective == "infogan" else []
    calm += ["schedule=constant"] if objective == "r3gan" else []  # its schedule is of Adam's beta2
    built = engine(
        "dataset=gaussians8", "model=mlp", "model.width=16", "model.depth=1",
        f"objective={objective}", f"optimizer={optimizer}", "optimizer.lr=1e-3",
        "objective.n_critic=1", *calm,
    )  # fmt: skip
    nets = built.nets
    before = {name: _weights(getattr(nets, name)) for name in ("critic", "generator")}
    logs = alternating(built.game, [built.stream.next()])
    if optimizer == "hessian_free":  # it leaves no gradients; tests/optim/test_hessian_free.py
        assert all(logs[f"optimizer/{name}_products"] >= 1 for name in before)
        assert all(not torch.equal(w, _weights(getattr(nets, n))) for n, w in before.items())
        return
    for name, weights in before.items():
        network = getattr(nets, name)
        moved = (weights - _weights(network)).abs()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters()]).abs()
        # lr |g| for SGD; lr g / (|g| + eps) for Adam; lr g / (sqrt((1 - alpha) g^2) + eps) for RMSProp
        size = {
            "sgd": gradient, "adam": gradient / (gradient + 1e-8),
            "adamw": gradient / (gradient + 1e-8), "rmsprop": gradient / (0.1 * gradient + 1e-8), "sghmc": gradient,
        }[optimizer]  # fmt: skip
        projected = built.game.objective.constraint is not None and name == "critic"
        active = gradient > 0.01 * gradient.max()
        assert active.any()
        if not projected:  # else the distance is the projection's, which the test above is about
            expected = (1e-3 * size).expand_as(moved)
            torch.testing.assert_close(moved[active], expected[active], rtol=2e-2, atol=1e-7)


def _weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()

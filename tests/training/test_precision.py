"""bfloat16 stays inside the networks, and only where the hardware is good at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_runner.core import Batch, DataSpec
from gan_runner.models import dcgan, mlp
from gan_runner.objectives.penalties import gradient_penalty, input_gradient
from gan_runner.restore import rebuild_engine
from gan_runner.training import precision
from gan_runner.training.engine import Engine
from gan_runner.training.game import Player
from gan_runner.training.loop import fit
from gan_runner.training.precision import resolve_precision

CPU = torch.device("cpu")
SPEC = DataSpec("images", (1, 8, 8))


def convolutional() -> nn.Module:
    return dcgan.Critic(SPEC, filters=8, norm="none", init="he")


@pytest.mark.parametrize("hardware", [True, False])
def test_auto_follows_the_hardware_and_the_network(
    monkeypatch: pytest.MonkeyPatch, hardware: bool
) -> None:
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda device: hardware)
    points = mlp.Critic(DataSpec("points", (2,)), width=4)
    assert resolve_precision("auto", CPU, convolutional()) == ("bf16" if hardware else "fp32")
    assert resolve_precision("auto", CPU, points) == "fp32"
    assert resolve_precision("bf16", CPU, points) == "bf16"  # what is asked for is done


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "vendor", "faster"),
    [
        (True, True, "GenuineIntel", True),
        (False, True, "GenuineIntel", False),  # it has the instruction, at half the speed
        (False, True, "AuthenticAMD", True),
        (False, False, "AuthenticAMD", False),
    ],
)
def test_a_cpu_is_known_by_its_name_and_not_by_the_clock(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool, vendor: str, faster: bool
) -> None:
    """What is chosen decides every number of a run: a busy machine must not."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(precision, "_processor", lambda: f"vendor_id\t: {vendor}\n")
    assert resolve_precision("auto", CPU, convolutional()) == ("bf16" if faster else "fp32")


def test_a_resumed_run_keeps_what_auto_has_chosen(
    monkeypatch: pytest.MonkeyPatch, engine: Callable[..., Engine], tmp_path: Path
) -> None:
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda device: True)
    built = engine("trainer.precision=auto", "trainer.steps=1", "model.filters=4")
    fit(built, tmp_path)
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda device: False)
    again = rebuild_engine(tmp_path, steps=2)
    assert built.runs[0].facts["precision"] == again.runs[0].facts["precision"] == "bf16"


def test_tf32_needs_a_gpu(engine: Callable[..., Engine]) -> None:
    with pytest.raises(
        ValueError, match=r"trainer\.precision=tf32: needs an NVIDIA GPU .* not cpu"
    ):
        engine("trainer.precision=tf32")


def test_bfloat16_stays_inside() -> None:
    critic, x = convolutional(), torch.rand(16, 1, 8, 8) * 2 - 1
    seen = []
    critic.features[0].register_forward_hook(lambda _, inputs, out: seen.append(out.dtype))
    exact, rounded = Player(critic), Player(critic, dtype=torch.bfloat16)
    assert seen == [] and rounded(x).dtype == torch.float32 and seen == [torch.bfloat16]
    error = (rounded(x) - exact(x)).norm() / exact(x).norm()
    assert 1e-4 < error < 2e-2  # 8 bits: 2^-9 a rounding
    gradient = input_gradient(rounded, x, None)
    assert gradient.dtype == torch.float32  # so are its norm, the penalty and the means
    penalty = gradient_penalty(rounded, Batch(x), Batch(-x), weight=10.0)
    gradients = torch.autograd.grad(penalty, rounded.parameters, materialize_grads=True)
    assert penalty.dtype == torch.float32
    assert {g.dtype for g in gradients} == {torch.float32}


def test_double_precision_is_kept() -> None:
    critic = convolutional().double()
    assert Player(critic)(torch.rand(2, 1, 8, 8).double()).dtype == torch.float64


def test_a_bfloat16_iteration_is_close_to_an_exact_one(engine: Callable[..., Engine]) -> None:
    def losses(name: str) -> list[float]:
        built = engine("model.filters=8", "model.init=he", f"trainer.precision={name}")
        assert built.runs[0].facts["precision"] == name
        logs = [built.iteration(built.game, built.next_batches()) for _ in range(3)]
        return [its["loss/critic"].item() for its in logs]

    exact, rounded = losses("fp32"), losses("bf16")
    assert rounded != exact and rounded == pytest.approx(exact, rel=0.02, abs=0.01)

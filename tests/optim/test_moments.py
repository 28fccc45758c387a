"""Adam's moments in each optimizer that has them, against float64 and on other devices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from rehearsal import META, rehearsal
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_runner.optim.adam import Adam, with_tensor_betas
from gan_runner.optim.games import OptimisticAdam, TensorExtraAdam, extra_adam
from gan_runner.optim.sghmc import SGHMC
from gan_runner.optim.shared import adam_moments

BETAS, EPS = (0.5, 0.999), 1e-8
BUILD: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "adam": lambda p: Adam(p, lr=1.0, epsilon_hat=False),
    "extra_adam": lambda p: extra_adam(p, lr=1.0),
    "extra_adam, tensors": lambda p: TensorExtraAdam(p, lr=1.0, epsilon_hat=False),
    "optimistic_adam": lambda p: OptimisticAdam(p, lr=1.0),
    "sghmc": lambda p: SGHMC(p, warm_up=100, warm_up_lr=1.0, temperature=0.0),
}
OF_OURS = sorted({*BUILD} - {"extra_adam"})  # the moments of that one are torch's


def directions(optimizer: Optimizer, weight: nn.Parameter, gradients: Tensor) -> list[Tensor]:
    """Return Adam's direction after each gradient, from the moves with a rate of 1."""
    found: list[Tensor] = []
    for gradient in gradients:
        weight.grad = gradient.clone()
        with torch.no_grad():
            weight.zero_()
        optimizer.step()
        if isinstance(optimizer, OptimisticAdam):  # -2 d_t + d_{t-1}
            found.append((found[-1] - weight.detach() if found else -weight.detach()) / 2)
        else:
            found.append(-weight.detach())
    return found


def in_float64(gradients: np.ndarray) -> list[np.ndarray]:
    """Return m^ / (sqrt(v^) + eps) after each gradient."""
    m, v, found = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1]), []
    for t, g in enumerate(gradients, 1):
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g**2
        found.append(m / (1 - BETAS[0] ** t) / (np.sqrt(v / (1 - BETAS[1] ** t)) + EPS))
    return found


@pytest.mark.parametrize("name", BUILD)
def test_the_first_direction_is_the_sign_of_the_gradient(name: str) -> None:
    """With 1 - 0.999 in float32 its size is 1 - 6.6e-6."""
    gradient = torch.tensor([3.0, -0.7, 20.0, -1e3], dtype=torch.float64)
    weight = nn.Parameter(torch.zeros_like(gradient))
    (first,) = directions(BUILD[name]([weight]), weight, gradient[None])
    torch.testing.assert_close(first, gradient.sign(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-11), (torch.float32, 2e-6)], ids=["float64", "float32"]
)
def test_every_step_against_float64(name: str, dtype: torch.dtype, rtol: float) -> None:
    random = torch.Generator().manual_seed(0)
    gradients = (1 + torch.rand(30, 5, generator=random)).to(dtype)  # of one sign: none cancels
    weight = nn.Parameter(torch.zeros(5, dtype=dtype))
    found = directions(BUILD[name]([weight]), weight, gradients)
    for one, other in zip(found, in_float64(gradients.double().numpy()), strict=True):
        torch.testing.assert_close(one.double(), torch.from_numpy(other), rtol=rtol, atol=0)


def test_replicas_have_moments_of_their_own() -> None:
    """The moments of stacked gradients are the stacked moments."""
    gradients = torch.randn(3, 2, 4)
    stacked, alone = {}, [{}, {}]
    for gradient in gradients:
        together = adam_moments(gradient, stacked, BETAS)
        parts = [adam_moments(g, s, BETAS) for g, s in zip(gradient, alone, strict=True)]
        for one, rows in zip(together[:2], zip(*parts, strict=True), strict=False):
            assert torch.equal(one, torch.stack(rows))
        assert together[2:] == parts[0][2:] == parts[1][2:]


@pytest.mark.parametrize("name", OF_OURS)
def test_a_saved_step_number_follows_the_parameter(name: str) -> None:
    """A captured graph would count a number on the CPU once, at the capture."""
    saved = nn.Parameter(torch.zeros(2))
    before = BUILD[name]([saved])
    saved.grad = torch.ones(2)
    before.step()
    weight = nn.Parameter(torch.zeros(2, device=META))
    after = BUILD[name]([weight])
    after.load_state_dict(before.state_dict())
    assert {value.device for value in after.state[weight].values()} == {META}
    weight.grad = torch.ones(2, device=META)
    with rehearsal():
        after.step()


@pytest.mark.parametrize("name", ["extra_adam", "optimistic_adam"])
def test_a_beta2_on_the_device_is_not_read(name: str) -> None:
    """A schedule of beta2 on a GPU fills a tensor, which a captured graph reads."""
    weight = nn.Parameter(torch.zeros(2, device=META))
    optimizer = with_tensor_betas(BUILD[name]([weight]))
    beta2 = torch.empty((), dtype=torch.float64, device=META)
    optimizer.param_groups[0]["betas"] = (0.5, beta2)
    weight.grad = torch.ones(2, device=META)
    with rehearsal():
        getattr(optimizer, "extrapolate", optimizer.step)()
        optimizer.step()
    assert hasattr(optimizer, "extrapolate") == (name == "extra_adam")

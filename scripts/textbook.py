"""WGAN-GP as tutorials write it in plain PyTorch: the baseline of scripts/bench.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gan_runner.core import to_unit
from gan_runner.training.device import tune_malloc
from gan_runner.training.engine import Engine


def textbook(built: Engine, device: torch.device) -> Callable[[], None]:
    """Return one iteration of textbook WGAN-GP, on the same networks in the default layout."""
    generator = built.nets.generator.to(memory_format=torch.contiguous_format)
    critic = plain_activations(built.nets.critic).to(memory_format=torch.contiguous_format)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    optimizer_c = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.0, 0.9))
    data = TensorDataset(to_unit(built.stream.table.x).contiguous().cpu())
    loader = DataLoader(
        data, batch_size=built.runs[0].settings.batch_size, shuffle=True, drop_last=True
    )
    batches, latent_dim = endless(loader), int(built.nets.generator.latent_dim)

    def step() -> None:
        # PyTorch's defaults
        tune_malloc(False)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
        for _ in range(5):
            real = next(batches).to(device)
            z = torch.randn(len(real), latent_dim, device=device)
            optimizer_c.zero_grad()
            fake = generator(z).detach()
            loss_real = -critic(real).mean()
            loss_real.backward()
            loss_fake = critic(fake).mean()
            loss_fake.backward()
            eps = torch.rand(len(real), *[1] * (real.dim() - 1), device=device)
            mixed = (eps * real + (1 - eps) * fake).requires_grad_(True)
            scores = critic(mixed)
            gradient = torch.autograd.grad(
                scores, mixed, grad_outputs=torch.ones_like(scores), create_graph=True,
                retain_graph=True,
            )[0]  # fmt: skip
            penalty = 10 * ((gradient.view(len(real), -1).norm(2, dim=1) - 1) ** 2).mean()
            penalty.backward()
            optimizer_c.step()
            loss_real.item() + loss_fake.item() + penalty.item()
        optimizer_g.zero_grad()
        loss = -critic(generator(torch.randn(len(real), latent_dim, device=device))).mean()
        loss.backward()
        optimizer_g.step()
        loss.item()

    return step


def plain_activations(network: nn.Module) -> nn.Module:
    """Replace the package's activations by torch's own."""
    for name, child in network.named_children():
        if hasattr(child, "slope"):
            setattr(network, name, nn.LeakyReLU(child.slope) if child.slope else nn.ReLU())
        else:
            plain_activations(child)
    return network


def endless(loader: DataLoader) -> Iterator[torch.Tensor]:
    """Yield batches forever."""
    while True:
        for (batch,) in loader:
            yield batch

"""Sign descent (Bernstein et al. 2018, arXiv 1802.04434)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from annotated_types import Gt


class SignedSGD(torch.optim.Optimizer):
    """theta <- theta - lr sign(g)."""

    def __init__(
        self, params: Iterable[torch.nn.Parameter], *, lr: Annotated[float, Gt(0)] = 1e-4
    ) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad.sign())

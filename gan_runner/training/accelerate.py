"""Execution of an iteration: eager, compiled, or as one captured CUDA graph.

Each wraps an order of `step` from outside and takes the same steps: eager and cuda_graph run the
same kernels, compile agrees to the rounding of float32.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import grad

from gan_runner.core import Loss, RowIndices, StateDict
from gan_runner.runs.files import cache_folder
from gan_runner.training.game import (
    Game,
    Gradients,
    Logs,
    LossFunction,
    Player,
    PlayerName,
)
from gan_runner.training.step import Iteration, alternating, averaged
from gan_runner.training.update import takes_closure

Accelerate = Literal["auto", "eager", "compile", "cuda_graph"]

_WARM_UP, _TIMED = 4, 16  # iterations of each candidate of auto


@dataclass
class Mode:
    """The requested mode of execution, the selected one, and the speeds that decided it.

    Attributes:
        requested: one of `Accelerate`.
        selected: the mode in use; None while auto is still measuring.
        speeds: iterations per second of each candidate of auto.
        stale: True once tensors were replaced that a captured graph would still use.
    """

    requested: Accelerate
    selected: str | None = None
    speeds: dict[str, float] = field(default_factory=dict)
    stale: bool = False

    def __post_init__(self) -> None:
        if self.requested != "auto":
            self.selected = self.requested

    def describe(self) -> dict[str, Any]:
        """Return the entries of the summary."""
        return {
            "asked": self.requested,
            "mode": self.selected,
            "iterations_per_second": self.speeds,
        }

    def state_dict(self) -> StateDict:
        """Return the selection: a resumed run that measured again might round differently."""
        return {"chosen": self.selected, "speeds": self.speeds}

    def load_state_dict(self, state: StateDict) -> None:
        """Continue with the mode of `state`, unless one is requested."""
        if self.requested == "auto":
            self.selected, self.speeds = state["chosen"], dict(state["speeds"])


def check_mode(requested: Accelerate, device: torch.device, *, replicas: int) -> None:
    """Refuse a mode that the device or replicas do not allow.

    Raises:
        ValueError: with the key and the fix.
    """
    if requested == "cuda_graph" and device.type != "cuda":
        raise ValueError(
            f"trainer.accelerate=cuda_graph: needs an NVIDIA GPU, not {device};"
            " set trainer.accelerate=auto"
        )
    if requested == "compile" and replicas > 1:
        raise ValueError(
            "trainer.accelerate=compile: does not work with trainer.replicas, which are vectorised;"
            " set trainer.accelerate=auto"
        )


class AutoStep:
    """An iteration in the requested mode, or with auto in the fastest one; averages included.

    auto has one candidate on a CPU, eager: compiling takes longer than it earns there. On a GPU it
    takes some iterations of the run itself with each of eager and cuda_graph, then goes on with the
    faster. An optimizer that reads losses from the device within its step leaves eager alone.

    Args:
        mode: the requested one; told which was selected.
        device: of the game's networks.
        order: one eager iteration; see `step`.
    """

    def __init__(self, mode: Mode, device: torch.device, *, order: Iteration = alternating) -> None:
        self.mode, self.device, self.order = mode, device, order
        whole = averaged(order)
        self.iterations: dict[str, Callable[[Game, Sequence[RowIndices]], Logs]] = {
            "eager": whole,
            "compile": CompiledStep(whole),
            "cuda_graph": CUDAGraphStep(whole),
        }
        self.candidates = ["eager", "cuda_graph"] if device.type == "cuda" else ["eager"]
        self.taken, self.start = 0, 0.0

    def __call__(self, game: Game, picks: Sequence[RowIndices]) -> Logs:
        """Take one iteration."""
        if self.mode.stale:
            self.iterations["cuda_graph"] = CUDAGraphStep(self.iterations["eager"])
            self.mode.stale = False
        if self.mode.selected is None:
            self._autotune(game)
        name = self.mode.selected or self.candidates[self.taken // (_WARM_UP + _TIMED)]
        self.taken += 1
        try:
            return self.iterations[name](game, picks)
        except RuntimeError as error:  # raised by CUDA if it cannot capture
            if self.mode.requested != "auto" or name == "eager":
                raise
            reason = str(error).partition("\n")[0]
            warnings.warn(
                f"trainer.accelerate={name} failed ({reason}); falling back to eager", stacklevel=2
            )
            self.mode.selected = "eager"
        return self.iterations["eager"](game, picks)

    def _autotune(self, game: Game) -> None:
        """Time each candidate of auto over its last iterations, then choose."""
        reads_device = takes_closure(game.critic_optimizer) or takes_closure(
            game.generator_optimizer
        )
        if reads_device or len(self.candidates) == 1:
            self.mode.selected = "eager"
            return
        index, step = divmod(self.taken, _WARM_UP + _TIMED)
        if step == 0 and index > 0:
            self._finish(self.candidates[index - 1])
        if index == len(self.candidates):
            self.mode.selected = max(self.mode.speeds, key=self.mode.speeds.__getitem__)
        elif step == _WARM_UP:
            self._wait()
            self.start = perf_counter()

    def _finish(self, name: str) -> None:
        self._wait()
        self.mode.speeds[name] = round(_TIMED / (perf_counter() - self.start), 1)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class CompiledStep:
    """The iteration with both gradients compiled by torch.compile, each as a whole.

    The gradient is `torch.func.grad`: autograd's own cannot be traced through a penalty's second
    derivative. Random numbers are torch's (`fallback_random`), so that a compiled iteration
    draws the same numbers as an eager one.
    """

    def __init__(self, order: Iteration) -> None:
        self.order = order
        self.functions: dict[str, Callable[..., Any]] = {}
        # torch's default is a folder in /tmp that another user could make first, with code in it
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))

    def __call__(self, game: Game, picks: Sequence[RowIndices]) -> Logs:
        """Take one iteration."""
        return self.order(replace(game, differentiate=self.differentiate), picks)

    def differentiate(
        self, loss: LossFunction, game: Game, player: PlayerName, *inputs: Any
    ) -> tuple[Logs, Gradients]:
        """Return logs and gradients like `game.differentiate`."""
        if not self.functions:
            torch.compiler.reset()  # forgets earlier runs: torch limits recompilations a process
        if player not in self.functions:
            function = grad(partial(_of_weights, loss, game, player), has_aux=True)
            self.functions[player] = torch.compile(
                function, fullgraph=True, dynamic=False, options={"fallback_random": True}
            )
        networks = {"critic": game.critic.networks[0], "generator": game.generator.networks[0]}
        moved = _detached(dict(networks[player].named_parameters()))
        rest = {name: _detached(_state(network)) for name, network in networks.items()}
        by_name, logs = self.functions[player](moved, rest, *inputs)
        gradients = list(by_name.values())
        return {**logs, f"grad_norm/{player}": nn.utils.get_total_norm(gradients)}, gradients


def _of_weights(
    loss: LossFunction,
    game: Game,
    player: PlayerName,
    moved: dict[str, Tensor],
    rest: dict[str, dict[str, Tensor]],
    *inputs: Any,
) -> tuple[Tensor, Logs]:
    """Compute a loss as a function of one player's parameters; all that it reads is an argument."""
    weights = {name: {**own, **moved} if name == player else own for name, own in rest.items()}
    assert isinstance(game.critic, Player) and isinstance(game.generator, Player)
    critic = game.critic.with_weights(weights["critic"])
    generator = game.generator.with_weights(weights["generator"])
    value: Loss = loss(game.with_players(critic, generator), *inputs)
    return value.total, {tag: v.detach() for tag, v in value.logs.items()}


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _detached(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}


class CUDAGraphStep:
    """The iteration as one CUDA graph, without Python: all updates, penalties and averages.

    The first iterations run eagerly on a stream of their own, so that libraries choose their
    algorithms and optimizers make their state; they are steps of the run like any other. Then one
    iteration is captured, which executes nothing, and from there on replayed. The random numbers of
    a replay continue those of the device's generator.
    """

    def __init__(self, order: Iteration) -> None:
        self.order = order
        self.graph: torch.cuda.CUDAGraph | None = None
        self.warm = 0
        self.inputs: list[Tensor] = []  # memory that the graph reads and writes
        self.tags: list[str] = []
        self.values = torch.empty(0)

    def __call__(self, game: Game, picks: Sequence[RowIndices]) -> Logs:
        """Take one iteration."""
        with torch.cuda.device(picks[0][0].device):  # streams and graphs are the current device's
            return self._iteration(game, picks)

    def _iteration(self, game: Game, picks: Sequence[RowIndices]) -> Logs:
        if self.graph is None and self.warm < _WARM_UP - 1:
            self.warm += 1
            return self._on_side_stream(game, picks)
        if self.graph is None:
            self._capture(game, picks)
        assert self.graph is not None
        for kept, new in zip(self.inputs, _flat(picks), strict=True):
            kept.copy_(new, non_blocking=True)
        self.graph.replay()
        # The graph writes its outputs to the same memory every time: hand out a copy.
        return dict(zip(self.tags, self.values.clone().unbind(), strict=True))

    def _capture(self, game: Game, picks: Sequence[RowIndices]) -> None:
        self.inputs = [part.clone() for part in _flat(picks)]
        parts = iter(self.inputs)
        static = [tuple(next(parts) for _ in pick) for pick in picks]
        self.graph = torch.cuda.CUDAGraph()
        # The read-ahead thread pins memory meanwhile; "global" would forbid that to all threads.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            logs = self.order(game, static)
            self.tags, self.values = list(logs), torch.stack(list(logs.values()))

    def _on_side_stream(self, game: Game, picks: Sequence[RowIndices]) -> Logs:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            logs = self.order(game, picks)
        torch.cuda.current_stream().wait_stream(stream)
        return logs


def _flat(picks: Sequence[RowIndices]) -> list[Tensor]:
    return [part for pick in picks for part in pick]

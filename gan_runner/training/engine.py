"""The state of a run and the one way to advance it: players, averages, optimizers, data, chance.

An engine knows neither files nor schedules: `loop.fit` drives it, `recorder` writes what it gives.
It steps without either, in a notebook or a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from gan_runner.core import Nets, RowIndices, StateDict
from gan_runner.data.stream import Stream
from gan_runner.training.accelerate import Mode
from gan_runner.training.ema import AveragingRule, Exponential, ema_of
from gan_runner.training.game import Game
from gan_runner.training.random_state import random_state, set_random_state
from gan_runner.training.run_spec import RunSpec
from gan_runner.training.step import Iteration
from gan_runner.training.timer import PhaseTimer
from gan_runner.training.update import load_optimizer


class Schedules(Protocol):
    """Values that follow the step, such as learning rates."""

    def set_step(self, step: int) -> dict[str, Tensor]:
        """Set them before a step, outside of compiled or captured code; return them by tag."""
        ...


class EngineLike(Protocol):
    """The interface of `Engine` and `replicas.StackedEngine`: four methods for one or more runs.

    Attributes:
        runs: the facts of each run, in the order of all lists below.
        game: the players as training calls them, and the losses that they minimise.
        mode: how an iteration is executed.
        timer: charged with the phases "data" and "update".
        config: the configuration of all runs as YAML text.
        command: overrides that the configuration was composed from; None where they are unknown.
        step: generator iterations taken.
    """

    runs: Sequence[RunSpec]
    game: Game
    mode: Mode
    timer: PhaseTimer
    config: str
    command: Sequence[str] | None
    step: int

    def train_step(self) -> list[dict[str, Tensor]]:
        """Take one generator iteration; return the logs of each run, as tensors of the device."""
        ...

    def state_dicts(self) -> list[StateDict]:
        """Return the state of each run: everything that its next steps depend on, not copied."""
        ...

    def load_state_dicts(self, states: Sequence[StateDict]) -> None:
        """Continue where `state_dicts` was called."""
        ...

    def networks(self) -> list[Nets]:
        """Return the networks of each run as they stand."""
        ...


class Engine:
    """One run: two players, their optimizers, the generator's average, the data stream.

    Args:
        run: the facts of the run, which `runs` shows to whoever records it.
        nets: the players and the averaged generator.
        optimizers: of "critic" and "generator".
        game: the players as training calls them, and the losses that they minimise.
        iteration: one generator iteration of the game and a step of each average; see `accelerate`.
        mode: how the iteration is executed.
        stream: of training batches.
        schedules: sets what follows a schedule to a step; returns the values in force by tag.
        averaging_rules: of the generator's averages by name, the first for `nets.generator_ema`;
            None: one average with the settings' `ema_decay`.

    Attributes:
        average_networks: those that hold `game.averages`, `nets.generator_ema` first.
    """

    def __init__(
        self,
        run: RunSpec,
        *,
        nets: Nets,
        optimizers: Mapping[str, Optimizer],
        game: Game,
        iteration: Iteration,
        mode: Mode,
        stream: Stream,
        schedules: Schedules | None = None,
        averaging_rules: Mapping[str, AveragingRule] | None = None,
    ) -> None:
        self.runs: Sequence[RunSpec] = [run]
        self.nets, self.optimizers, self.stream = nets, optimizers, stream
        self.iteration, self.mode = iteration, mode
        self.schedules = schedules
        rules = averaging_rules or {"ema": Exponential(decay=run.settings.ema_decay)}
        self.average_names = list(rules)
        self.average_networks = [nets.generator_ema]
        self.average_networks += [deepcopy(nets.generator_ema) for _ in self.average_names[1:]]
        averages = [
            ema_of(network, nets.generator, decay=rule)
            for network, rule in zip(self.average_networks, rules.values(), strict=True)
        ]
        self.game = replace(game, averages=averages)
        self.timer, self.config, self.step = PhaseTimer(), run.config, 0
        self.command: Sequence[str] | None = None

    def train_step(self) -> list[dict[str, Tensor]]:
        """Take one generator iteration and one step of each average."""
        with self.timer("data"):
            batches = self.next_batches()
        with self.timer("update"):
            self.game.objective.set_step(self.step)
            scheduled = self.set_schedules(self.step)
            for average in self.game.averages:
                average.set_step(self.step)
            logs = self.iteration(self.game, batches)
            scheduled |= self.game.objective.adapt(self.step, logs)
        self.step += 1
        return [logs | scheduled]

    def set_schedules(self, step: int) -> dict[str, Tensor]:
        """Set what follows a schedule to a step; return the values by tag."""
        return {} if self.schedules is None else self.schedules.set_step(step)

    def next_batches(self) -> list[RowIndices]:
        """Return the row numbers or rows of the data that one iteration takes."""
        return [self.stream.next() for _ in range(self.game.objective.n_critic)]

    def state_dicts(self) -> list[StateDict]:
        """Return the state as a list of one; tensors are not copied."""
        state = {
            "step": self.step,
            "generator": self.nets.generator.state_dict(),
            "critic": self.nets.critic.state_dict(),
            "average": self.nets.generator_ema.state_dict(),
            "generator_optimizer": self.optimizers["generator"].state_dict(),
            "critic_optimizer": self.optimizers["critic"].state_dict(),
            "stream": self.stream.state_dict(),
            "random": random_state(self.stream.device),
            "mode": self.mode.state_dict(),
        }
        if others := self._other_averages():
            state["averages"] = {name: network.state_dict() for name, network in others.items()}
        if own := self.game.objective.state_dict():
            state["objective"] = own
        return [state]

    def load_state_dicts(self, states: Sequence[StateDict]) -> None:
        """Continue where a state was taken; optimizers may go on with the tensors in it."""
        (state,) = states
        self.step = state["step"]
        self.nets.generator.load_state_dict(state["generator"])
        self.nets.critic.load_state_dict(state["critic"])
        self.nets.generator_ema.load_state_dict(state["average"])
        for name, network in self._other_averages().items():
            network.load_state_dict(state["averages"][name])
        self.game.objective.load_state_dict(state.get("objective", {}))
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state[f"{name}_optimizer"])
        self.stream.load_state_dict(state["stream"])
        set_random_state(state["random"], self.stream.device)
        self.mode.load_state_dict(state["mode"])
        self.mode.stale = True

    def networks(self) -> list[Nets]:
        """Return the networks as a list of one."""
        return [self.nets]

    def _other_averages(self) -> dict[str, nn.Module]:
        """Return the networks of the averages after the first by name."""
        return dict(zip(self.average_names[1:], self.average_networks[1:], strict=True))

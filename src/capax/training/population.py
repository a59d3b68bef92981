"""A population: trials that train together in one compiled program, in slots that are refilled."""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capax.training.checkpoint import load_state, save_state
from capax.training.program import Batching, Program, State, curve, curve_interval
from capax.training.trial import Result, Trial


def default_batching() -> Batching:
    """Mapped on a CPU, where one trial's arrays fill the cache; vectorised on an accelerator."""
    return "mapped" if jax.default_backend() == "cpu" else "vectorised"


def identity(trial: Trial) -> dict[str, Any]:
    """What a checkpoint must say to be this trial's."""
    return {
        "cell": trial.shape.cell,
        "depth": trial.shape.depth,
        "units": trial.shape.units,
        "task": trial.task.name,
        "task_options": dataclasses.asdict(trial.task),
        "hyperparameters": dict(trial.hyperparameters),
        "steps": trial.steps,
        "seed": trial.seed,
        "data_seed": trial.data_seed,
    }


@dataclasses.dataclass
class _Slot:
    trial: Trial
    state: State
    settings: Any
    seconds: float


class Population:
    """`slots` places for trials of one program, on one device.

    A trial's result does not depend on its slot, its companions, or the number of steps in a chunk: on one backend and
    with one kind of batching it is the same to the bit.
    """

    def __init__(self, program: Program, slots: int = 1, device: Any = None):
        self.program, self.device = program, device
        self._slots: list[_Slot | None] = [None] * slots
        self._data = jax.device_put(program.data, device) if device is not None else program.data
        self._idle: tuple[State, Any] | None = None

    @property
    def program_key(self) -> Any:
        """The key that a trial must have to train here."""
        return self.program.task, self.program.shape, self.program.nonlinearity

    @property
    def trials(self) -> list[Trial]:
        """The trials in training."""
        return [slot.trial for slot in self._slots if slot is not None]

    @property
    def free(self) -> int:
        """The number of empty slots."""
        return self._slots.count(None)

    def add(self, trial: Trial) -> None:
        """Put a trial into a free slot, at its checkpoint if it has one."""
        started = time.perf_counter()
        state, settings = self.program.start(trial)
        self._idle = self._idle or (dataclasses.replace(state, diverged=jnp.asarray(True)), settings)
        seconds = 0.0
        if trial.checkpoint is not None:
            found = load_state(trial.checkpoint, identity(trial), state.parameters.shape[0])
            if found is not None:
                state, seconds = found[0], found[1]["seconds"]
        seconds += time.perf_counter() - started
        self._slots[self._slots.index(None)] = _Slot(trial, state, settings, seconds)

    def advance(self, steps: int) -> list[tuple[Trial, Result]]:
        """Train every trial for up to `steps` more steps, and none past its pause; those that ended or pause leave their
        slots and are returned with results."""
        assert self._idle is not None, "add a trial first"
        started = time.perf_counter()
        steps = min([steps, *self._until_pause()])
        pairs = [self._idle if slot is None else (slot.state, slot.settings) for slot in self._slots]
        states, settings = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pairs)
        if self.device is not None:
            states, settings = jax.device_put((states, settings), self.device)
        states = self.program.advance(states, settings, self._data, jnp.asarray(steps, jnp.int32))
        states = jax.device_get(states)
        share = (time.perf_counter() - started) / max(1, len(self.trials))
        ended = []
        for place, slot in enumerate(self._slots):
            if slot is None:
                continue
            slot.state = jax.tree.map(lambda leaf: jnp.asarray(leaf[place]), states)  # noqa: B023
            slot.seconds += share
            step, pause = int(slot.state.step), slot.trial.pause
            if bool(slot.state.diverged) or step >= slot.trial.steps:
                ended.append((slot.trial, self._result(slot)))
                self._slots[place] = None
            elif pause is not None and step >= pause:
                result = self._result(slot, paused=True)
                slot.seconds = result.seconds
                self._keep(slot)
                ended.append((slot.trial, result))
                self._slots[place] = None
        return ended

    def _until_pause(self) -> list[int]:
        """For each trial that is to pause: how many steps are left until then."""
        slots = [slot for slot in self._slots if slot is not None]
        return [max(0, s.trial.pause - int(s.state.step)) for s in slots if s.trial.pause is not None]

    def checkpoint(self) -> None:
        """Keep the state of every trial that has a checkpoint file."""
        for slot in self._slots:
            if slot is not None:
                self._keep(slot)

    @staticmethod
    def _keep(slot: _Slot) -> None:
        if slot.trial.checkpoint is not None:
            save_state(slot.trial.checkpoint, slot.state, {**identity(slot.trial), "seconds": slot.seconds})

    def progress(self) -> list[tuple[Trial, int]]:
        """Trials in training with the steps they have done."""
        return [(slot.trial, int(slot.state.step)) for slot in self._slots if slot is not None]

    def _result(self, slot: _Slot, paused: bool = False) -> Result:
        started = time.perf_counter()
        feasible, validation, evaluation = not bool(slot.state.diverged), {}, {}
        if feasible:
            validation, evaluation = self.program.scores(slot.state, slot.settings)
            feasible = paused or bool(np.isfinite([validation["score"], evaluation["score"]]).all())
        return Result(
            feasible=feasible,
            steps=int(slot.state.step),
            seconds=slot.seconds + time.perf_counter() - started,
            validation=validation if feasible else {},
            evaluation=evaluation if feasible else {},
            curve=curve(slot.state, slot.trial.steps),
            curve_interval=curve_interval(slot.trial.steps),
            parameters=np.asarray(slot.state.parameters),
            paused=paused,
            kernel="fused" if self.program.fused else "compiled",
        )

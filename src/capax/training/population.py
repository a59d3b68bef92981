"""A population: trials that train together in one compiled program, in slots that are refilled."""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from capax.training.checkpoint import load_state, save_state
from capax.training.divergence import KINDS, Divergence
from capax.training.program import Batching, Program, Settings, State, curve, curve_interval
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
    settings: Settings
    seconds: float


class Population:
    """`slots` places for trials of one program, on one device.

    A trial's result does not depend on its slot, its companions, or the number of steps in a chunk:
    on one backend, with one kind of batching and one number of slots, it is the same to the bit.
    """

    def __init__(self, program: Program, data: PyTree, slots: int = 1, device: Any = None):
        self.program, self._data, self._device = program, data, device
        self._slots: list[_Slot | None] = [None] * slots
        self._idle: tuple[State, Settings] | None = None
        self._ready = False

    @property
    def trials(self) -> list[Trial]:
        """The trials in training."""
        return [slot.trial for slot in self._taken]

    @property
    def size(self) -> int:
        """The number of slots."""
        return len(self._slots)

    @property
    def free(self) -> int:
        """The number of empty slots."""
        return self._slots.count(None)

    @property
    def _taken(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot is not None]

    def add(self, trial: Trial) -> None:
        """Put a trial into a free slot, at its checkpoint if it has one."""
        started = time.perf_counter()
        state, settings = self.program.start(trial)
        self._idle = self._idle or (dataclasses.replace(state, fault=jnp.asarray(1, jnp.int32)), settings)
        seconds = 0.0
        if trial.checkpoint is not None:
            found = load_state(trial.checkpoint, identity(trial), state)
            if found is not None:
                state, seconds = found
        seconds += time.perf_counter() - started
        self._slots[self._slots.index(None)] = _Slot(trial, state, settings, seconds)

    @property
    def is_compiled(self) -> bool:
        """Whether `advance` can start at once."""
        self._ready = self._ready or self.program.advance.is_ready(*self._arguments(0))
        return self._ready

    def compile(self) -> float:
        """Compile what `advance` needs; returns how many seconds this took. Add a trial first."""
        seconds, self._ready = self.program.advance.prepare(*self._arguments(0)), True
        return seconds

    def advance(self, steps: int) -> list[tuple[Trial, Result]]:
        """Train every trial for up to `steps` more steps, and none past its pause.

        Those that end or pause leave their slots and are returned with their results.
        """
        if not self._ready:
            self.compile()
        started = time.perf_counter()
        states = jax.device_get(self.program.advance(*self._arguments(min([steps, *self._until_pause()]))))
        share = (time.perf_counter() - started) / max(1, len(self._taken))
        ended = []
        for place, slot in enumerate(self._slots):
            if slot is None:
                continue
            slot.state = jax.tree.map(lambda leaf: jnp.asarray(leaf[place]), states)  # noqa: B023
            slot.seconds += share
            step, pause = int(slot.state.step), slot.trial.pause
            is_over = int(slot.state.fault) > 0 or step >= slot.trial.steps
            if is_over or (pause is not None and step >= pause):
                ended.append((slot.trial, self._leave(slot, paused=not is_over)))
                self._slots[place] = None
        return ended

    def _arguments(self, steps: int) -> tuple[State, Settings, PyTree, Any]:
        """What the program's `advance` takes."""
        assert self._idle is not None, "add a trial first"
        pairs = [self._idle if slot is None else (slot.state, slot.settings) for slot in self._slots]
        states, settings = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pairs)
        number = jnp.asarray(steps, jnp.int32)
        if self._device is not None:
            states, settings, number = jax.device_put((states, settings, number), self._device)
        return states, settings, self._data, number

    def _until_pause(self) -> list[int]:
        """For each trial that is to pause: how many steps are left until then."""
        return [max(0, s.trial.pause - int(s.state.step)) for s in self._taken if s.trial.pause is not None]

    def checkpoint(self) -> None:
        """Keep the state of every trial that has a checkpoint file."""
        for slot in self._taken:
            _keep(slot)

    def progress(self) -> list[tuple[Trial, int]]:
        """Trials in training with the steps they have done."""
        return [(slot.trial, int(slot.state.step)) for slot in self._taken]

    def _leave(self, slot: _Slot, paused: bool) -> Result:
        """The result of a trial that ends or pauses; one that pauses keeps its checkpoint."""
        divergence, validation, evaluation = _divergence(slot.state), {}, {}
        if divergence is None:
            state, settings = slot.state, slot.settings
            if self._device is not None:
                state, settings = jax.device_put((state, settings), self._device)
            self.program.evaluate.prepare(state.parameters, settings, self._data)
            started = time.perf_counter()
            validation, evaluation = self.program.scores(state, settings, self._data)
            slot.seconds += time.perf_counter() - started
            if not paused and not np.isfinite([validation["score"], evaluation["score"]]).all():
                divergence, validation, evaluation = Divergence("non-finite score", int(slot.state.step)), {}, {}
        if paused:
            _keep(slot)
        return Result(
            divergence=divergence,
            steps=int(slot.state.step),
            seconds=slot.seconds,
            validation=validation,
            evaluation=evaluation,
            curve=curve(slot.state, slot.trial.steps),
            curve_interval=curve_interval(slot.trial.steps),
            parameters=np.asarray(slot.state.parameters),
            paused=paused,
            kernel="fused" if self.program.fused else "compiled",
            refusal=self.program.refusal,
        )


def _divergence(state: State) -> Divergence | None:
    fault = int(state.fault)
    return None if fault == 0 else Divergence(KINDS[fault - 1], int(state.step))


def _keep(slot: _Slot) -> None:
    if slot.trial.checkpoint is not None:
        save_state(slot.trial.checkpoint, slot.state, {**identity(slot.trial), "seconds": slot.seconds})

"""The learning rate that Adam gives each parameter: small where gradients have been large."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float

from capax.errors import CapaxError
from capax.networks import ways
from capax.networks.network import Network
from capax.networks.parts import count_parameters, trainable
from capax.probes.measurement import Measurement, finite_or_infinite
from capax.probes.subject import Subject
from capax.training.optimiser import Optimiser
from capax.training.population import default_batching
from capax.training.program import Program, State
from capax.training.trial import NetworkShape, ProgramKey, Trial

STEPS, LEARNING_RATE = 1000, 1e-3
"""Of Adam, where none are given."""

MOMENTS = 50
"""How many states of a training are looked at, beside the first."""

NO_CLIP = float(np.finfo(np.float32).max)
"""A norm of gradients that none exceeds."""

PLAIN = {"optimiser": "adam", "learning_rate_decay": 1.0, "gradient_clip": NO_CLIP, "l2_decay": 0.0}
"""Adam as it is: a constant learning rate, so that rates of different steps can be compared; and no
clipping, which would hide how large gradients are.
"""

STATES = 8
"""Random states from which a cell's step is looked at."""


def measure(subject: Subject, *, steps: int = STEPS, learning_rate: float | int = LEARNING_RATE) -> Measurement:
    """Adam's effective learning rate of each parameter, lr / (sqrt(v_hat) + eps), after training
    from the subject's parameters.

    As in Zucchet & Orvieto 2024, "Recurrent neural networks: vanishing and exploding
    gradients are not the end of the story".

    Rates are in units of the parameter per unit of its mean gradient. Training is that of all
    trials, on the task's own training data, with a constant learning rate and no clipping.
    Recurrent parameters are those that multiply a cell's state: see `recurrent_groups`.

    **Arguments:** `steps` of training; `learning_rate`.

    **Returns:** `summary`: medians over all parameters and over the recurrent ones, the loss on the
    fixed batch before and after, steps done, and, where training diverged, the step at which (else
    None): rates are then those before that step. `frame`: one row a group of parameters, with
    quartiles and extremes. `arrays`: "effective_learning_rate" (p,); "steps" and
    "recurrent_medians", the median of the recurrent ones in the course of training. If the very
    first step diverges there is no v_hat, and the squared gradient on the fixed batch is taken for
    it: where that overflows, the effective learning rate is 0.

    Raises `CapaxError` where the subject has no task, or for an option that cannot be.
    """
    states = list(training(subject, steps, learning_rate))
    last, optimiser = states[-1], Optimiser.create(_hyperparameters(learning_rate), steps)
    vector, network_of, groups = subject.flat()
    loss = jax.jit(lambda vector: subject.loss(network_of(vector)))
    done = [state for state in states if int(state.step) > 0]
    if done:
        rates = np.stack([_rates(optimiser, np.asarray(state.v, np.float64), int(state.step)) for state in done])
    else:
        gradient = finite_or_infinite(jax.grad(loss)(vector))
        rates = _rates(optimiser, (1 - float(optimiser.second)) * gradient**2, 1)[None]
    recurrent = recurrent_groups(subject.network)
    inside = np.concatenate([np.full(part.stop - part.start, name in recurrent) for name, part in groups.items()])
    summary = {
        "median_rate": _median(rates[-1]),
        "median_recurrent_rate": _median(rates[-1][inside]),
        "learning_rate": learning_rate,
        "loss_before": float(finite_or_infinite(loss(vector))),
        "loss_after": float(finite_or_infinite(loss(last.parameters))),
        "steps": int(last.step),
        "diverged_at_step": int(last.step) + 1 if int(last.fault) > 0 else None,
    }
    frame = pd.DataFrame([_row(name, rates[-1][part], name in recurrent) for name, part in groups.items()])
    arrays = {
        "effective_learning_rate": rates[-1],
        "steps": np.asarray([max(1, int(state.step)) for state in done or [last]]),
        "recurrent_medians": np.asarray([_median(at[inside]) for at in rates]),
    }
    return Measurement("adam", subject.describe(), summary, frame, arrays)


def training(subject: Subject, steps: int, learning_rate: float | int) -> Iterator[State]:
    """The state of Adam at the start, at the subject's parameters, and at `MOMENTS` equal distances
    up to `steps`, or as far as training goes before it diverges.

    Sequences are the task's own for training, and of the same teacher, say, as those of the fixed
    batch.

    Raises `CapaxError` where the subject has no task, or for an option that cannot be.
    """
    task = subject.required_task()
    if steps < 1 or not 0 < learning_rate < math.inf:
        raise CapaxError(f"Adam needs at least 1 step and a learning rate above 0, not {steps} and {learning_rate}.")
    parameters, cell = count_parameters(subject.network), subject.network.layers[0]
    task.check(parameters)
    shape = NetworkShape(subject.cell, len(subject.network.layers), cell.units, parameters)
    trial = Trial("adam", task, shape, _hyperparameters(learning_rate), steps, subject.seed)
    data = task.data(parameters)
    program = Program(ProgramKey(task, shape, cell.nonlinearity), default_batching(), data)
    # The seed of the data stays 0: of tasks that redraw a teacher with the data, a subject's fixed
    # batch is by the first.
    state, settings = program.start(trial)
    rest = eqx.filter(subject.network, trainable(subject.network), inverse=True)
    constants = jax.tree.leaves(eqx.filter(rest, eqx.is_array))
    settings = dataclasses.replace(
        settings, constants=jax.tree.unflatten(jax.tree.structure(settings.constants), constants)
    )
    state = dataclasses.replace(state, parameters=subject.flat()[0])
    yield state
    states, settings = jax.tree.map(lambda leaf: leaf[None], (state, settings))
    ends = np.unique(np.linspace(0, steps, MOMENTS + 1).round().astype(int))
    for distance in np.diff(ends):
        states = program.advance(states, settings, data, jnp.asarray(distance, jnp.int32))
        state = jax.tree.map(lambda leaf: leaf[0], states)
        yield state
        if int(state.fault):
            return


def recurrent_groups(network: Network) -> set[str]:
    """The names of the groups of parameters that multiply a cell's state on its way to the next
    one: without input, a step's new state depends on them where the old one is random, and not
    where it is zero. So biases are none of them.
    """
    trained, rest = eqx.partition(network, trainable(network))
    random = np.random.default_rng(0)
    states = jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype), ways.first_states(network.layers, STATES)
    )

    def total(trained: Network, scale: Any) -> jax.Array:
        """Sum of the new states from `scale` times the random ones."""

        def run(cell: Any, state: Any, nothing: None) -> Any:
            projected = jax.tree.map(jnp.zeros_like, cell.project(jnp.zeros((cell.inputs, STATES))))
            return nothing, cell.step(jax.tree.map(lambda leaf: scale * leaf, state), projected)[0]

        _, new = ways.through(eqx.combine(trained, rest).layers, states, None, run)
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(new)), jnp.zeros(()))

    gradient = jax.jit(jax.grad(total))
    random_states, zero_states = (jax.tree_util.tree_leaves_with_path(gradient(trained, s)) for s in (1.0, 0.0))
    return {
        jax.tree_util.keystr(path, simple=True, separator=".")
        for (path, leaf), (_, other) in zip(random_states, zero_states, strict=True)
        if np.any(leaf != 0) and not np.any(other != 0)
    }


def _hyperparameters(learning_rate: float | int) -> dict[str, Any]:
    return {**PLAIN, "learning_rate": learning_rate}


def _rates(optimiser: Optimiser, v: Float[np.ndarray, " p"], step: int) -> Float[np.ndarray, " p"]:
    """lr / (sqrt(v_hat) + eps) after so many steps; 0 where v is infinite."""
    v_hat = v / (1 - float(optimiser.second_correction) ** step)
    return float(optimiser.learning_rate) / (np.sqrt(v_hat) + float(optimiser.eps_outside))


def _median(rates: Float[np.ndarray, " some"]) -> float | None:
    """None of none: a user's cell may have no recurrent parameters."""
    return float(np.median(rates)) if len(rates) else None


def _row(name: str, rates: Float[np.ndarray, " some"], recurrent: bool) -> dict[str, Any]:
    least, lower, median, upper, most = np.quantile(rates, [0, 0.25, 0.5, 0.75, 1])
    return {
        "group": name,
        "parameters": len(rates),
        "recurrent": recurrent,
        "least": least,
        "lower_quartile": lower,
        "median": median,
        "upper_quartile": upper,
        "most": most,
    }

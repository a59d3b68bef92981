"""The checks of a task: plain functions from a `TaskUnderTest` to a `Finding`."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from capax import tasks, user_code
from capax.cells.contract import OWN_KEY, difference, primitives, quickly
from capax.errors import CapaxError
from capax.finding import Finding, failed, passed
from capax.networks.network import Network
from capax.networks.parts import trainable
from capax.tasks import Batch, SequenceBatch, Task
from capax.tasks.task import Split

SIZE = 32
"""Sequences of a batch."""
BATCHES = 12  # over which a guess's score is averaged
PARAMETERS = 500
"""Of the networks for which data are made."""
STEPS, LARGEST_STEP = 300, 0.3
"""Of Adam, on outputs that are free: what no network can do better."""
TRAINING_STEPS, UNITS = 10, 8
NEAR = 0.15
"""How far a stated score may be from a measured one, relative to the distance between chance and
the best.
"""
SPLITS: tuple[Split, ...] = get_args(Split)


class TaskUnderTest:
    """A task by its name, class or instance, with what its checks share: a batch and what was
    measured on it.
    """

    def __init__(self, task: "str | type[Task] | Task"):
        """Raises `CapaxError` where the task cannot be made."""
        if isinstance(task, str):
            self.task = tasks.get(task)
        elif isinstance(task, Task):
            self.task = task
        else:
            with user_code.explaining(f"task {task.__name__}: making it failed"):
                self.task = task()

    @functools.cached_property
    def batch(self) -> Batch:
        """A batch of the key 0."""
        return self.task.batch(jax.random.key(0), SIZE)

    @functools.cached_property
    def batches(self) -> list[Batch]:
        """Training batches of several trials, each with a data seed of its own: chance is over all
        data that trials may have.
        """
        return [self.batch_at("train", seed, data_seed=seed).public(self.task.first) for seed in range(BATCHES)]

    @functools.cached_property
    def noise(self) -> Float[Array, "size time outputs"]:
        """Random outputs."""
        shape = (SIZE, self.task.length, self.task.outputs)
        return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)

    @functools.cached_property
    def loss_of(self) -> Callable[[Array], tuple[Array, Array]]:
        """The loss of outputs for the batch, and its gradient, compiled once."""
        batch = self.batch
        return quickly(jax.value_and_grad(lambda outputs: self.task.loss(outputs, batch)))

    @functools.cached_property
    def best(self) -> Float[Array, "size time outputs"]:
        """The outputs that were found to have the least loss."""
        batch = self.batch
        return _least(lambda outputs: self.task.loss(outputs, batch), 0.0 * self.noise)

    @functools.cached_property
    def constant(self) -> Float[Array, "size time outputs"]:
        """The constant outputs that were found to have the least loss."""
        batch, shape = self.batch, self.noise.shape
        found = _least(
            lambda one: self.task.loss(jnp.broadcast_to(one, shape), batch), jnp.zeros((1, 1, self.task.outputs))
        )
        return jnp.broadcast_to(found, shape)

    @functools.cached_property
    def guesses(self) -> list[Array]:
        """Outputs for one sequence that know nothing of the inputs: zeros, the best constant, and
        noise that is small.
        """
        return [0.0 * self.noise[:1], self.constant[:1], 0.01 * self.noise[:1]]

    @functools.cached_property
    def scalars(self) -> dict[str, Array]:
        """What the compiled program is given of a trial with default hyperparameters."""
        return {**self.task.scalars({}, PARAMETERS), "data_seed": jnp.asarray(0, jnp.uint32)}

    @functools.cached_property
    def data(self) -> PyTree:
        """The data that trials share."""
        return self.task.data(PARAMETERS)

    @functools.cached_property
    def batch_at(self) -> Callable[..., SequenceBatch]:
        """The first batch of a split by a seed, compiled once a split."""

        def at(split: Split, data: PyTree, key: Array, scalars: Any) -> SequenceBatch:
            return self.task.batch_at(data, split, key, jnp.asarray(0), scalars)

        compiled = {split: quickly(functools.partial(at, split)) for split in SPLITS}
        seeded = lambda data_seed: {**self.scalars, "data_seed": jnp.asarray(data_seed, jnp.uint32)}  # noqa: E731
        return lambda split, seed, data_seed=0: compiled[split](self.data, jax.random.key(seed), seeded(data_seed))


Check = Callable[[TaskUnderTest], Finding]


def _least(loss: Callable[[Array], Array], begin: Array) -> Array:
    optimiser = optax.adam(optax.cosine_decay_schedule(LARGEST_STEP, STEPS))

    def step(carried: Any, _: None) -> Any:
        outputs, state = carried
        updates, state = optimiser.update(jax.grad(loss)(outputs), state)
        return (optax.apply_updates(outputs, updates), state), None

    return quickly(lambda begin: jax.lax.scan(step, (begin, optimiser.init(begin)), None, STEPS)[0][0])(begin)


def shapes(task: TaskUnderTest) -> Finding:
    """A batch has the shapes that the task's sizes say, and real inputs."""
    sizes = task.task.sizes
    fault = _written(task.task.sample(jax.random.key(0), SIZE), sizes.length - sizes.first)
    if fault:
        return failed("shapes", fault)
    batch = task.batch
    due = {
        "inputs": (batch.inputs, (SIZE, sizes.length, sizes.inputs)),
        "targets": (batch.targets, (SIZE, sizes.length)),
        "mask": (batch.mask, (SIZE, sizes.length)),
        **({} if batch.lengths is None else {"lengths": (batch.lengths, (SIZE,))}),
    }
    for name, (array, shape) in due.items():
        if array.shape[: len(shape)] != shape or (name != "targets" and array.ndim != len(shape)):
            fault = f"in a batch of {SIZE}, {name} has the shape {array.shape} where the task's sizes say {shape}."
            return failed("shapes", fault)
    if batch.inputs.dtype != jnp.float32:
        return failed("shapes", f"inputs have the type {batch.inputs.dtype} where float32 is due.")
    return passed("shapes")


def _written(batch: SequenceBatch, scored: int) -> str:
    """What is wrong with the shapes that the task's author gave targets and weights, in the order
    in which they were written.
    """
    where = f"({scored} scored steps, batch) = ({scored}, {SIZE})"
    if batch.targets.ndim < 2 or batch.targets.shape[-2:] != (scored, SIZE):
        return f"targets have the shape {batch.targets.shape} where {where} is due, or (parts, {scored}, {SIZE})."
    if batch.weights.shape != (scored, SIZE):
        return f"weights have the shape {batch.weights.shape} where {where} is due."
    return ""


def values(task: TaskUnderTest) -> Finding:
    """Inputs and targets are finite, the mask is not negative, and some step counts."""
    batch = task.batch
    for name, array in {"inputs": batch.inputs, "targets": batch.targets, "mask": batch.mask}.items():
        if not np.isfinite(array).all():
            return failed("values", f"the {name} of a batch are not finite.")
    if (batch.mask < 0).any() or not (batch.mask.sum(axis=1) > 0).any():
        return failed("values", "the mask of a batch has negative weights, or no step counts.")
    if batch.lengths is not None and not ((batch.lengths >= 1) & (batch.lengths <= task.task.length)).all():
        return failed("values", f"lengths must be from 1 to {task.task.length}.")
    return passed("values")


def keys(task: TaskUnderTest) -> Finding:
    """A batch follows from its key: the same from the same, another from another."""
    same, other = (task.task.batch(jax.random.key(seed), SIZE) for seed in (0, 1))
    if not _equal(task.batch, same):
        return failed(
            "keys", "two batches of one key differ: something is drawn without the key (NumPy, random, a clock)."
        )
    if _equal(task.batch, other):
        return failed("keys", "batches of two keys are equal: the key is not used.")
    batch_at = functools.partial(task.task.batch_at, task.data, "train", index=jnp.asarray(0), scalars=task.scalars)
    program = jax.make_jaxpr(lambda key: batch_at(key=key))(jax.random.key(0))
    if OWN_KEY in primitives(program.jaxpr) and _equal(*(task.batch_at("train", seed) for seed in (0, 1))):
        return failed("keys", "training batches are drawn with a key of the task's own: every step sees the same.")
    return passed("keys")


def _equal(one: PyTree, other: PyTree) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def loss(task: TaskUnderTest) -> Finding:
    """The loss is one finite number with a finite gradient that is not zero."""
    value, slope = task.loss_of(task.noise)
    if value.shape != () or not np.isfinite(value):
        return failed(
            "loss", f"the loss of random outputs is {value}, of shape {value.shape}; one finite number is due."
        )
    if not np.isfinite(slope).all():
        return failed("loss", "the gradient of the loss of random outputs is not finite.")
    if not slope.any():
        return failed("loss", "the gradient of the loss is zero: outputs do not matter.")
    return passed("loss")


def mask(task: TaskUnderTest) -> Finding:
    """Outputs at steps that do not count change nothing."""
    slope = task.loss_of(task.noise)[1]
    if np.where(task.batch.mask[..., None] == 0, slope, 0.0).any():
        return failed("mask", "outputs at steps where the mask is 0 change the loss.")
    return passed("mask")


def sums(task: TaskUnderTest) -> Finding:
    """What is measured of a batch is the sum over its parts, so that held-out sets may be measured
    batch by batch.
    """
    first, half = task.task.first, SIZE // 2

    def measured(part: slice) -> dict[str, Array]:
        of_part = jax.tree.map(lambda array: array[part], task.batch)
        return task.task.measure(jnp.transpose(task.noise[part], (2, 1, 0))[:, first:], of_part.inside(first))

    whole = measured(slice(None))
    parts = jax.tree.map(jnp.add, measured(slice(half)), measured(slice(half, None)))
    for name in ("loss", "weight"):
        if name not in whole:
            return failed("sums", f"measure gives no '{name}'.")
    for name, value in whole.items():
        fault = difference(np.asarray(value), np.asarray(parts[name]))
        if fault:
            return failed("sums", f"'{name}' of a batch is not the sum over its parts: they {fault}.")
    return passed("sums")


def best_score(task: TaskUnderTest) -> Finding:
    """Outputs of the least loss score better than a guess; where the best score is known, that and
    no better.
    """
    sign = 1.0 if task.task.reporting.direction == "maximise" else -1.0
    chance, perfect = task.task.facts.chance, task.task.facts.perfect
    score = task.task.score(task.best, task.batch)
    if not math.isfinite(score):
        return failed("best score", f"outputs of the least loss score {score}.")
    if sign * (score - chance) <= 0:
        return failed(
            "best score",
            f"outputs of the least loss score {score:.4g}, no better than chance ({chance:.4g}): "
            f"is the direction '{task.task.reporting.direction}' right, and does the score fit the loss?",
        )
    if perfect is not None and abs(score - perfect) > NEAR * abs(chance - perfect):
        return failed(
            "best score", f"outputs of the least loss score {score:.4g}, where {perfect:.4g} is said to be perfect."
        )
    return passed("best score")


def chance(task: TaskUnderTest) -> Finding:
    """What outputs score that know nothing of the inputs is near the stated chance."""
    scores = [[task.task.score(_for_all(guess, batch), batch) for batch in task.batches] for guess in task.guesses]
    return _near("chance", task.task.facts.chance, scores, task.task.score(task.best, task.batch))


def chance_loss(task: TaskUnderTest) -> Finding:
    """Their loss is near the stated one, by which divergence is judged."""
    loss_of = quickly(task.task.loss)
    losses = [[float(loss_of(_for_all(guess, batch), batch)) for batch in task.batches] for guess in task.guesses]
    return _near("chance loss", task.task.facts.chance_loss, losses, float(task.loss_of(task.best)[0]))


def _for_all(guess: Array, batch: Batch) -> Float[Array, "size time outputs"]:
    return jnp.broadcast_to(guess, (batch.inputs.shape[0], *guess.shape[1:]))


def _near(name: str, stated: float, found: list[list[float]], best: float) -> Finding:
    """Whether a stated number is near a mean over batches, or within three standard errors of
    it.
    """
    allowed = NEAR * max(abs(stated - best), abs(stated))
    means = [float(np.mean(values)) for values in found]
    errors = [float(np.std(values, ddof=1)) / len(values) ** 0.5 for values in found]
    if any(abs(mean - stated) <= max(allowed, 3 * error) for mean, error in zip(means, errors, strict=True)):
        return passed(name)
    shown = ", ".join(f"{mean:.4g}" for mean in means)
    return failed(name, f"stated as {stated:.4g}, but zeros, the best constant, and noise have {shown}.")


def held_out(task: TaskUnderTest) -> Finding:
    """Held-out sets are fixed, and apart from each other and from the training data."""
    if task.task.reporting.one_set:
        return passed("held out")
    sets = {split: task.batch_at(split, 0) for split in SPLITS}
    for split in ("validation", "evaluation"):
        if not _equal(sets[split], task.batch_at(split, 1)):
            return failed("held out", f"the {split} set changes with the trial's key; it must be fixed.")
    seen = {split: _sequences(batch) for split, batch in sets.items()}
    for one, other in (("train", "validation"), ("train", "evaluation"), ("validation", "evaluation")):
        sizes = (sets[split].weights.shape[-1] for split in (one, other))
        drawn = (_sequences(task.task.sample(jax.random.key(2 + n), size)) for n, size in enumerate(sizes))
        by_chance = _shared(*drawn)  # of a task with few sequences, many
        shared = _shared(seen[one], seen[other])
        if shared > max(0.5, by_chance + 0.25):
            return failed("held out", f"{shared:.0%} of the sequences of '{one}' and '{other}' are the same.")
    return passed("held out")


def _shared(one: set[bytes], other: set[bytes]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))


def _sequences(batch: SequenceBatch) -> set[bytes]:
    """Every sequence that weighs something, as bytes."""
    values, targets = np.asarray(batch.inputs.values_at_every_step()), np.asarray(batch.targets)
    counted = np.flatnonzero(np.asarray(batch.weights).any(axis=0))
    return {values[..., b].tobytes() + targets[..., b].tobytes() for b in counted}


def results(task: TaskUnderTest) -> Finding:
    """A split's results have "score" and "loss", and what the report's columns name; all are
    numbers.
    """
    outputs = jnp.transpose(task.noise, (2, 1, 0))[:, task.task.first :]
    found = task.task.scores(
        {k: float(v) for k, v in task.task.measure(outputs, task.batch.inside(task.task.first)).items()}
    )
    reporting = task.task.reporting
    missing = [name for name in ("score", "loss", *reporting.columns, *reporting.maxima) if name not in found]
    if missing:
        return failed("results", f"scores gives no {', '.join(missing)}.")
    wrong = [name for name, value in found.items() if not math.isfinite(value)]
    return failed("results", f"of random outputs {', '.join(wrong)} is not finite.") if wrong else passed("results")


def options(task: TaskUnderTest) -> Finding:
    """Options that are real numbers refuse NaN, and each number changes something or is
    documented.
    """
    silent = []
    for field in dataclasses.fields(task.task):
        value = getattr(task.task, field.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, float) and not _refuses_nan(task.task, field.name):
            return failed(
                "options", f"option {field.name} takes NaN: check it, as `option(default, Interval(..))` does."
            )
        if not field.metadata.get("meaning") and not _changes(task, field.name, value):
            silent.append(field.name)
    if not silent:
        return passed("options")
    return failed("options", f"these options change nothing and are not documented: {', '.join(silent)}.")


def _refuses_nan(task: Task, name: str) -> bool:
    try:
        dataclasses.replace(task, **{name: math.nan})
    except CapaxError:
        return True
    return False


def _changes(task: TaskUnderTest, name: str, value: int | float) -> bool:
    """Whether another value of an option gives another task; also where there is no other."""
    before = _observed(task)
    for other in {type(value)(other) for other in (value + 1, value - 1, value * 2, value / 2)} - {value}:
        try:
            changed = TaskUnderTest(dataclasses.replace(task.task, **{name: other}))
        except CapaxError:
            continue
        return any(one() != another() for one, another in zip(before, _observed(changed), strict=True))
    return True


def _observed(task: TaskUnderTest) -> list[Callable[[], Any]]:
    """What a task can be told apart by, cheapest first."""
    held = "train" if task.task.reporting.one_set else "validation"
    return [
        lambda: repr((task.task.sizes, task.task.facts.chance, task.task.work({}, PARAMETERS))),
        lambda: repr([task.task.batches(split, task.scalars) for split in SPLITS]),
        lambda: _printed(task.batch),
        lambda: _printed(task.batch_at(held, 0)),
    ]


def _printed(batch: PyTree) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(batch)]


def training(task: TaskUnderTest) -> Finding:
    """A small network takes a few steps on the task's training batches, and its loss stays a
    number.
    """
    key, data, scalars, measured = jax.random.key(0), task.data, task.scalars, task.task
    network = Network.create("rnn", inputs=measured.inputs, outputs=measured.outputs, units=UNITS, key=key)
    trained, fixed = eqx.partition(network, trainable(network))
    optimiser = optax.adam(0.01)

    def loss(trained: PyTree, batch: SequenceBatch) -> Array:
        outputs = eqx.combine(trained, fixed).run(batch.inputs, measured.first)
        found = measured.measure(outputs, batch)
        return found["loss"] / found["weight"]

    def step(carried: Any, number: Array) -> Any:
        trained, state = carried
        batch = measured.batch_at(data, "train", jax.random.fold_in(key, number), jnp.asarray(0), scalars)
        value, slope = jax.value_and_grad(loss)(trained, batch)
        updates, state = optimiser.update(slope, state)
        return (optax.apply_updates(trained, updates), state), value

    begin = (trained, optimiser.init(trained))
    losses = np.asarray(quickly(lambda begin: jax.lax.scan(step, begin, jnp.arange(TRAINING_STEPS))[1])(begin))
    if not np.isfinite(losses).all():
        return failed("training", f"a short training run diverges: its loss is {losses[~np.isfinite(losses)][0]}.")
    return passed("training")


CHECKS: tuple[Check, ...] = (
    shapes,
    values,
    keys,
    loss,
    mask,
    sums,
    results,
    best_score,
    chance,
    chance_loss,
    held_out,
    options,
    training,
)
"""All checks of a task, in the order in which they are told."""

CONTRACT: tuple[Check, ...] = (shapes, values, results)
"""What the others need."""

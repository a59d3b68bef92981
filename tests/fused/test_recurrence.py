"""A loop over time and table lookups by kernels against `jax.lax.scan` and plain indexing."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import networks, tasks
from capax.cells.sequence import Dense, Held, MultiHot, OneHot
from capax.fused import Refusal, library, recurrence
from capax.fused.keeping import split
from capax.fused.labels import label
from capax.fused.loops import step_marks
from capax.fused.program import trace
from capax.networks import ways
from capax.networks.parts import is_array_shape, trainable
from capax.training.population import Population
from capax.training.program import SWITCH
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C++ compiler")


def close(found, expected, tolerance=2e-5):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance * max(1e-3, float(jnp.max(jnp.abs(a)))))


def leaky(plain, state, x):
    """Two states, an output that is neither, a parameter that is used beside the batch alone."""
    w, leak, scale = plain
    h, c = state
    c = c + jnp.tanh(w @ h + x["a"]) * (scale**2)[:, None]
    h = jax.nn.sigmoid(leak) * h + x["b"] * jnp.concatenate([c[:2], -c[2:]])
    return (h, c), jnp.exp(-h * h)[1:]


@pytest.mark.grid(keep=1)
@needs_compiler
@pytest.mark.parametrize("batch", [32, 128])
def test_outputs_states_and_gradients_are_those_of_a_scan(batch):
    keys = iter(jax.random.split(jax.random.key(0), 20))
    n, time = 5, 7
    plain = (jax.random.normal(next(keys), (n, n)), jnp.asarray(0.3), jax.random.normal(next(keys), (n,)))
    state = tuple(jax.random.normal(next(keys), (n, batch)) for _ in range(2))
    inputs = {name: jax.random.normal(next(keys), (time, n, batch)) for name in "ab"}
    weights = jax.random.normal(next(keys), (time, n - 1, batch))

    def total(run):
        def loss(plain, state, inputs):
            last, outputs = run(plain, state, inputs)
            return jnp.sum(weights * outputs) + jnp.sum(jnp.sin(last[0])) + jnp.sum(last[1] ** 2), (last, outputs)

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))

    found = total(lambda p, s, x: recurrence(leaky, p, s, x))(plain, state, inputs)
    expected = total(lambda p, s, x: jax.lax.scan(lambda s, x: leaky(p, s, x), s, x))(plain, state, inputs)
    close(found, expected)


@needs_compiler
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("a batch of 20", "20 samples, no multiple of 16"),
        ("float16", "numbers of another type than float32"),
        ("cumulative sum", "the operation 'cumsum' is not one that kernels know"),
        ("a growing state", "a step that changes its state's shape"),
        ("a turned output", "an output whose last axis is not the batch"),
        ("a mean over the batch", "samples that depend on a sum over samples"),
    ],
)
def test_what_cannot_be_done_is_said(case, reason):
    state, inputs = jnp.zeros((3, 20 if case == "a batch of 20" else 16)), jnp.zeros((4, 3, 16))
    if case == "float16":
        inputs = inputs.astype(jnp.float16)
    step = {
        "cumulative sum": lambda p, s, x: (jnp.cumsum(s, axis=0), x),
        "a growing state": lambda p, s, x: (jnp.concatenate([s, x]), x),
        "a turned output": lambda p, s, x: (s, s.T),
        "a mean over the batch": lambda p, s, x: (s - jnp.mean(s, axis=1, keepdims=True), x),
    }.get(case, lambda p, s, x: (s + x, s))
    assert recurrence(step, (), state, inputs) == Refusal(reason)


@pytest.mark.grid(keep=1)
@needs_compiler
@pytest.mark.parametrize(("streams", "rows"), [(1, 21), (4, 32)])
def test_lookups_are_sums_of_columns(streams, rows):
    features, time, batch = streams * 6, 5, 32
    table = jax.random.normal(jax.random.key(0), (rows, features))
    symbols = jax.random.randint(jax.random.key(1), (time, streams, batch), 0, 6)
    weights = jax.random.normal(jax.random.key(2), (time, rows, batch))
    state = jax.random.normal(jax.random.key(3), (rows, batch))

    def step(plain, state, x):
        state = jnp.tanh(plain * state + x)
        return state, state * x

    def plain(table):
        columns = table[:, symbols + 6 * jnp.arange(streams)[None, :, None]]
        x = jnp.moveaxis(jnp.sum(columns, axis=2), 0, 1)
        return jax.lax.scan(lambda s, x: step(0.5, s, x), state, x)[1][2:]

    def fused(table):
        return recurrence(step, jnp.asarray(0.5), state, table, symbols=symbols, first=2)[1]

    close(jax.jit(fused)(table), plain(table))
    gradient = jax.jit(jax.grad(lambda t: jnp.sum(weights[2:] * fused(t))))(table)
    close(gradient, jax.grad(lambda t: jnp.sum(weights[2:] * plain(t)))(table))


SEQUENCES = {
    "dense": lambda key: Dense(jax.random.normal(key, (20, 6, 32))),
    "one-hot": lambda key: OneHot(jax.random.randint(key, (20, 32), 0, 6), 6),
    "multi-hot": lambda key: MultiHot(jax.random.randint(key, (20, 2, 32), 0, 3), 3),
    "held": lambda key: Held(jax.random.normal(key, (6, 32)), jnp.asarray(False), 20),
}


@pytest.mark.grid(keep=1)
@needs_compiler
@pytest.mark.parametrize(
    ("kind", "cell", "depth", "nonlinearity"),
    [
        ("dense", "rnn", 1, None),
        ("one-hot", "lstm", 2, None),
        ("multi-hot", "gru", 1, "relu"),
        ("held", "ugrnn", 1, None),
        ("dense", "ugrnn", 1, "relu"),
        ("dense", "lru", 2, None),
    ],
)
def test_networks_give_the_same_outputs_and_gradients(kind, cell, depth, nonlinearity):
    sequence = SEQUENCES[kind](jax.random.key(1))
    options = {} if nonlinearity is None else {"nonlinearity": nonlinearity}
    net = networks.Network.create(cell, inputs=6, outputs=3, units=7, depth=depth, key=jax.random.key(0), **options)
    trained, rest = eqx.partition(net, trainable(net))
    trained = jax.tree.map(lambda leaf: leaf + 0.1, trained)  # initial states other than zero
    constants, static = eqx.partition(rest, is_array_shape)
    weights = jax.random.normal(jax.random.key(2), (3, 15, 32))

    def run(fused):
        def loss(trained):
            network = eqx.combine(trained, constants, static)
            outputs = network.run(sequence, 5, ways.KERNELS if fused else None)
            return jnp.sum(weights * outputs), outputs

        return jax.jit(jax.grad(loss, has_aux=True))(trained)  # the sum itself cancels

    close(run(True), run(False))


@pytest.mark.slow
@pytest.mark.grid(keep=1)
@needs_compiler
@pytest.mark.parametrize("kind", ["dense", "one-hot"])
def test_inputs_units_outputs_steps_and_batch_may_all_be_as_many_as_a_tile_has_samples(kind):
    """What an axis means is told by marks, not by its length."""
    key, n = jax.random.key(1), 16
    symbols = jax.random.randint(key, (n, n), 0, n)
    sequence = Dense(jax.random.normal(key, (n, n, n))) if kind == "dense" else OneHot(symbols, n)
    net = networks.Network.create("gru", inputs=n, outputs=n, units=n, depth=2, key=jax.random.key(0))
    trained, rest = eqx.partition(net, trainable(net))
    weights = jax.random.normal(jax.random.key(2), (n, n, n))

    def gradient(fused):
        def loss(trained):
            network = eqx.combine(trained, rest)
            outputs = network.run(sequence, 0, ways.KERNELS if fused else None)
            return jnp.sum(weights * outputs)

        return jax.jit(jax.grad(loss))(trained)

    close(gradient(True), gradient(False))


@pytest.mark.slow
@needs_compiler
def test_a_task_of_7919_numbers_trains_with_kernels(monkeypatch):
    """A length that once stood for the samples; its inputs and outputs are 7919 numbers each."""
    options = {"steps": 3, "budget": 72_000, "numbers": 7919, "batch_size": 48, "held_out": 48}  # 4 units
    fused, found = train(monkeypatch, "1", "memory", "rnn", **options)
    plain, expected = train(monkeypatch, "0", "memory", "rnn", **options)
    assert fused and not plain and found.feasible
    np.testing.assert_allclose(found.curve[:3], expected.curve[:3], rtol=1e-4)


@needs_compiler
def test_where_there_is_no_room_steps_are_computed_again(monkeypatch):
    sequence = SEQUENCES["one-hot"](jax.random.key(1))
    net = networks.Network.create("lstm", inputs=6, outputs=3, units=7, depth=2, key=jax.random.key(0))

    def gradient(room):
        monkeypatch.setattr(sys.modules["capax.fused.recurrence"], "KEPT_BYTES", room)
        trained, rest = eqx.partition(net, trainable(net))
        loss = lambda trained: jnp.sum(jnp.sin(eqx.combine(trained, rest).run(sequence, 5, ways.KERNELS)))  # noqa: E731
        return jax.jit(jax.grad(loss))(trained)

    close(gradient(0), gradient(2**30))


@needs_compiler
@pytest.mark.parametrize(("cell", "number"), [("rnn", 0), ("gru", 3), ("lstm", 5)])
def test_only_what_is_costly_is_kept(cell, number):
    """An RNN's next state is all that its gradient needs; gates otherwise."""
    net = networks.Network.create(cell, inputs=6, outputs=3, units=7, key=jax.random.key(0)).layers[0]
    arrays, static = eqx.partition(net, is_array_shape)
    state = jax.tree.map(lambda leaf: jnp.zeros((7, 16)), net.initial)
    x = net.project(jnp.zeros((6, 16)))

    def step(arrays, state, x):
        return eqx.combine(arrays, static).step(state, x)

    forward, _ = trace(step, arrays, state, x)
    backward, _ = trace(lambda p, s, x, d: jax.vjp(step, p, s, x)[1](d), arrays, state, x, step(arrays, state, x))
    labels = label(backward, step_marks(backward, len(jax.tree.leaves(arrays)), len(jax.tree.leaves(arrays))))
    assert not isinstance(labels, Refusal)
    shorter, kept, _ = split(forward, backward, labels)
    assert len([value for value in kept if value not in forward.outputs]) == number
    samples = [e for e in shorter.equations if e.name == "dot_general" and labels.has_samples(e.output)]
    assert len(samples) == {"rnn": 1, "gru": 2, "lstm": 1}[cell]  # back through the recurrent matrices, no more


def train(monkeypatch, switch, name, cell, steps=15, budget=2500, **options):
    monkeypatch.setenv(SWITCH, switch)
    task = tasks.get(name, **options)
    size = networks.size(cell, budget=budget, inputs=task.inputs, outputs=task.outputs)
    shape = NetworkShape(cell, 1, size.units, size.parameters)
    trial = Trial("t", task, shape, {"nonlinearity": "tanh"}, steps, 0)
    resident = Resident("mapped")
    population = Population(resident.program(trial), resident.data(trial))
    population.add(trial)
    (result,) = [result for _, result in population.advance(steps)]
    return population.program.fused, result


@pytest.mark.grid(keep=1)
@needs_compiler
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("text", {}),
        ("parentheses", {"time_steps": 20}),
        ("memory", {"numbers": 8}),
        ("rcf", {"samples": 1040, "dimensions": 4}),
    ],
)
def test_training_with_and_without_kernels_agrees(monkeypatch, name, options):
    fused, found = train(monkeypatch, "1", name, "gru", **options)
    plain, expected = train(monkeypatch, "0", name, "gru", **options)
    assert fused and not plain and found.kernel == "fused" and expected.kernel == "compiled"
    np.testing.assert_allclose(found.curve[:15], expected.curve[:15], rtol=1e-4)
    assert found.evaluation["score"] == pytest.approx(expected.evaluation["score"], rel=1e-3)


@needs_compiler
def test_a_sum_with_a_product_is_given_as_state_and_as_output():
    """W h + x itself, not a function of it, is what is asked for."""
    keys = jax.random.split(jax.random.key(0), 2)
    W, x, h = 0.3 * jax.random.normal(keys[0], (4, 4)), jax.random.normal(keys[1], (5, 4, 16)), jnp.zeros((4, 16))

    def both(W, h, x):
        new = W @ h + x
        return new, new

    def apart(W, h, x):
        new = W @ h + x
        return jnp.tanh(new), new

    for step in (both, apart):
        found = jax.jit(lambda W, h, x, step=step: recurrence(step, W, h, x))(W, h, x)
        expected = jax.lax.scan(lambda state, x, step=step: step(W, state, x), h, x)
        close(found, expected)

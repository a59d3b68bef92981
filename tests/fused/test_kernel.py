"""Fused kernels against the compiled program, which is the plain reference."""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import networks, tasks
from capax.fused import Refusal, fuse, library
from capax.networks.parts import is_array_shape, trainable
from capax.training.population import Population
from capax.training.program import SWITCH
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C++ compiler")
SAMPLES = 144
UNMARKED = "an array that is the same for all samples has an axis that is used as theirs"


def random_like(tree, seed):
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return jax.tree.unflatten(
        structure, [0.4 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    )


def gradient_case(cell, depth, units, always, nonlinearity=None):
    """The loss and gradient of a capacity draw, all parameters (initial states too) random."""
    task = tasks.get("capacity", bits=7)
    options = {} if nonlinearity is None else {"nonlinearity": nonlinearity}
    net = networks.Network.create(cell, inputs=7, outputs=1, units=units, depth=depth, key=jax.random.key(3), **options)
    trained, rest = eqx.partition(net, trainable(net))
    constants, static = eqx.partition(rest, is_array_shape)
    draw = task.sample(jax.random.key(4), 128)
    x = jnp.concatenate([draw.inputs.shown, draw.inputs.shown[:, :16]], axis=1)
    y = jnp.concatenate([draw.targets, draw.targets[:, :16]], axis=1)
    weights = (jnp.arange(SAMPLES) < 100).astype(jnp.float32)[None]

    def function(plain, samples):
        trained, constants, always = plain
        x, y, weights = samples
        whole = eqx.tree_at(
            lambda d: (d.inputs.shown, d.inputs.always, d.targets, d.weights), draw, (x, always, y, weights)
        )

        def loss(trained):
            network = eqx.combine(trained, constants, static)
            sums = task.measure(network.run(whole.inputs, task.first), whole)
            return sums["loss"], sums["weight"]

        return jax.value_and_grad(loss, has_aux=True)(trained)

    return function, (random_like(trained, 5), constants, jnp.asarray(always)), (x, y, weights)


CASES = {
    "rnn, wide": ("rnn", 1, 37, True),
    "irnn": ("irnn", 1, 3, False),
    "ugrnn": ("ugrnn", 1, 8, True),
    "gru, one unit": ("gru", 1, 1, False),
    "gru": ("gru", 1, 9, True),
    "lstm, two layers": ("lstm", 2, 5, False),
    "intersection": ("intersection", 2, 3, True),
    "as many units as a tile has samples": ("gru", 1, 48, True),
}


@needs_compiler
def test_a_kernel_called_again_and_again_gives_the_same_bits():
    """Nothing is left over from a call: not in scratch memory, not in totals."""
    function, plain, samples = gradient_case("lstm", 2, 5, False)
    call = jax.jit(fuse(function, plain, samples), static_argnums=2)
    first = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(call(plain, samples, SAMPLES))]
    for _ in range(50):
        assert [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(call(plain, samples, SAMPLES))] == first


@pytest.mark.grid(keep=1)
@needs_compiler
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_the_compiled_program(case):
    function, plain, samples = gradient_case(*CASES[case])
    expected = jax.jit(function)(plain, samples)
    found = jax.jit(fuse(function, plain, samples))(plain, samples, SAMPLES)
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-5 * float(jnp.max(jnp.abs(a))))


@needs_compiler
def test_tiles_behind_the_count_are_not_visited():
    function, plain, samples = gradient_case("intersection", 2, 6, True)
    kernel = jax.jit(fuse(function, plain, samples))
    x, y, _ = samples
    spoilt = x.at[:, 96:].set(jnp.nan), y, jnp.where(jnp.arange(SAMPLES) < 90, 1.0, 0.0)[None]
    clean = kernel(plain, (x, y, spoilt[2]), SAMPLES)
    for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(kernel(plain, spoilt, 90)), strict=True):
        np.testing.assert_array_equal(a, b)


OPERATIONS = {
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "exp": lambda x: jnp.exp(jnp.minimum(x, 80.0)),
    "softplus": jax.nn.softplus,
    "log": lambda x: jnp.log(jnp.abs(x) + 0.1),
    "log1p": lambda x: jnp.log1p(jnp.abs(x)),
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "sqrt": lambda x: jnp.sqrt(jnp.abs(x)),
    "rsqrt": lambda x: jax.lax.rsqrt(jnp.abs(x) + 1.0),
    "power": lambda x: (x / 8) ** 3 + (x + 100.0) ** -2,
    "sine": lambda x: jnp.sin(x) * jnp.cos(x),
    "hard": lambda x: jnp.clip(0.2 * x + 0.5, 0.0, 1.0),
    "sign": lambda x: jnp.sign(x) * jnp.floor(x) + jnp.where((x > 1) & ~(x > 2), 3.0, x / 7),
}


@needs_compiler
def test_elementary_functions():
    """Each sample's value, picked out by a product with the identity."""
    x = jnp.concatenate([jnp.linspace(-12.0, 12.0, 92), jnp.asarray([1e-6, -1e-30, 88.0, -88.0])])[None]

    def function(plain, samples):
        x, pick = samples
        return {name: (operation(x) * plain) @ pick.T for name, operation in OPERATIONS.items()}

    kernel = fuse(function, jnp.asarray(1.0), (x, jnp.eye(96)))
    found = jax.jit(kernel)(jnp.asarray(1.0), (x, jnp.eye(96)), 96)
    for name, operation in OPERATIONS.items():
        expected = np.asarray(operation(x))
        if np.isfinite(expected).all():
            np.testing.assert_allclose(found[name], expected, rtol=3e-6, atol=1e-7, err_msg=name)
        else:  # infinite times 0, when it is picked out
            assert not np.isfinite(found[name]).any(), name
    assert np.isfinite(found["tanh"]).all() and np.isfinite(found["softplus"]).all()


@needs_compiler
def test_not_a_number_and_infinity_come_through():
    """Divergence must be seen."""
    one = jnp.ones((1, 48))
    functions = {"maximum": lambda x: jnp.maximum(x, 0.5), "tanh": jnp.tanh, "exp": jnp.exp}
    functions |= {"softplus": jax.nn.softplus, "relu": jax.nn.relu, "log": jnp.log}
    fused = fuse(lambda plain, x: {name: jnp.sum(f(x * plain)) for name, f in functions.items()}, jnp.asarray(1.0), one)
    for name, value in jax.jit(fused)(jnp.asarray(jnp.nan), one, 48).items():
        assert np.isnan(value), name
    for name, value in jax.jit(fused)(jnp.asarray(jnp.inf), one, 48).items():
        assert value == (48 if name == "tanh" else np.inf), name


@needs_compiler
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda plain, x: x * plain, "an output for each sample, not a sum over samples"),
        (lambda plain, x: jnp.sum(x - jnp.mean(x)), "samples that depend on a sum over samples"),
        (
            lambda plain, x: jnp.sum(jax.lax.scan(lambda s, v: (s + v, s), 0 * x, jnp.stack([x, x]))[0]),
            "the operation 'scan' is not one that kernels know",
        ),
        (lambda plain, x: jnp.sum(jnp.sort(x)), "the operation 'sort' is not one that kernels know"),
        (lambda plain, x: jnp.sum(x[:, :5]), "a slice of the samples"),
        (lambda plain, x: jnp.sum(x @ x.T @ x), "samples that depend on a sum over samples"),
        (lambda plain, x: jnp.sum(x.T @ x), "an array with two axes of samples (samples that depend on each other)"),
        (lambda plain, x: jnp.sum(x * jnp.arange(48.0)[None]), "samples that are numbered"),
        (lambda plain, x: jnp.sum(x * np.ones((1, 48), np.float32)), UNMARKED),
    ],
    ids=["no sum", "mean taken off", "scan", "sort", "slice", "squared", "outer", "numbered", "an array of 48"],
)
def test_what_cannot_be_fused_is_said(function, reason):
    assert fuse(function, jnp.asarray(1.0), jnp.ones((1, 48))) == Refusal(reason)


def test_without_a_compiler_there_is_no_kernel(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = fuse(lambda plain, x: jnp.sum(x), jnp.asarray(1.0), jnp.ones((1, 48)))
    assert found == Refusal("there is no C++ compiler")


@needs_compiler
def test_a_number_of_samples_that_no_tile_divides_is_refused():
    found = fuse(lambda plain, x: jnp.sum(x), jnp.asarray(1.0), jnp.ones((1, 50)))
    assert found == Refusal("50 samples, no multiple of 16")


@needs_compiler
def test_kernels_are_kept_and_only_trusted_ones_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("CAPAX_CACHE", str(tmp_path))
    made = library._compiled("a", 'extern "C" int capax_kernel() { return 1; }')
    assert made == tmp_path / "kernels" / "a.so"
    before = made.stat().st_mtime_ns
    assert library._compiled("a", "not C++") == made
    assert made.stat().st_mtime_ns == before
    made.chmod(0o777)  # anyone could have written it
    library._compiled("a", 'extern "C" int capax_kernel() { return 2; }')
    assert made.stat().st_mode & 0o022 == 0
    monkeypatch.setenv("CAPAX_CACHE", os.devnull)
    assert library._compiled("b", 'extern "C" int capax_kernel() { return 1; }').exists()


def train(monkeypatch, switch, cell="gru", nonlinearity="tanh", depth=1):
    monkeypatch.setenv(SWITCH, switch)
    task = tasks.get("capacity", bits=10)
    size = networks.size(cell, budget=200, inputs=10, outputs=1, depth=depth)
    shape = NetworkShape(cell, depth, size.units, size.parameters)
    hyperparameters = {"nonlinearity": nonlinearity, "samples_per_parameter": 2.0}
    trial = Trial("t", task, shape, {k: v for k, v in hyperparameters.items() if v is not None}, 40, 0)
    resident = Resident("mapped")
    population = Population(resident.program(trial), resident.data(trial))
    population.add(trial)
    (result,) = [result for _, result in population.advance(100)]
    return population.program.fused, result


@needs_compiler
def test_training_with_and_without_a_kernel_agree(monkeypatch):
    fused, result = train(monkeypatch, "1")
    plain, expected = train(monkeypatch, "0")
    assert fused and not plain
    np.testing.assert_allclose(result.curve, expected.curve, rtol=1e-3)
    np.testing.assert_allclose(result.parameters, expected.parameters, atol=1e-3)


@pytest.mark.slow
@needs_compiler
def test_cells_of_a_users_module(monkeypatch):
    """One with declared maps is fused; a plain one-sample cell is trained, fused or not."""
    fused, result = train(monkeypatch, "1", "tests.cells.examples:Declared")
    assert fused and result.feasible
    _, result = train(monkeypatch, "1", "tests.cells.examples:Plain", None)
    assert result.feasible

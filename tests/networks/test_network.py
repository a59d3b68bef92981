"""A network gives the same outputs whichever way it is run, and trains what should be trained."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from capax import cells
from capax.cells.cell import Cell, scalar_declarations
from capax.cells.contract import quickly
from capax.cells.sequence import Dense
from capax.errors import CapaxError
from capax.networks import ways
from capax.networks.network import Network
from capax.networks.parts import count_parameters, trainable
from tests.networks.random_networks import randomise

INPUTS, OUTPUTS, UNITS, STEPS, BATCH = 3, 2, 4, 6, 3
SUMS_IN_ANOTHER_ORDER = {"rtol": 1e-5, "atol": 1e-6}  # float32


RECURRENT = [name for name, cell in cells.BUILT_IN.items() if issubclass(cell, Cell)]


def make(cell, depth=2):
    units = max(UNITS, cells.get(cell).demands.multiple)
    return randomise(Network(cells.get(cell), inputs=INPUTS, outputs=OUTPUTS, depth=depth, units=units))


def values(steps=STEPS, batch=BATCH):
    return jnp.asarray(np.random.default_rng(3).normal(size=(steps, INPUTS, batch)), jnp.float32)


def run(network, x, first=0):
    """Compiled afresh at every call, so that what a test patches counts."""
    return eqx.filter_jit(lambda network, x: network.run(Dense(x), first))(network, x)


@pytest.mark.grid(keep=4)
@pytest.mark.parametrize("cell", RECURRENT)
def test_unrolled_and_scanned_outputs_agree(cell, monkeypatch):
    network, x = make(cell), values()
    monkeypatch.setattr(ways, "UNROLL_UP_TO", STEPS)
    unrolled = run(network, x)
    assert unrolled.shape == (OUTPUTS, STEPS, BATCH)
    monkeypatch.setattr(ways, "UNROLL_UP_TO", STEPS - 1)
    np.testing.assert_allclose(unrolled, run(network, x), **SUMS_IN_ANOTHER_ORDER)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize(("cell", "first"), [("gru", 5), ("lru", 0)])
def test_outputs_and_gradients_in_blocks_with_a_rest_are_those_of_the_unrolled_network(cell, first, monkeypatch):
    network, x = make(cell, 1), values(7)
    trained, rest = eqx.partition(network, trainable(network))

    def loss(trained, x):
        outputs = eqx.combine(trained, rest).run(Dense(x), first)
        return jnp.sum(jnp.sin(outputs)), outputs

    def run():
        return quickly(lambda *arguments: jax.value_and_grad(loss, (0, 1), has_aux=True)(*arguments))(trained, x)

    expected = run()
    monkeypatch.setattr(ways, "UNROLL_UP_TO", 0)
    monkeypatch.setattr(ways, "BLOCKS", (2, 2))
    for one, other in zip(jax.tree.leaves(run()), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)  # float32, many sums in another order


@pytest.mark.parametrize(("length", "size"), [(50, 25), (64, 16), (175, 25), (4096, 16), (251, 16), (17, 17)])
def test_blocks_are_near_16_steps_and_make_up_the_whole_where_they_can(length, size):
    assert ways.block_size(length) == size


@pytest.mark.slow
def test_derivatives_of_a_long_run_exist_in_both_modes_and_to_second_order():
    network, x = make("gru", 1), values(18)
    arrays, static = eqx.partition(network, eqx.is_array)
    h = 1e-5  # central differences in float64: an error of about h^2
    with jax.enable_x64(True):
        arrays, x = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), (arrays, x))
        flat, unravel = ravel_pytree(arrays)
        direction = jnp.asarray(np.random.default_rng(0).normal(size=flat.shape))

        def loss(flat):
            return jnp.sum(eqx.combine(unravel(flat), static).run(Dense(x)) ** 2)

        gradient = quickly(jax.grad(loss))
        slope = quickly(lambda f: jax.jvp(loss, (f,), (direction,))[1])(flat)
        bend = quickly(lambda f: jax.jvp(jax.grad(loss), (f,), (direction,))[1])(flat)
        reverse = quickly(jax.grad(lambda f: jnp.vdot(jax.grad(loss)(f), direction)))(flat)
        np.testing.assert_allclose(slope, jnp.vdot(gradient(flat), direction), rtol=1e-10)
        expected = (gradient(flat + h * direction) - gradient(flat - h * direction)) / (2 * h)
        np.testing.assert_allclose(bend, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(reverse, bend, rtol=1e-8, atol=1e-8)


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize("cell", RECURRENT)
def test_the_first_state_is_a_batch_of_one_and_gives_the_same_as_the_full_one(cell):
    layer = make(cell).layers[1]
    projected = layer.project(jnp.asarray(np.random.default_rng(3).normal(size=(UNITS, BATCH)), jnp.float32))
    single, whole = ways._first_state(layer, projected), layer.first_state(BATCH)
    assert {leaf.shape for leaf in jax.tree.leaves(single)} == {(UNITS, 1)}
    assert {leaf.shape for leaf in jax.tree.leaves(whole)} == {(UNITS, BATCH)}
    for one, other in zip(*(jax.tree.leaves(layer.step(state, projected)) for state in (single, whole)), strict=True):
        assert one.shape == (UNITS, BATCH)
        np.testing.assert_allclose(one, other, **SUMS_IN_ANOTHER_ORDER)


def test_the_first_state_of_a_cell_that_cannot_broadcast_is_a_full_batch():
    layer = Network.create("equinox.nn:LSTMCell", inputs=INPUTS, outputs=1, units=UNITS, key=jax.random.key(0)).layers[
        0
    ]
    state = ways._first_state(layer, layer.project(values()[0]))
    assert {leaf.shape for leaf in jax.tree.leaves(state)} == {(UNITS, BATCH)}


def test_the_first_state_of_a_cell_that_asserts_its_batch_is_a_full_batch():
    class Strict(cells.get("rnn")):
        def step(self, state, projected):
            assert state.shape == projected.shape
            return super().step(state, projected)

    network = randomise(Network(Strict, inputs=INPUTS, outputs=1, depth=1, units=UNITS))
    assert run(network, values()).shape == (1, STEPS, BATCH)


@pytest.mark.parametrize(("cell", "steps"), [("lstm", STEPS), ("intersection", 20)], ids=["unrolled", "scanned"])
def test_a_batch_one_sample_at_a_time_and_a_call_agree(cell, steps):
    network, x = make(cell), values(steps)
    batch = run(network, x)
    call = eqx.filter_jit(network)
    for sample in range(BATCH):
        alone = call(x[:, :, sample])
        assert alone.shape == (steps, OUTPUTS)
        np.testing.assert_allclose(alone.T, batch[:, :, sample], **SUMS_IN_ANOTHER_ORDER)
    mapped = jax.jit(jax.vmap(network))(jnp.moveaxis(x, 2, 0))
    np.testing.assert_allclose(jnp.moveaxis(mapped, (0, 1, 2), (2, 1, 0)), batch, **SUMS_IN_ANOTHER_ORDER)


@pytest.mark.parametrize("steps", [STEPS, 20], ids=["unrolled", "scanned"])
def test_first_leaves_out_the_outputs_before_it(steps):
    network, x = make("rnn"), values(steps)
    whole = run(network, x)
    for first in (1, steps - 1):
        part = run(network, x, first)
        assert part.shape == (OUTPUTS, steps - first, BATCH)
        np.testing.assert_allclose(part, whole[:, first:], **SUMS_IN_ANOTHER_ORDER)


def test_outputs_depend_on_the_past_and_never_on_the_future():
    network, x = make("gru"), values()
    changed = run(network, x.at[2].add(1.0)) - run(network, x)
    assert np.all(changed[:, :2] == 0) and np.all(np.abs(changed[:, 2:]).max(axis=(0, 2)) > 1e-4)


@pytest.mark.parametrize("cell", cells.BUILT_IN)
def test_all_but_the_scalars_of_the_cell_is_trained(cell):
    network = make(cell)
    mask = trainable(network)
    for layer, layer_mask in zip(network.layers, mask.layers, strict=True):
        for name, value in vars(layer_mask).items():
            leaves = jax.tree.leaves(value)
            if name in scalar_declarations(type(layer)):
                assert leaves == [False] and getattr(layer, name).ndim == 0
            elif name not in ("inputs", "units", "nonlinearity"):
                assert all(leaves) and leaves
    assert mask.readout.weight and mask.readout.bias
    assert (mask.entry is None) == (not cells.get(cell).demands.square)
    assert all(jax.tree.leaves(mask.entry))


def test_an_intersection_network_of_one_layer_is_refused():
    with pytest.raises(CapaxError, match="depth of at least 2"):
        Network.create("intersection", inputs=3, outputs=2, units=4, key=jax.random.key(0))


@pytest.mark.parametrize("sizes", [{}, {"units": 3, "budget": 100}])
def test_create_wants_either_units_or_a_budget(sizes):
    with pytest.raises(CapaxError, match="either units= or budget="):
        Network.create("gru", inputs=3, outputs=2, key=jax.random.key(0), **sizes)


def leaves_of(network):
    return jax.tree.leaves(eqx.filter(network, eqx.is_array))


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("cell", ["ugrnn", "equinox.nn:GRUCell"])
def test_create_depends_on_its_key_alone_also_compiled_and_mapped(cell):
    def create(key):
        return Network.create(cell, inputs=3, outputs=2, units=4, key=key)

    keys = jax.random.split(jax.random.key(7), 3)
    alone = [create(key) for key in keys]
    for one, again in zip(leaves_of(alone[0]), leaves_of(create(keys[0])), strict=True):
        np.testing.assert_array_equal(one, again)
    assert np.any(np.asarray(alone[0].readout.weight) != np.asarray(alone[1].readout.weight))
    mapped = leaves_of(eqx.filter_jit(eqx.filter_vmap(create))(keys))
    for place, one in enumerate(alone):
        for stacked, leaf in zip(mapped, leaves_of(one), strict=True):
            np.testing.assert_allclose(stacked[place], leaf, **SUMS_IN_ANOTHER_ORDER)


def test_create_within_a_budget_has_the_size_of_the_budget():
    network = Network.create("gru", inputs=3, outputs=2, budget=400, key=jax.random.key(0))
    assert count_parameters(network) <= 400 and count_parameters(network) > 300


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"units": 0}, "units must be at least 1, not 0"),
        ({"units": 3, "depth": 0}, "depth must be at least 1, not 0"),
        ({"units": 3, "budget": 100}, "either units= or budget="),
        ({}, "either units= or budget="),
        ({"units": 3, "nonlinearity": "sine"}, "no nonlinearity 'sine'; choose of tanh, relu"),
        ({"units": 3, "forget_bais": 1.0}, r"no hyperparameter 'forget_bais' \(did you mean 'forget_bias'\?\)"),
        (
            {"units": 3, "update_init": "uniform"},
            "update_init must be one of identity, orthogonal, normal, not 'uniform'",
        ),
        ({"units": 3, "bias_distribution": "uniform"}, "bias_distribution must be one of constant, normal"),
        ({"units": 3, "cell": "irnn", "hidden_init": "normal"}, "hidden_init must be one of identity"),
    ],
)
def test_create_says_what_is_wrong_with_its_arguments(arguments, line):
    cell = arguments.pop("cell", "gru")
    with pytest.raises(CapaxError, match=line):
        Network.create(cell, inputs=2, outputs=1, key=jax.random.key(0), **arguments)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("cell", ["gru", "lru", "transformer"])
def test_checkpoints_over_time_give_the_same_gradients(cell):
    network, x = make(cell), values(steps=50)

    def gradient(checkpoint_every):
        trained, rest = eqx.partition(network, trainable(network))
        flat, unravel = ravel_pytree(trained)

        def loss(flat):
            way = network.usual_way(50, checkpoint_every=checkpoint_every)
            outputs = eqx.combine(unravel(flat), rest).run(Dense(x), 3, way)
            return jnp.sum(outputs**2)

        return np.asarray(quickly(jax.grad(loss))(flat), np.float64)

    everything = gradient(0)
    for checkpoint_every in (1, 7, 50, 80, None):
        again = gradient(checkpoint_every)
        assert np.abs(again - everything).max() <= 1e-6 * np.abs(everything).max() * 10  # sums in another order

"""Initialisation draws what its hyperparameters say, and reads the names of the search space and no
others.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.networks.hyperparameters import hyperparameters_of
from capax.networks.initialisation import initialise
from capax.networks.network import Network
from capax.search.space import distribution
from tests.networks.random_networks import blocks

UNITS, INPUTS = 64, 32
# The standard deviation of k normals is known to 1 / sqrt(2k): five times that for the 64 x 32 of
# the smallest matrix.
DEVIATION = {"rtol": 5 / (2 * UNITS * INPUTS) ** 0.5}


@functools.cache
def blank(cell, units=UNITS, inputs=INPUTS, outputs=INPUTS):
    depth = 2 if cell == "intersection" else 1
    return Network(cells.get(cell), inputs=inputs, outputs=outputs, depth=depth, units=units)


def drawn(cell, hyperparameters, key=0, **sizes):
    return initialise(blank(cell, **sizes), hyperparameters, jax.random.key(key))


def test_an_orthogonal_matrix_is_orthogonal_times_its_scale():
    maps = blocks(drawn("gru", {"update_init": "orthogonal", "update_scale": 0.3, "reset_scale": 1.7}).layers[0])
    # Orthogonal also where nothing is said. A 64 x 64 float32 QR is orthogonal to a few 1e-6.
    for block, scale in {"update": 0.3, "reset": 1.7, "candidate": 1.0}.items():
        W_h = maps[block][0].astype(np.float64)
        np.testing.assert_allclose(W_h @ W_h.T, scale**2 * np.eye(UNITS), atol=1e-5)
    assert np.abs(maps["update"][0] / 0.3 - maps["reset"][0] / 1.7).max() > 0.1  # each block has its own draw


def test_orthogonal_matrices_are_uniformly_drawn():
    draws = jax.jit(jax.vmap(lambda key: initialise(blank("rnn", 2, 1, 1), {}, key).layers[0].hidden.recurrent))
    W = np.asarray(draws(jax.random.split(jax.random.key(0), 2000)))
    # Uniform on O(2): the first column has a uniform angle, and half of the matrices are
    # reflections.
    angle = np.arctan2(W[:, 1, 0], W[:, 0, 0])
    for moment in (np.cos(angle), np.sin(angle), np.cos(2 * angle), np.linalg.det(W)):
        assert abs(moment.mean()) < 5 / 2000**0.5


def test_an_identity_is_exact_and_has_no_scale():
    maps = blocks(drawn("lstm", {"forget_init": "identity", "forget_scale": 0.5, "output_init": "identity"}).layers[0])
    np.testing.assert_array_equal(maps["forget"][0], np.eye(UNITS))
    np.testing.assert_array_equal(maps["output"][0], np.eye(UNITS))
    assert np.abs(maps["input"][0] - np.eye(UNITS)).max() > 0.1


def test_a_normal_matrix_has_a_standard_deviation_of_scale_over_root_units():
    network = drawn("gru", {"update_init": "normal", "update_scale": 0.3, "reset_init": "normal"})
    maps = blocks(network.layers[0])
    np.testing.assert_allclose(maps["update"][0].std(), 0.3 / UNITS**0.5, **DEVIATION)
    np.testing.assert_allclose(maps["reset"][0].std(), 1.0 / UNITS**0.5, **DEVIATION)
    assert abs(maps["update"][0].mean()) < 5 * 0.3 / UNITS**0.5 / UNITS


def test_rectangular_matrices_have_a_standard_deviation_of_scale_over_root_inputs():
    hyperparameters = {"depth_input_scale": 0.2, "entry_scale": 1.5, "readout_scale": 0.05}
    network = drawn("intersection", hyperparameters)
    np.testing.assert_allclose(np.std(network.entry.weight), 1.5 / INPUTS**0.5, **DEVIATION)
    np.testing.assert_allclose(np.std(network.readout.weight), 0.05 / UNITS**0.5, **DEVIATION)
    for layer in network.layers:
        maps = blocks(layer)
        np.testing.assert_allclose(maps["depth"][1].std(), 0.2 / UNITS**0.5, **DEVIATION)
        np.testing.assert_allclose(maps["hidden"][1].std(), 1.0 / UNITS**0.5, **DEVIATION)
    first = blocks(drawn("gru", {}).layers[0])["candidate"][1]  # the input size, not the units
    np.testing.assert_allclose(first.std(), 1.0 / INPUTS**0.5, **DEVIATION)


def test_layers_are_drawn_apart():
    below, above = drawn("intersection", {}).layers
    assert np.abs(np.asarray(below.affine.recurrent - above.affine.recurrent)).max() > 0.1
    assert np.abs(np.asarray(below.affine.input - above.affine.input)).max() > 0.1


def test_constant_biases_have_the_value_of_their_scale_everywhere():
    network = drawn("intersection", {"bias_distribution": "constant", "bias_scale": -1.25})
    for bias in [network.entry.bias, network.readout.bias, *(layer.affine.bias for layer in network.layers)]:
        np.testing.assert_array_equal(bias, np.full(bias.shape, -1.25, np.float32))


def test_normal_biases_have_the_standard_deviation_of_their_scale():
    network = drawn("lstm", {"bias_distribution": "normal", "bias_scale": -0.5})
    bias = np.asarray(network.layers[0].affine.bias)
    np.testing.assert_allclose(bias.std(), 0.5, rtol=5 / (2 * bias.size) ** 0.5)
    assert abs(bias.mean()) < 5 * 0.5 / bias.size**0.5
    assert 0.2 < np.std(network.readout.bias) < 0.9  # only 32 of them


def test_an_irnn_starts_at_the_identity_with_zero_biases_whatever_is_given():
    network = drawn("irnn", {"bias_scale": 2.0, "bias_distribution": "normal", "hidden_scale": 0.1})
    hidden = network.layers[0].hidden
    np.testing.assert_array_equal(hidden.recurrent, np.eye(UNITS))
    np.testing.assert_array_equal(hidden.bias, np.zeros(UNITS))
    np.testing.assert_array_equal(network.readout.bias, np.zeros(INPUTS))
    assert network.layers[0].nonlinearity == "relu"


def test_scalars_reach_the_cells_of_every_layer():
    network = drawn("intersection", {"forget_bias_depth": 2.5})
    for layer in network.layers:
        assert float(layer.forget_bias_depth) == 2.5
        assert float(layer.forget_bias_hidden) == 1.0  # the default
        assert layer.forget_bias_depth.dtype == jnp.float32


def test_learned_initial_states_start_at_zero():
    for vector in drawn("lstm", {"bias_scale": 2.0}).layers[0].initial:
        np.testing.assert_array_equal(vector, np.zeros(UNITS))


def network_space(cell):
    return {name: distribution(each) for name, each in hyperparameters_of(cell).items() if each.tuned}


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize("cell", cells.BUILT_IN)
def test_every_name_of_the_search_space_changes_the_network(cell):
    """With each name of the space at another value: something changes; nothing else has a say."""

    def differs(one, other):
        pairs = zip(*(jax.tree.leaves(eqx.filter(network, eqx.is_array)) for network in (one, other)), strict=True)
        return any(np.any(np.asarray(a) != np.asarray(b)) for a, b in pairs)

    small = {"units": max(3, cells.get(cell).demands.multiple), "inputs": 2, "outputs": 2}
    space = network_space(cells.get(cell))
    base = {"bias_scale": 0.5}
    start = drawn(cell, base, **small)
    for name, drawn_from in space.items():
        if name == "nonlinearity":
            assert drawn_from.choices == cells.get(cell).nonlinearities
            continue
        values = getattr(drawn_from, "choices", None) or (drawn_from.low, drawn_from.high)
        assert any(differs(start, drawn(cell, {**base, name: value}, **small)) for value in values), name
    assert not differs(start, drawn(cell, base, **small))


@pytest.mark.parametrize("cell", cells.BUILT_IN)
def test_initialisation_reads_the_names_of_the_search_space_and_no_others(cell):
    known, space = hyperparameters_of(cells.get(cell)), network_space(cells.get(cell))
    # Of an IRNN neither the recurrent matrix nor the distribution of its biases, all zero, is
    # tuned; diagonal recurrences and attention have no biases that are drawn.
    biases = {"bias_distribution", "bias_scale"}
    unbiased = dict.fromkeys(("diagonal", "diagonal_gamma", "lru", "s4d", "transformer", "transformer-encoder"), biases)
    fixed = {"irnn": {"hidden_init", "hidden_scale", *biases}, **unbiased}.get(cell, set())
    choice = {"nonlinearity"} if len(cells.get(cell).nonlinearities) == 1 else set()
    assert set(known) - fixed - choice == set(space)
    for name in space:
        assert space[name]._contains(space[name].to_internal_repr(known[name].default)), name
    drawn(
        cell, {}, units=max(3, cells.get(cell).demands.multiple), inputs=2, outputs=2
    )  # a name without a default would be a KeyError


def test_a_forget_bias_is_tuned_from_0_to_6_and_matrices_over_the_ranges_of_the_paper():
    def ranges(cell):
        return {
            name: (distribution.low, distribution.high, distribution.log)
            for name, distribution in network_space(cells.get(cell)).items()
            if hasattr(distribution, "low")
        }

    recurrent, rectangular = (0.01, 2.0, True), (0.001, 2.0, True)
    assert ranges("ugrnn") == {
        "candidate_scale": recurrent,
        "gate_scale": recurrent,
        "candidate_input_scale": rectangular,
        "gate_input_scale": rectangular,
        "readout_scale": rectangular,
        "bias_scale": (-2.0, 2.0, False),
        "forget_bias": (0.0, 6.0, False),
    }
    assert ranges("intersection").keys() >= {"forget_bias_depth", "forget_bias_hidden", "entry_scale"}
    choices = {name: getattr(d, "choices", None) for name, d in network_space(cells.get("rnn")).items()}
    assert choices["hidden_init"] == ("orthogonal", "normal") and choices["nonlinearity"] == ("tanh", "relu")
    assert network_space(cells.get("lstm"))["forget_init"].choices == ("identity", "orthogonal", "normal")
    assert "nonlinearity" not in network_space(cells.get("irnn"))


def test_the_eigenvalues_of_an_lru_start_on_the_ring_that_is_asked_for_and_its_states_at_the_variance_of_its_inputs():
    cell = drawn("lru", {"least_modulus": 0.6, "largest_phase": 0.5}, units=2000, inputs=2, outputs=1).layers[0]
    modulus, phase = np.exp(-np.exp(np.asarray(cell.w_nu))), np.exp(np.asarray(cell.w_theta))
    assert modulus.min() >= 0.6 and modulus.max() <= 0.999 + 1e-6 and phase.max() <= 0.5
    # Uniform on the ring: |lambda|^2 is uniform, so that its mean is the middle; 2000 draws have a
    # standard error of .004.
    np.testing.assert_allclose(np.mean(modulus**2), (0.6**2 + 0.999**2) / 2, atol=0.02)
    np.testing.assert_allclose(np.exp(np.asarray(cell.w_gamma)) ** 2, 1 - modulus**2, rtol=1e-3, atol=1e-5)

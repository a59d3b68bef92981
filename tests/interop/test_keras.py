"""Keras weights in, against the equations of Keras's cells in NumPy: `SimpleRNNCell`, `GRUCell`
(both kinds of reset), `LSTMCell`, arrays as `get_weights()` gives them.
"""

import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capax
from capax import CapaxError
from capax.interop.keras import from_weights
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network

INPUTS, UNITS, OUTPUTS, STEPS = 3, 5, 2, 7
LENGTHS = np.array([7, 1, 4, 6])
BLOCKS = {"rnn": 1, "gru before": 3, "gru after": 3, "lstm": 4}
CASES = [(case, depth, directions) for case in BLOCKS for depth in (1, 2) for directions in (1, 2)]
TOLERANCE = 1e-6
"""Of the largest output, as for PyTorch."""


def random(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [(0.5 * generator.normal(size=shape)).astype(np.float32) for shape in shapes]


def layer(case, inputs, directions=1, seed=0, units=UNITS):
    """What `get_weights()` gives, forwards and then backwards."""
    rows = BLOCKS[case] * units
    bias = (2, rows) if case == "gru after" else (rows,)
    return random(seed, *[(inputs, rows), (units, rows), bias] * directions)


def stack(case, depth, directions):
    return [layer(case, directions * UNITS if l else INPUTS, directions, seed=l) for l in range(depth)]


def sequences():
    return np.random.default_rng(9).normal(size=(len(LENGTHS), STEPS, INPUTS)).astype(np.float32)


def sigma(a):
    return 1 / (1 + np.exp(-a))


def one_way(case, kernel, recurrent, bias, x):
    """The outputs of one sequence, (time, units); row vectors, as Keras has them."""
    h = c = np.zeros(recurrent.shape[0])
    found, blocks = [], BLOCKS[case]
    for x_t in x:
        i = np.split(x_t @ kernel + (bias[0] if case == "gru after" else bias), blocks)
        if case == "gru before":
            z, r = (sigma(i[b] + h @ np.split(recurrent, 3, axis=1)[b]) for b in (0, 1))
            h = z * h + (1 - z) * np.tanh(i[2] + (r * h) @ np.split(recurrent, 3, axis=1)[2])
        elif case == "gru after":
            inner = np.split(h @ recurrent + bias[1], 3)
            z, r = sigma(i[0] + inner[0]), sigma(i[1] + inner[1])
            h = z * h + (1 - z) * np.tanh(i[2] + r * inner[2])
        elif case == "lstm":
            z0, z1, z2, z3 = (a + b for a, b in zip(i, np.split(h @ recurrent, 4), strict=True))
            c = sigma(z1) * c + sigma(z0) * np.tanh(z2)
            h = sigma(z3) * np.tanh(c)
        else:
            h = np.tanh(i[0] + h @ recurrent)
        found.append(h)
    return np.array(found)


def expected(case, layers, readout, x):
    found = []
    for sequence, length in zip(x, LENGTHS, strict=True):
        below = sequence[:length].astype(np.float64)
        for arrays in layers:
            arrays = [array.astype(np.float64) for array in arrays]
            above = [one_way(case, *arrays[:3], below)]
            if len(arrays) == 6:
                above.append(one_way(case, *arrays[3:], below[::-1])[::-1])
            below = np.concatenate(above, axis=1)
        ys = below if readout is None else below @ readout[0].astype(np.float64) + readout[1]
        found.append(np.concatenate([ys, np.zeros((STEPS - length, ys.shape[1]))]))
    return np.array(found)


def outputs_of(net):
    call = eqx.filter_jit(type(net).__call__)
    return np.asarray(call(net, jnp.asarray(sequences()), jnp.asarray(LENGTHS)))


def assert_equal(found, due):
    assert np.abs(found - due).max() <= TOLERANCE * np.abs(due).max()


@pytest.mark.grid(keep=8)
@pytest.mark.parametrize(("case", "depth", "directions"), CASES)
def test_weights_become_a_network_with_keras_outputs_on_ragged_batches(case, depth, directions):
    layers, readout = stack(case, depth, directions), random(7, (directions * UNITS, OUTPUTS), (OUTPUTS,))
    net = from_weights(layers, case.split()[0], bidirectional=directions == 2, readout=readout)
    assert type(net) is (Network, Bidirectional)[directions - 1]
    assert_equal(outputs_of(net), expected(case, layers, readout, sequences()))


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("case", BLOCKS)
def test_one_layer_needs_no_list_around_it_and_no_readout(case):
    weights = layer(case, INPUTS)
    assert_equal(outputs_of(from_weights(weights, case.split()[0])), expected(case, [weights], None, sequences()))


@pytest.mark.parametrize("case", ["rnn", "gru before", "gru after", "lstm"])
def test_without_biases_they_are_zero(case):
    kernel, recurrent, bias = layer(case, INPUTS)
    after = {"gru before": False, "gru after": None}.get(case)  # Keras's default is True
    net = from_weights([kernel, recurrent], case.split()[0], reset_after=after)
    assert_equal(outputs_of(net), expected(case, [[kernel, recurrent, 0 * bias]], None, sequences()))


def test_the_shape_of_the_bias_says_which_gru_it_is():
    assert capax.cells.name_of(type(from_weights(layer("gru before", 3), "gru").layers[0])) == "gru"
    found = from_weights(layer("gru after", 3), "gru", reset_after=True)
    assert capax.cells.name_of(type(found.layers[0])) == "gru-reset-after"


def test_the_activation_is_given_beside_the_weights():
    kernel, recurrent, bias = layer("rnn", INPUTS)
    net, h = from_weights([kernel, recurrent, bias], "rnn", nonlinearity="relu"), np.zeros(UNITS)
    for x_t, y in zip(sequences()[0], outputs_of(net)[0], strict=True):
        h = np.maximum(x_t @ kernel + h @ recurrent + bias, 0)
        np.testing.assert_allclose(y, h, rtol=1e-5, atol=1e-6)


def test_the_example_in_the_docstring_runs():
    example = (from_weights.__doc__ or "").rpartition("does not.\n\n")[2]
    names = {"np": np, "jax": jax, "capax": capax}
    exec(textwrap.dedent(example), names)
    assert names["net"](jnp.zeros((7, 3))).shape == (7, 4)


K, R, B = layer("lstm", INPUTS)
GK, GR, GB = layer("gru after", INPUTS)
REFUSED = {
    "no list": ({"weights": {"kernel": K}}, "must be what layer.get_weights.* not a dict"),
    "nothing": ({"weights": []}, "must be what layer.get_weights.* not 0 arrays"),
    "a kind": ({"kind": "elman"}, "unknown kind 'elman'; choose of rnn, gru, lstm"),
    "another kind": ({"kind": "gru"}, r"recurrent kernel of layer 0 has shape \(5, 20\); a GRU .*that is a LSTM"),
    "transposed": ({"weights": [K.T, R.T, B]}, r"recurrent kernel of layer 0 has shape \(20, 5\)"),
    "the kernel": ({"weights": [K[:, :7], R, B]}, r"the kernel of layer 0 has shape \(3, 7\); .*\(inputs, 20\)"),
    "the bias": ({"weights": [K, R, B[:5]]}, r"the bias of layer 0 has shape \(5,\); .*\(20,\)"),
    "a bias too few": ({"weights": [K]}, "layer 0 has 1 arrays; a LSTM has 3, a kernel"),
    "bidirectional unsaid": ({"weights": [K, R, B, K, R, B]}, "layer 0 has 6 arrays; .* are the layers bidirectional"),
    "not bidirectional": ({"bidirectional": True}, "layer 0 has 3 arrays; a LSTM has 6, .* once for each direction"),
    "what is below": ({"weights": [[K, R, B], [K, R, B]]}, "kernel of layer 1 is for 3 inputs, but there are 5 below"),
    "unequal layers": (
        {"weights": [[K, R, B], layer("lstm", UNITS, units=4)]},
        "layer 1 has 4 units and layer 0 5; the layers of a capax network are equal",
    ),
    "reset_after": ({"reset_after": True}, "reset_after is said of a GRU, not of a LSTM"),
    "the other reset": (
        {"weights": [GK, GR, GB], "kind": "gru", "reset_after": False},
        r"bias of layer 0 has shape \(2, 15\), that of reset_after=True, not of False",
    ),
    "both resets": (
        {"weights": [[GK, GR, GB], layer("gru before", UNITS)], "kind": "gru"},
        "some of these GRUs have a bias of reset_after=True and some of False",
    ),
    "ReLU": ({"nonlinearity": "relu"}, "activation 'relu' of a Keras LSTM cannot be read; tanh can"),
    "the readout": ({"readout": [np.zeros((4, 2))]}, r"kernel of the readout has shape \(4, 2\); .*\(5, outputs\)"),
    "its bias": ({"readout": [np.zeros((5, 2)), np.zeros(3)]}, r"bias of the readout has shape \(3,\); .* 2 outputs"),
    "its number": ({"readout": []}, r"readout must be \[kernel, bias\] of a Dense"),
    "whole numbers": ({"weights": [K, R, np.zeros(20, int)]}, "the bias of layer 0 must be .* not of type int64"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_is_one_clear_line(fault):
    options, message = REFUSED[fault]
    with pytest.raises(CapaxError, match=message) as error:
        from_weights.__wrapped__(**({"weights": [K, R, B], "kind": "lstm"} | options))  # without the check of types
    assert "\n" not in str(error.value)

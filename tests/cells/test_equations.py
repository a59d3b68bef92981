"""Built-in cells agree with independent implementations of their equations; their gradients with
finite differences.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax.flatten_util import ravel_pytree
from onnx import TensorProto, helper, numpy_helper

from capax import cells
from capax.cells.contract import quickly
from capax.cells.sequence import Dense
from capax.networks.network import Network
from capax.networks.parts import trainable
from tests.networks.random_networks import blocks, randomise

INPUTS, OUTPUTS, UNITS, STEPS, BATCH = 3, 2, 5, 7, 4

# ONNX's operator, its order of the gates, and its activations beside the nonlinearity s.
ONNX = {
    "rnn": ("RNN", ("hidden",), "{s}"),
    "gru": ("GRU", ("update", "reset", "candidate"), "Sigmoid {s}"),
    "gru-reset-after": ("GRU", ("update", "reset", "candidate"), "Sigmoid {s}"),
    "lstm": ("LSTM", ("input", "output", "forget", "candidate"), "Sigmoid {s} Tanh"),
}
WITH_FORGET_BIAS = {"update", "forget", "gate"}


def make(cell, depth, nonlinearity=None):
    """A random network whose forget biases (if any) are told apart by their values."""
    kind = cells.get(cell)
    units = max(UNITS, kind.demands.multiple)
    network = Network(kind, inputs=INPUTS, outputs=OUTPUTS, depth=depth, units=units, nonlinearity=nonlinearity)
    for number, name in enumerate(name for name in vars(network.layers[0]) if name.startswith("forget_bias")):
        network = eqx.tree_at(
            lambda n: [getattr(layer, name) for layer in n.layers],  # noqa: B023
            network,
            [jnp.asarray(0.7 + 0.6 * number)] * depth,
        )
    return randomise(network)


def sequences():
    return np.random.default_rng(1).normal(size=(STEPS, INPUTS, BATCH)).astype(np.float32)


def outputs_of(network, x):
    return eqx.filter_jit(Network.run)(network, Dense(jnp.asarray(x)))


def referee(network, cell, nonlinearity, x):
    """The outputs (time, batch, outputs) of onnxruntime for the same network, x being (time,
    inputs, batch).
    """
    operator, order, activations = ONNX[cell]
    weights, nodes, name = {}, [], "x"
    for number, layer in enumerate(network.layers):
        maps = blocks(layer)
        shift = {block: float(layer.forget_bias) if block in WITH_FORGET_BIAS else 0.0 for block in order}
        biases = np.concatenate([maps[block][2] + np.float32(shift[block]) for block in order])
        recurrent = np.zeros_like(biases)
        if cell == "gru-reset-after":  # the candidate's second bias, within the product with the reset gate
            recurrent[-UNITS:] = layer.recurrent_bias
        states = layer.initial if isinstance(layer.initial, tuple) else (layer.initial,)
        mine = {
            "W": np.concatenate([maps[block][1] for block in order])[None],
            "R": np.concatenate([maps[block][0] for block in order])[None],
            "B": np.concatenate([biases, recurrent])[None],
            **{f"state{i}": np.tile(np.asarray(state), (1, BATCH, 1)) for i, state in enumerate(states)},
        }
        weights.update({f"{key}{number}": value for key, value in mine.items()})
        names = [f"{key}{number}" for key in mine]
        options = {"linear_before_reset": int(cell == "gru-reset-after")} if operator == "GRU" else {}
        nodes.append(
            helper.make_node(
                operator,
                [name, *names[:3], "", *names[3:]],
                [f"Y{number}"],
                hidden_size=UNITS,
                activations=activations.format(s={"tanh": "Tanh", "relu": "Relu"}[nonlinearity]).split(),
                **options,
            )
        )
        nodes.append(helper.make_node("Squeeze", [f"Y{number}", "direction"], [f"y{number}"]))
        name = f"y{number}"
    weights["direction"] = np.asarray([1], np.int64)
    weights["readout"], weights["bias"] = np.asarray(network.readout.weight).T, np.asarray(network.readout.bias)
    nodes += [
        helper.make_node("MatMul", [name, "readout"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "referee",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [STEPS, BATCH, INPUTS])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [STEPS, BATCH, OUTPUTS])],
        [numpy_helper.from_array(np.ascontiguousarray(value), key) for key, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.transpose(x, (0, 2, 1))})[0]


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("cell", ONNX)
def test_agrees_with_onnxruntime(cell, nonlinearity, depth):
    network, x = make(cell, depth, nonlinearity), sequences()
    expected = referee(network, cell, nonlinearity, x)
    # Both compute in float32, where a relative error of one operation is 6e-8; a few dozen add up.
    np.testing.assert_allclose(np.transpose(outputs_of(network, x), (1, 2, 0)), expected, rtol=1e-5, atol=1e-5)


def sigma(a):
    return 1 / (1 + np.exp(-a))


def loop(network, step, x):
    """The outputs (outputs, time, batch) of a network by a plain loop; step(cell's maps, scalars,
    h, x) -> h, y.
    """
    entry = network.entry
    xs = [x_t.astype(np.float64) for x_t in x]
    if entry is not None:
        xs = [np.asarray(entry.weight) @ x_t + np.asarray(entry.bias)[:, None] for x_t in xs]
    for layer in network.layers:
        maps = {
            name: (lambda h, x, W_h=W_h, W_x=W_x, b=b: W_h @ h + W_x @ x + b[:, None])
            for name, (W_h, W_x, b) in blocks(layer).items()
        }
        h, ys = np.tile(np.asarray(layer.initial)[:, None], (1, BATCH)), []
        for x_t in xs:
            h, y = step(layer, maps, h, x_t)
            ys.append(y)
        xs = ys
    return np.stack([np.asarray(network.readout.weight) @ y + np.asarray(network.readout.bias)[:, None] for y in xs], 1)


def irnn(cell, maps, h, x):
    h = np.maximum(maps["hidden"](h, x), 0)
    return h, h


def ugrnn(cell, maps, h, x):
    c = np.tanh(maps["candidate"](h, x))
    g = sigma(maps["gate"](h, x) + float(cell.forget_bias))
    h = g * h + (1 - g) * c
    return h, h


def intersection(cell, maps, h, x):
    y_in = np.maximum(maps["depth"](h, x), 0)
    h_in = np.tanh(maps["hidden"](h, x))
    g_y = sigma(maps["depth_gate"](h, x) + float(cell.forget_bias_depth))
    g_h = sigma(maps["hidden_gate"](h, x) + float(cell.forget_bias_hidden))
    return g_h * h + (1 - g_h) * h_in, g_y * x + (1 - g_y) * y_in


@pytest.mark.parametrize(
    ("cell", "step", "depth"),
    [("irnn", irnn, 1), ("irnn", irnn, 2), ("ugrnn", ugrnn, 1), ("ugrnn", ugrnn, 2), ("intersection", intersection, 2)],
)
def test_agrees_with_a_plain_numpy_loop(cell, step, depth):
    network, x = make(cell, depth), sequences()
    # Float32 against float64; a relative error of one operation is 6e-8.
    np.testing.assert_allclose(outputs_of(network, x), loop(network, step, x), rtol=1e-5, atol=1e-5)


DIAGONAL = {
    "lru": lambda p: (np.exp(-np.exp(p["w_nu"]) + 1j * np.exp(p["w_theta"])), np.exp(p["w_gamma"])),
    "diagonal": lambda p: (p["a"] + 1j * p["b"], np.ones_like(p["a"])),
    "diagonal_gamma": lambda p: (p["a"] + 1j * p["b"], np.exp(p["w_gamma"])),
    "s4d": lambda p: (
        (lam := np.exp(np.exp(p["w_step"]) * (rate := -np.exp(p["w_decay"]) + 1j * p["frequency"]))),
        (lam - 1) / rate,
    ),
}


@pytest.mark.grid(keep=4)
@pytest.mark.parametrize("cell", DIAGONAL)
@pytest.mark.parametrize("depth", [1, 2])
def test_diagonal_recurrences_agree_with_a_plain_numpy_loop_in_complex_numbers(cell, depth):
    network, x = make(cell, depth), sequences()
    ys = [x_t.astype(np.float64) for x_t in x]
    for layer in network.layers:
        part = {
            name: np.asarray(value, np.float64)
            for name, value in vars(layer).items()
            if eqx.is_array(value) and value.ndim
        }
        lam, gain = (value[:, None] for value in DIAGONAL[cell](part))
        B, C = part["B_real"] + 1j * part["B_imaginary"], part["C_real"] + 1j * part["C_imaginary"]
        real, imaginary = (np.asarray(state)[:, None] for state in layer.initial)
        h, above = real + 1j * imaginary, []
        for x_t in ys:
            h = lam * h + gain * (B @ x_t)
            above.append((C @ h).real + part["D"] @ x_t)
        ys = above
    expected = [np.asarray(network.readout.weight) @ y + np.asarray(network.readout.bias)[:, None] for y in ys]
    # Float32 against float64; a relative error of one operation is 6e-8, and eigenvalues may lie
    # outside the unit circle.
    np.testing.assert_allclose(outputs_of(network, x), np.stack(expected, 1), rtol=3e-5, atol=3e-5)


def test_a_linear_rnn_is_an_rnn_without_its_nonlinearity():
    network, x = make("linear", 1), sequences()
    (layer,) = network.layers
    h, outputs = np.asarray(layer.initial)[:, None], []
    for x_t in x:
        h = (
            np.asarray(layer.map.recurrent) @ h
            + np.asarray(layer.map.input) @ x_t
            + np.asarray(layer.map.bias)[:, None]
        )
        outputs.append(np.asarray(network.readout.weight) @ h + np.asarray(network.readout.bias)[:, None])
    np.testing.assert_allclose(outputs_of(network, x), np.stack(outputs, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", DIAGONAL)
def test_diagonal_recurrences_start_inside_the_unit_circle_with_bounded_states(cell):
    layer = Network.create(cell, inputs=2, outputs=1, units=200, key=jax.random.key(0)).layers[0]
    modulus = np.hypot(*map(np.asarray, layer.eigenvalues()))
    assert modulus.min() > 0.5 and modulus.max() < 1
    gain = np.hypot(*map(np.asarray, layer.gain()))
    if cell in ("lru", "diagonal_gamma"):  # white inputs keep a variance of 1
        np.testing.assert_allclose(gain**2 / (1 - modulus**2), 1, rtol=2e-3)


@pytest.mark.parametrize("longest", [1.0, 16.0, 256.0])
def test_chrono_initialisation_spreads_the_times_that_units_remember(longest):
    layer = Network.create("chrono", inputs=2, outputs=1, units=300, key=jax.random.key(0), longest=longest).layers[0]
    kept = 1 / (1 + np.exp(-np.asarray(layer.gates.bias[300:])))
    times = 1 / (1 - kept)  # of a gate that stays as it starts
    assert times.min() >= 2 - 1e-4 and times.max() <= 1 + longest + 1e-2
    assert longest == 1 or np.std(times) > 0.2 * longest
    np.testing.assert_array_equal(layer.gates.bias[:300], 0)


@pytest.mark.grid(keep=5)
@pytest.mark.parametrize("cell", cells.BUILT_IN)
def test_gradients_of_all_parameters_agree_with_finite_differences(cell):
    h = 1e-5  # central differences in float64: an error of about h^2 = 1e-10 by curvature, 1e-11 by rounding
    arrays, static = eqx.partition(make(cell, 2), eqx.is_array)
    with jax.enable_x64(True):
        network = eqx.combine(jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), arrays), static)
        x = Dense(jnp.asarray(sequences()[:3, :, :2].astype(np.float64)))
        trained, rest = eqx.partition(network, trainable(network))
        flat, unravel = ravel_pytree(trained)
        aim = jnp.asarray(np.random.default_rng(2).normal(size=(OUTPUTS, 3, 2)))

        def loss(flat):
            return jnp.sum((eqx.combine(unravel(flat), rest).run(x) - aim) ** 2)

        gradient = quickly(jax.grad(loss))(flat)
        moved = np.asarray(flat) + h * np.concatenate([np.eye(flat.size), -np.eye(flat.size)])
        above, below = np.split(np.asarray(quickly(jax.vmap(loss))(jnp.asarray(moved))), 2)
        assert gradient.dtype == jnp.float64
        np.testing.assert_allclose(gradient, (above - below) / (2 * h), rtol=1e-6, atol=1e-7)
        assert (np.asarray(gradient) != 0).mean() > 0.7  # all but where ReLU is off


def test_the_sigmoid_is_the_logistic_function_also_far_out():
    x = np.linspace(-100, 100, 401).astype(np.float32)
    # By way of tanh the float32 resolution near 1 (6e-8, and twice that for the two halves) holds
    # near 0, too.
    np.testing.assert_allclose(cells.sigmoid(jnp.asarray(x)), sigma(x.astype(np.float64)), rtol=0, atol=1.3e-7)

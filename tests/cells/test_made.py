"""Cells that are made of others by name: heads, systems, deep blocks; each against its equations in
NumPy.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import capax
from capax import cells
from capax.cells.cell import LinearCell
from capax.cells.contract import quickly
from capax.cells.sequence import Dense
from capax.errors import CapaxError, TooSmall
from capax.networks import ways
from capax.networks.network import Network
from capax.networks.parts import count_parameters, trainable

UNITS, INPUTS, OUTPUTS, STEPS, BATCH = 8, 3, 2, 20, 32
NAMES = [
    "heads-1",
    "heads-2",
    "heads-8",
    "system-diagonal",
    "system-diagonal_gamma",
    "system-lru",
    "system-s4d",
    "block-gru",
    "block-lru",
]
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}


def make(name, depth=1, units=UNITS, **kwargs):
    return Network.create(
        name, inputs=INPUTS, outputs=OUTPUTS, units=units, depth=depth, key=jax.random.key(1), **kwargs
    )


def values():
    return np.random.default_rng(0).normal(size=(STEPS, INPUTS, BATCH)).astype(np.float32)


def read_out(network, states, x):
    weight, bias, direct = (
        np.asarray(part, np.float64) for part in (network.readout.weight, network.readout.bias, network.direct)
    )
    return np.einsum("on,tnb->otb", weight, states) + bias[:, None, None] + np.einsum("oi,tib->otb", direct, x)


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_heads_are_a_block_diagonal_linear_system(heads):
    network, x = make(f"heads-{heads}"), values()
    layer, size = network.layers[0], UNITS // heads
    assert layer.W.shape == (heads, size, size)
    W, B = np.zeros((UNITS, UNITS)), np.asarray(layer.B, np.float64)
    for k in range(heads):
        W[k * size : (k + 1) * size, k * size : (k + 1) * size] = layer.W[k]
    h, states = np.zeros((UNITS, BATCH)), []
    for x_t in x:
        h = W @ h + B @ x_t
        states.append(h)
    np.testing.assert_allclose(network.run(Dense(jnp.asarray(x))), read_out(network, np.array(states), x), **ROUNDING)
    expected = UNITS * size + UNITS * INPUTS + UNITS + OUTPUTS * UNITS + OUTPUTS + OUTPUTS * INPUTS
    assert count_parameters(network) == expected


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("heads", [1, 2, 8])
def test_eigenvalues_of_heads_start_on_the_ring(heads):
    network = make(f"heads-{heads}", units=400, least_modulus=0.8, largest_phase=0.5)
    found = np.concatenate([np.linalg.eigvals(np.asarray(block, np.float64)) for block in network.layers[0].W])
    assert np.abs(found).min() > 0.8 - 1e-4 and np.abs(found).max() < 0.999 + 1e-4
    assert np.abs(np.angle(found)).max() < 0.5 + 1e-3
    # |lambda|^2 is uniform: its mean within five standard errors of pairs of eigenvalues
    low, high = 0.8**2, 0.999**2
    assert abs(np.mean(np.abs(found) ** 2) - (low + high) / 2) < 5 * (high - low) / 12**0.5 / 200**0.5


def test_one_unit_a_head_has_real_eigenvalues_of_both_signs():
    W = np.asarray(make("heads-400", units=400, least_modulus=0.5).layers[0].W)
    assert W.shape == (400, 1, 1) and (np.abs(W) >= 0.5 - 1e-6).all()
    assert 120 < (W > 0).sum() < 280  # eight standard deviations of 400 coins


@pytest.mark.parametrize("cell", ["diagonal", "diagonal_gamma", "lru", "s4d"])
def test_a_system_is_one_complex_diagonal_linear_system(cell):
    network, x = make(f"system-{cell}"), values()
    layer = network.layers[0]
    eigenvalues, gain, B = (
        np.asarray(real, np.complex128) + 1j * np.asarray(imaginary)
        for real, imaginary in (layer.eigenvalues(), layer.gain(), (layer.B_real, layer.B_imaginary))
    )
    assert eigenvalues.shape == gain.shape == (UNITS // 2,) and B.shape == (UNITS // 2, INPUTS)
    h, states = np.zeros((UNITS // 2, BATCH), complex), []
    for x_t in x:
        h = eigenvalues[:, None] * h + gain[:, None] * (B @ x_t)
        states.append(np.concatenate([h.real, h.imag]))
    np.testing.assert_allclose(network.run(Dense(jnp.asarray(x))), read_out(network, np.array(states), x), **ROUNDING)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("cell", ["gru", "lru"])
def test_a_block_is_norm_recurrence_gelu_glu_skip(cell):
    network, x = make(f"block-{cell}"), values()
    layer = eqx.tree_at(
        lambda l: (l.norm_scale, l.norm_bias, l.b_glu),
        network.layers[0],
        tuple(jnp.asarray(np.random.default_rng(k).normal(size=n), jnp.float32) for k, n in enumerate((8, 8, 16))),
    )
    network = eqx.tree_at(lambda n: n.layers, network, (layer,))
    u = np.einsum("ni,tib->tnb", network.entry.weight, x) + np.asarray(network.entry.bias)[:, None]
    normed = (u - u.mean(1, keepdims=True)) / np.sqrt(u.var(1, keepdims=True) + 1e-6)
    normed = normed * np.asarray(layer.norm_scale)[:, None] + np.asarray(layer.norm_bias)[:, None]
    inner = cells.get(cell)(UNITS, UNITS)
    names = [name for name in vars(inner) if name not in ("inputs", "units", "nonlinearity")]
    inner = eqx.tree_at(lambda c: [getattr(c, name) for name in names], inner, [getattr(layer, name) for name in names])
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:, None], (UNITS, BATCH)), inner.initial)
    expected = []
    for t in range(STEPS):
        state, y = inner.step(state, inner.project(jnp.asarray(normed[t], jnp.float32)))
        y = np.asarray(y, np.float64)
        gelu = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        a, b = np.split(np.asarray(layer.W_glu) @ gelu + np.asarray(layer.b_glu)[:, None], 2)
        expected.append(u[t] + a / (1 + np.exp(-b)))
    expected = (
        np.einsum("on,tnb->otb", network.readout.weight, np.array(expected))
        + np.asarray(network.readout.bias)[:, None, None]
    )
    np.testing.assert_allclose(network.run(Dense(jnp.asarray(x))), expected, rtol=1e-4, atol=3e-5)


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("name", NAMES)
def test_made_cells_looped_fused_and_all_at_once_agree_in_outputs_and_gradients(name):
    network, x = make(name, depth=2), jnp.asarray(values())
    moved = jax.tree.map(lambda h: h + 0.3, tuple(cell.initial for cell in network.layers))
    network = eqx.tree_at(lambda n: tuple(cell.initial for cell in n.layers), network, moved)
    trained, rest = eqx.partition(network, trainable(network))
    flat, unravel = ravel_pytree(trained)

    def gradient(way):
        def loss(flat):
            return jnp.sum(jnp.sin(eqx.combine(unravel(flat), rest).run(Dense(x), 3, way)))

        return quickly(jax.value_and_grad(loss))(flat)

    looped = gradient(ways.usual(type(network.layers[0]), STEPS, backend="cpu"))
    found = []
    if isinstance(network.layers[0], LinearCell):
        found.append(gradient(ways.AT_ONCE))
    try:
        found.append(gradient(ways.KERNELS))
    except CapaxError as error:  # left to the compiled program
        assert name == "heads-2" and "batched product" in str(error)
    scale = np.abs(np.asarray(looped[1])).max()
    assert scale > 0
    for value, slope in found:
        np.testing.assert_allclose(value, looped[0], rtol=1e-4)
        np.testing.assert_allclose(slope, looped[1], rtol=1e-3, atol=1e-5 * scale)


def test_units_are_a_multiple_of_heads():
    size = capax.size("heads-6", budget=1000, inputs=1, outputs=1)
    assert size.units % 6 == 0 and size.parameters <= 1000
    more = capax.Network.create("heads-6", inputs=1, outputs=1, units=size.units + 6, key=jax.random.key(0))
    assert count_parameters(more) > 1000
    with pytest.raises(CapaxError, match="needs a multiple of 6 units, not 7"):
        make("heads-6", units=7)
    with pytest.raises(TooSmall, match="6 units per layer"):
        capax.size("heads-6", budget=10, inputs=1, outputs=1)


def test_names_that_make_no_cell_are_refused():
    for name, reason in {
        "heads-0": "number of heads",
        "heads-x": "number of heads",
        "system-gru": "only a diagonal cell",
        "block-heads-2": "does not go into a block",
        "block-block-gru": "does not go into a block",
        "block-gruu": "did you mean 'gru'",
    }.items():
        with pytest.raises(CapaxError, match=reason):
            cells.get(name)
    assert cells.get("block-gru") is cells.get("block-gru")

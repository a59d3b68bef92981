"""Operations counted in traced programs against closed forms, and the textbook's numbers."""

import jax
import jax.numpy as jnp
import pytest

from capax.cells import get
from capax.cells.sequence import Dense
from capax.networks.network import Network
from capax.theory import costs
from capax.theory.costs import Operations, operations


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def step_of(cell, inputs, units):
    """One step of a cell for one sequence, its input's projection included."""
    made = get(cell)(inputs, units)
    state = jax.tree.map(lambda leaf: shape(*leaf.shape, 1), made.initial)
    return operations(lambda state, x: made.step(state, made.project(x)), state, shape(inputs, 1))


def test_products_functions_and_sums_are_counted_by_hand():
    W, x = shape(3, 5), shape(5, 7)
    assert operations(lambda W, x: W @ x, W, x) == Operations(products=2 * 3 * 5 * 7)
    assert operations(lambda W, x: jnp.tanh(W @ x) + 1.0, W, x) == Operations(2 * 3 * 5 * 7, 21, 21)
    assert operations(lambda x: jnp.sum(x * x, axis=0), x) == Operations(elementwise=35 + 28)
    assert operations(lambda x: x**3, x) == Operations(elementwise=2 * 35)
    assert operations(lambda x: jnp.reshape(x, (7, 5)).T, x) == Operations()


def test_a_loop_counts_each_of_its_steps_and_of_branches_the_dearest():
    def loop(x):
        return jax.lax.scan(lambda h, _: (jnp.tanh(h) * 2.0, None), x, None, length=9)[0]

    assert operations(loop, shape(4)) == Operations(elementwise=36, functions=36)
    assert operations(lambda x: jax.lax.cond(x[0] > 0, jnp.exp, lambda y: 1.0 + 2.0 * y, x), shape(4)).total in (8, 9)
    with pytest.raises(ValueError, match="does not say how many steps"):
        operations(lambda x: jax.lax.while_loop(lambda y: y[0] < 1, lambda y: y + 1, x), shape(4))


@pytest.mark.parametrize(("inputs", "units"), [(128, 256), (3, 5)])
def test_plain_and_gated_steps_have_their_closed_forms(inputs, units):
    n, i = units, inputs
    assert step_of("rnn", i, n) == costs.rnn(i, n)
    # UGRNN: two maps; sigma is 0.5 tanh(0.5 x) + 0.5, so 3 elementwise; forget bias, g h + (1 - g)
    # c
    assert step_of("ugrnn", i, n) == Operations(2 * 2 * n * (n + i), 2 * 2 * n + n + 3 * n + 4 * n, 2 * n)
    # GRU: r, u, c; the reset gate acts before the matrix
    gru = step_of("gru", i, n)
    assert gru.products == 3 * 2 * n * (n + i) and gru.functions == 3 * n
    assert (
        gru.elementwise == 3 * 2 * n + n + 2 * 3 * n + n + 4 * n
    )  # sums, forget bias, two gates, r h, u h + (1 - u) c
    # LSTM: i, f, o, c_in; f c + i c_in, o tanh(c)
    lstm = step_of("lstm", i, n)
    assert lstm.products == 4 * 2 * n * (n + i) and lstm.functions == 5 * n
    assert lstm.elementwise == 4 * 2 * n + n + 3 * 3 * n + 3 * n + n


def test_a_users_cell_is_counted_without_help():
    found = step_of("tests.cells.examples:Declared", 4, 6)
    assert found.products == 2 * 2 * 6 * (6 + 4) and found.total > found.products


def test_the_textbook_s_plain_network():
    found = costs.rnn(128, 256)
    assert found.products + found.functions == 196_864
    assert 50 * (found.products + found.functions) == 9_843_200
    assert 32 * 9_843_200 == 314_982_400  # 313.6 MFLOP by the source's rounding
    assert costs.parameters_of_rnn(128, 256, 10_000, biases=2) == 2_668_816


def test_the_textbook_s_parameters():
    assert costs.parameters_of_gates(512, 512, 4) == 2_099_200
    assert costs.parameters_of_gates(512, 512, 3) == 1_574_400
    assert costs.parameters_of_attention(512) == 1_048_576


def test_the_textbook_s_bytes():
    assert costs.state_bytes(32, 512, 768, states=2) == 100_663_296
    assert 2 * costs.state_bytes(1, 6, 32, states=2) == 3_072
    assert costs.attention_score_bytes(6, 8) == 1_152


def test_kept_bytes_grow_with_the_length_of_a_plain_loop():
    network = Network.create("rnn", inputs=2, outputs=1, units=8, key=jax.random.key(0))
    cell = network.layers[0]

    def loss(cell, x):
        h = jax.lax.scan(lambda h, p: cell.step(h, p), jnp.zeros((8, 3)), jax.vmap(cell.project)(x))[0]
        return jnp.sum(h)

    one, two = (costs.kept_bytes(lambda x: loss(cell, x), shape(length, 2, 3)) for length in (10, 20))
    # what grows: at each step at least tanh's output, of 8 units for 3 sequences
    assert two - one >= 10 * 8 * 3 * 4


def test_what_a_loop_multiplies_by_its_weights_is_counted_at_every_length():
    network = jax.eval_shape(lambda: Network(get("lstm"), inputs=3, outputs=2, depth=2, units=8))
    expected = costs.lstm(3, 8) + costs.lstm(8, 8) + costs.linear(8, 2)
    for length in (1, 10, 100):  # unrolled, and in blocks
        found = operations(lambda network, x: network.run(Dense(x)), network, shape(length, 3, 1))
        assert found == expected.times(length)


@pytest.mark.parametrize(("units", "length"), [(16, 10), (64, 33)])
@pytest.mark.parametrize("name", ["transformer", "transformer-encoder"])
def test_transformers_have_their_closed_form(name, units, length):
    network = jax.eval_shape(lambda: Network(get(name), inputs=3, outputs=2, depth=2, units=units))
    found = operations(lambda network, x: network.run(Dense(x)), network, shape(length, 3, 1))
    layer = costs.transformer(units, length, causal=name == "transformer")
    ends = (costs.linear(3, units) + costs.linear(units, 2)).times(length)
    assert found == layer.times(2) + costs.final_norm(units, length) + ends


def test_what_makes_numbers_of_numbers_counts_though_nobody_listed_it():
    assert operations(lambda x: jnp.fft.fft(x), shape(8)).total >= 8


def test_kept_bytes_leave_arguments_out():
    # of W x: W and x themselves, which the caller has anyway
    assert costs.kept_bytes(lambda W, x: W @ x, shape(3, 5), shape(5, 7)) == 0
    assert costs.kept_bytes(lambda x: jnp.sin(x), shape(10)) == 40


def test_complex_numbers_negative_powers_and_factorisations_have_their_price():
    z = jax.ShapeDtypeStruct((3, 3), jnp.complex64)
    assert operations(lambda z: z @ z, z) == Operations(products=4 * 2 * 27)
    assert operations(lambda z: z * z, z).elementwise == 6 * 9
    assert (
        operations(lambda x: x**-1, shape(5)).elementwise == 5
        and operations(lambda x: x**-2, shape(5)).elementwise == 10
    )
    assert operations(jnp.linalg.cholesky, shape(30, 30)).products == 30**3 // 3


def test_transposed_copies_of_arguments_are_no_activations():
    assert costs.kept_bytes(lambda W, x: jnp.sin(W).T @ x, shape(3, 5), shape(3, 7)) == 2 * 4 * 15  # cos W, sin W
    network = jax.eval_shape(lambda: Network(get("lstm"), inputs=1, outputs=1, depth=1, units=64))
    one, two = (
        costs.kept_bytes(
            lambda n, x: n.run(Dense(x), way=n.usual_way(x.shape[0], checkpoint_every=0)), network, shape(length, 1, 1)
        )
        for length in (64, 128)
    )
    assert 1.9 < two / one < 2.1

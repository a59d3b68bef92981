"""Sizing gives the largest network within a budget, for any cell, and counts every trainable
parameter.
"""

import equinox as eqx
import jax
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from capax import cells, networks
from capax.errors import CapaxError
from capax.networks.network import Network
from capax.networks.parts import count_parameters, trainable
from capax.networks.sizing import parameters

DEPTHS = (1, 2, 4, 8)
# Matrices W_h (with W_x and b beside each) and learned initial vectors of one layer.
MATRICES = {"rnn": 1, "irnn": 1, "ugrnn": 2, "gru": 3, "lstm": 4, "intersection": 4}
CELLS = [*MATRICES, "lru"]
VECTORS = {name: 2 if name == "lstm" else 1 for name in MATRICES}


def closed_form(cell, n, inputs, outputs, depth):
    """The number of parameters by hand: n units, all layers, initial states, entry map, and
    readout.
    """
    if cell == "lru":  # B and C are complex, D is real; three vectors for the eigenvalues and gamma, two for the state
        layers = sum(2 * n * width + 2 * n * n + n * width + 3 * n + 2 * n for width in [inputs] + [n] * (depth - 1))
        return layers + outputs * n + outputs
    square = cell == "intersection"
    widths = [n if square else inputs] + [n] * (depth - 1)
    layers = sum(MATRICES[cell] * (n * n + n * width + n) + VECTORS[cell] * n for width in widths)
    return layers + (n * inputs + n if square else 0) + (outputs * n + outputs)


def counted_leaves(cell, n, inputs, outputs, depth):
    """The number of parameters in the arrays of the constructed network; the scalars are not
    trained.
    """
    network = eqx.filter_eval_shape(Network, cells.get(cell), inputs=inputs, outputs=outputs, depth=depth, units=n)
    return sum(leaf.size for leaf in jax.tree.leaves(network) if getattr(leaf, "ndim", 0) > 0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    cell=st.sampled_from(CELLS),
    depth=st.sampled_from(DEPTHS),
    budget=st.integers(1, 300_000),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 70),
)
@example("gru", 1, closed_form("gru", 13, 5, 3, 1), 5, 3)  # a budget that is met exactly
@example("lstm", 8, closed_form("lstm", 2, 5, 3, 8) - 1, 5, 3)  # a budget that two units miss by one
def test_the_size_is_the_largest_within_the_budget(cell, depth, budget, inputs, outputs):
    assume(cell != "intersection" or depth > 1)
    sizes = {"inputs": inputs, "outputs": outputs, "depth": depth}
    if closed_form(cell, 1, **sizes) > budget:
        with pytest.raises(CapaxError, match="too small"):
            networks.size(cell, budget=budget, **sizes)
        return
    found = networks.size(cell, budget=budget, **sizes)
    assert found.parameters == closed_form(cell, found.units, **sizes) == counted_leaves(cell, found.units, **sizes)
    assert found.parameters <= budget < closed_form(cell, found.units + 1, **sizes)
    assert (found.cell, found.depth, found.budget) == (cell, depth, budget)


@pytest.mark.grid(keep=12)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_built_in_cell_is_sized_at_every_depth(cell, depth):
    if cell == "intersection" and depth == 1:
        with pytest.raises(CapaxError, match="depth of at least 2") as caught:
            networks.size(cell, budget=10_000, inputs=27, outputs=27, depth=1)
        assert "\n" not in str(caught.value)
        return
    found = networks.size(cell, budget=10_000, inputs=27, outputs=27, depth=depth)
    assert closed_form(cell, found.units, 27, 27, depth) <= 10_000 < closed_form(cell, found.units + 1, 27, 27, depth)


@pytest.mark.parametrize("cell", CELLS)
def test_a_created_network_has_the_parameters_that_were_counted(cell):
    network = Network.create(cell, inputs=3, outputs=2, depth=2, budget=500, key=jax.random.key(0))
    found = networks.size(cell, budget=500, inputs=3, outputs=2, depth=2)
    leaves = jax.tree.leaves(eqx.filter(network, trainable(network)))
    assert sum(leaf.size for leaf in leaves) == count_parameters(network) == found.parameters
    assert {layer.units for layer in network.layers} == {found.units}


LOW_RANK = """
import capax
import jax.numpy as jnp
from jaxtyping import Array

class LowRank(capax.Cell):
    '''h' = s(U V h + a h + W_x x + b), U V of rank 2: 2 * 2 n + n parameters that no declaration mentions.'''

    nonlinearities = ("tanh",)
    U: Array
    V: Array
    a: Array
    W: Array
    b: Array

    def __init__(self, inputs, units, nonlinearity=None, key=None):
        super().__init__(inputs, units, nonlinearity, key)
        self.U, self.V, self.a = jnp.zeros((units, 2)), jnp.zeros((2, units)), jnp.zeros(units)
        self.W, self.b = jnp.zeros((units, inputs)), jnp.zeros(units)

    def project(self, x):
        return jnp.tensordot(self.W, x, 1) + self.b[:, None]

    def step(self, h, projected):
        h = self.s(self.U @ (self.V @ h) + self.a[:, None] * h + projected)
        return h, h
"""


def test_a_users_cell_is_sized_without_saying_how_many_parameters_it_has(tmp_path, monkeypatch):
    (tmp_path / "low_rank_cell.py").write_text(LOW_RANK)
    monkeypatch.syspath_prepend(tmp_path)

    def by_hand(n):  # two layers with 5 and n inputs; each has U, V, a, W, b, and the initial state
        return (4 * n + n + 5 * n + n + n) + (4 * n + n + n * n + n + n) + (3 * n + 3)

    found = networks.size("low_rank_cell:LowRank", budget=2000, inputs=5, outputs=3, depth=2)
    assert found.cell == "low_rank_cell:LowRank"
    assert found.parameters == by_hand(found.units) <= 2000 < by_hand(found.units + 1)


def test_a_plain_equinox_cell_is_sized():
    def by_hand(n):  # weight_ih, weight_hh, bias, bias_n, initial state; readout
        return 3 * n * 5 + 3 * n * n + 3 * n + n + n + (3 * n + 3)

    found = networks.size("equinox.nn:GRUCell", budget=1000, inputs=5, outputs=3)
    assert found.parameters == by_hand(found.units) <= 1000 < by_hand(found.units + 1)


def test_a_cell_class_is_sized_like_its_name():
    sizes = {"inputs": 5, "outputs": 3, "depth": 2}
    by_class = networks.size(cells.get("ugrnn"), budget=700, **sizes)
    assert by_class.units == networks.size("ugrnn", budget=700, **sizes).units and by_class.cell == "UGRNN"
    assert parameters("ugrnn", units=by_class.units, **sizes) == by_class.parameters


def test_a_cell_whose_size_does_not_grow_is_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "constant_cell.py").write_text(
        "import capax, jax.numpy as jnp\n"
        "class Constant(capax.Cell):\n"
        "    nonlinearities = ()\n"
        "    def __init__(self, inputs, units, nonlinearity=None, key=None):\n"
        "        super().__init__(inputs, units, nonlinearity, key)\n"
        "    def project(self, x):\n"
        "        return x[:1] * jnp.ones((self.units, 1))\n"
        "    def step(self, h, projected):\n"
        "        return h, h + projected\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cell = cells.get("constant_cell:Constant")
    monkeypatch.setattr("capax.networks.sizing.count_on_shapes", lambda *_, **__: 7)
    with pytest.raises(CapaxError, match="cannot be sized"):
        networks.size(cell, budget=1000, inputs=2, outputs=1)


@pytest.mark.parametrize("name", ["budget", "inputs", "outputs", "depth"])
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_one_are_refused_in_one_line_that_names_them(name, value):
    with pytest.raises(CapaxError) as caught:
        networks.size("gru", **{"budget": 1000, "inputs": 3, "outputs": 2, "depth": 1, name: value})
    assert str(caught.value) == f"{name} must be at least 1, not {value}."


def test_a_budget_too_small_for_one_unit_says_what_one_unit_takes():
    least = closed_form("lstm", 1, 3, 2, 4)
    with pytest.raises(CapaxError) as caught:
        networks.size("lstm", budget=least - 1, inputs=3, outputs=2, depth=4)
    line = str(caught.value)
    assert "\n" not in line and f"budget of {least - 1}" in line and f"takes {least}" in line
    assert networks.size("lstm", budget=least, inputs=3, outputs=2, depth=4).units == 1


def test_an_unknown_cell_is_refused_in_one_line():
    with pytest.raises(CapaxError, match="unknown cell 'grv'") as caught:
        networks.size("grv", budget=1000, inputs=3, outputs=2)
    assert "\n" not in str(caught.value)

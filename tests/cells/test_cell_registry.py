"""Cells by name: built-in ones, a user's own, and what a user is told where that one is wrong."""

import itertools
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capax import cells
from capax.cells.cell import Cell, Layer
from capax.cells.sequence import Dense
from capax.errors import CapaxError, UserCodeError
from capax.networks.network import Network

NUMBER = itertools.count()

LEAKY = """
    import capax
    import jax.numpy as jnp

    class Leaky(capax.Cell):
        '''h' = a h + (1 - a) s(W_h h + W_x x + b).'''

        hidden: capax.Affine = capax.affine("hidden")
        leak: object = capax.hyperparameter(0.1, 0.9, default=0.5)

        def project(self, x):
            return self.hidden.project(x)

        def step(self, h, projected):
            h = self.leak * h + (1 - self.leak) * self.s(self.hidden.recur(h, projected))
            return {result}
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of a fresh name that Python can import; the name, and what to take for a class
    in it.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def write(source):
        name = f"users_cells_{next(NUMBER)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return write


def refused(name):
    """The error of a cell that cannot be had, which must be one line that names the cell."""
    with pytest.raises(CapaxError) as caught:
        cells.get(name)
    line = str(caught.value)
    assert "\n" not in line and name in line
    return caught.value


def test_built_in_cells_have_their_names():
    of_collins = ["rnn", "irnn", "ugrnn", "gru", "lstm", "intersection"]
    assert list(cells.BUILT_IN)[:6] == of_collins
    assert {"linear", "diagonal", "diagonal_gamma", "lru", "s4d", "chrono", "transformer"} <= set(cells.BUILT_IN)
    for name, cell in cells.BUILT_IN.items():
        assert cells.get(name) is cell and issubclass(cell, Layer)


def test_an_unknown_name_lists_the_known_ones_and_suggests_the_closest():
    line = str(refused("gruu"))
    assert "did you mean 'gru'?" in line and "module.path:Class" in line
    assert all(name in line for name in cells.BUILT_IN)


def test_a_users_cell_is_loaded_by_its_module_path_and_does_what_it_says(module):
    cell = cells.get(f"{module(LEAKY.format(result='h, h'))}:Leaky")
    assert issubclass(cell, Cell) and cell.__name__ == "Leaky"
    network = Network.create(cell, inputs=2, outputs=1, units=3, key=jax.random.key(0), leak=0.25, bias_scale=0.5)
    x, h = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32), np.zeros(3)
    a = network.layers[0].hidden
    for x_t, output in zip(x, network(jnp.asarray(x)), strict=True):
        h = 0.25 * h + 0.75 * np.tanh(np.asarray(a.recurrent) @ h + np.asarray(a.input) @ x_t + np.asarray(a.bias))
        np.testing.assert_allclose(output, np.asarray(network.readout.weight) @ h + network.readout.bias, atol=1e-5)


def test_a_users_cell_is_loaded_once(module):
    name = f"{module(LEAKY.format(result='h, h'))}:Leaky"
    assert cells.get(name) is cells.get(name)


def test_a_users_cell_is_found_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "cells_of_this_directory.py").write_text(textwrap.dedent(LEAKY.format(result="h, h")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/nowhere")  # puts back sys.path, to which the registry adds the working directory
    assert cells.get("cells_of_this_directory:Leaky").__name__ == "Leaky"


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("plain", ["GRUCell", "LSTMCell"])
@pytest.mark.parametrize("steps", [3, 20], ids=["unrolled", "scanned"])
def test_a_plain_equinox_cell_gives_the_same_as_calling_it_in_a_loop(plain, steps):
    network = Network.create(f"equinox.nn:{plain}", inputs=2, outputs=1, units=3, depth=2, key=jax.random.key(1))
    x = np.random.default_rng(0).normal(size=(steps, 2, 2)).astype(np.float32)
    outputs = eqx.filter_jit(Network.run)(network, Dense(jnp.asarray(x)))

    for sample in range(2):
        sequence = [jnp.asarray(x_t) for x_t in x[:, :, sample]]
        for layer in network.layers:
            assert isinstance(layer.cell, getattr(eqx.nn, plain))
            zeros, call = jnp.zeros(3), eqx.filter_jit(layer.cell)
            state, above = (zeros if plain == "GRUCell" else (zeros, zeros)), []
            for x_t in sequence:
                state = call(x_t, state)
                above.append(jax.tree.leaves(state)[0])
            sequence = above
        expected = [network.readout(h) for h in sequence]
        # The same operations, one sample at a time: rounding may differ by a few units in the last
        # place.
        np.testing.assert_allclose(outputs[:, :, sample], np.stack(expected, axis=1), rtol=1e-5, atol=1e-6)


def test_the_parameters_of_a_plain_cell_differ_between_layers_and_keys():
    def weights(key):
        network = Network.create("equinox.nn:GRUCell", inputs=3, outputs=1, units=3, depth=2, key=jax.random.key(key))
        return [np.asarray(layer.cell.weight_hh) for layer in network.layers]

    below, above = weights(0)
    assert np.any(below != above) and np.any(below != weights(1)[0])


@pytest.mark.parametrize("name", ["module:", ":Class", "a b:Class", "module:Two.Classes", "a..b:C"])
def test_a_malformed_path_is_told_its_form(name):
    assert "module.path:Class" in str(refused(name))


@pytest.mark.parametrize("name", ["no_such_module_anywhere:Cell", "equinox.no_such_part:Cell"])
def test_a_missing_module_is_named(name):
    error = refused(name)
    assert not isinstance(error, UserCodeError) and name.split(":")[0] in str(error)


def test_a_module_that_raises_on_import_shows_its_own_frames(module):
    name = module("""
        def prepare():
            raise RuntimeError("no\\nway")

        prepare()
    """)
    error = refused(f"{name}:Cell")
    assert isinstance(error, UserCodeError) and "RuntimeError: no" in str(error)
    assert f"{name}.py" in error.user_traceback and "in prepare" in error.user_traceback
    assert "capax/cells" not in error.user_traceback and "importlib" not in error.user_traceback


@pytest.mark.parametrize("source", ["import no_such_dependency", "from math import no_such_thing", "def broken(:"])
def test_a_module_whose_own_imports_or_syntax_fail_is_blamed_by_name(module, source):
    error = refused(f"{module(source)}:Cell")
    assert isinstance(error, UserCodeError) and "importing" in str(error)


def test_a_missing_class_is_told_what_the_module_defines(module):
    line = str(refused(f"{module(LEAKY.format(result='h, h'))}:Leeky"))
    assert "did you mean 'Leaky'?" in line


@pytest.mark.parametrize("thing", ["Thing = 3", "def Thing(): ...", "class Thing: ..."])
def test_what_is_no_cell_is_refused(module, thing):
    refused(f"{module(thing)}:Thing")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("h[:-1], h", "(3, 3)"),  # state of a wrong shape
        ("h.astype(jnp.float16), h", "float16"),  # of a wrong type
        ("(h, h), h", "structure"),  # of a wrong structure
        ("h, h[:-1]", "(3, 3)"),  # output of a wrong shape
        ("h, h[0]", "output has shape (3,)"),
        ("h, (h, h)", "output has shape None"),
    ],
)
def test_a_step_that_breaks_the_contract_is_told_how(module, result, said):
    error = refused(f"{module(LEAKY.format(result=result))}:Leaky")
    assert isinstance(error, UserCodeError) and said in str(error)


@pytest.mark.parametrize("result", ["h", "h @ h @ undefined, h", "1 / 0", "jnp.ones(7) + h, h", "None"])
def test_a_step_that_raises_or_returns_no_pair_is_one_line(module, result):
    assert isinstance(refused(f"{module(LEAKY.format(result=result))}:Leaky"), UserCodeError)


def test_a_step_that_raises_shows_the_users_frames_alone(module):
    name = module("""
        import equinox as eqx
        import jax.numpy as jnp

        class Broken(eqx.Module):
            def __init__(self, inputs, units, *, key): ...

            def __call__(self, x, h):
                return self.deeper(h)

            def deeper(self, h):
                raise ValueError("too deep")
    """)
    error = refused(f"{name}:Broken")
    assert isinstance(error, UserCodeError) and "ValueError: too deep" in str(error)
    assert f"{name}.py" in error.user_traceback and "in deeper" in error.user_traceback
    assert "capax/cells" not in error.user_traceback


def test_declarations_that_make_no_sense_are_refused_when_the_class_is_written():
    with pytest.raises(ValueError, match="block names"):
        cells.affine()
    with pytest.raises(ValueError, match="identity"):
        cells.affine("hidden", recurrent=("uniform",))
    with pytest.raises(ValueError, match="low"):
        cells.hyperparameter(1.0, 0.0, default=0.5)
    with pytest.raises(ValueError, match="log"):
        cells.hyperparameter(0.0, 1.0, default=0.5, log=True)


def test_a_nonlinearity_that_the_cell_does_not_declare_is_refused():
    with pytest.raises(CapaxError, match="tanh"):
        cells.get("irnn")(2, 3, "tanh")
    with pytest.raises(AttributeError, match="declares no nonlinearities"):
        _ = cells.get("intersection")(3, 3).s


@pytest.mark.parametrize(
    ("methods", "missing"),
    [
        ("def step(self, h, projected): return h, h", "write project in"),
        ("def project(self, x): return x", "write step in"),
        ("", "write project and step in"),
    ],
)
def test_a_cell_without_project_or_step_is_told_which(module, methods, missing):
    name = module(f"""
        import capax

        class Half(capax.Cell):
            'Not all of it.'
            {methods}
    """)
    assert f"{missing} Half" in str(refused(f"{name}:Half"))


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ("maps = capax.affine('candidate')", "write 'maps: Affine = ...'"),
        ("leak = capax.hyperparameter(0.0, 1.0, default=0.5)", "write 'leak: Array = ...'"),
        ("forget_bias = capax.forget_bias()", "write 'forget_bias: Array = ...'"),
    ],
)
def test_a_declaration_without_an_annotation_is_told_to_have_one(module, declaration, said):
    name = module(f"""
        import capax

        class Forgetful(capax.Cell):
            {declaration}
    """)
    line = str(refused(f"{name}:Forgetful"))
    assert "Forgetful" in line and said in line


def test_a_cell_with_a_parameter_of_its_own_as_the_contract_explains_it(module):
    name = module("""
        from typing import ClassVar

        import equinox as eqx
        import jax
        import jax.numpy as jnp
        from capax import Affine, Cell, affine, column

        class IndRNN(Cell):
            nonlinearities: ClassVar[tuple[str, ...]] = ("relu",)
            inward: Affine = affine("inward", recurrent=("identity",))
            scale: jax.Array

            def __init__(self, inputs, units, nonlinearity=None, key=None):
                super().__init__(inputs, units, nonlinearity, key)
                self.scale = jnp.zeros((units,))

            def drawn(self, key):
                return eqx.tree_at(lambda cell: cell.scale, self, jax.random.uniform(key, (self.units,)))

            def project(self, x):
                return self.inward.project(x)

            def step(self, h, projected):
                h = self.s(column(self.scale, h.ndim) * h + projected)
                return h, h
    """)
    network = Network.create(f"{name}:IndRNN", inputs=2, outputs=1, units=3, key=jax.random.key(0))
    cell, x = network.layers[0], np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    u = np.asarray(cell.scale)
    assert np.all((u > 0) & (u < 1)) and len(set(u)) == 3
    h = np.zeros(3)
    for x_t, output in zip(x, network(jnp.asarray(x)), strict=True):
        h = np.maximum(u * h + np.asarray(cell.inward.input) @ x_t + np.asarray(cell.inward.bias), 0)
        np.testing.assert_allclose(output, np.asarray(network.readout.weight) @ h + network.readout.bias, atol=1e-5)

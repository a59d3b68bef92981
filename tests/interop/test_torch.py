"""PyTorch state dicts in and out, against PyTorch's documented equations in NumPy, and against
PyTorch where `.venv-torch` has it (`make .venv-torch/.installed`).
"""

import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capax
from capax import CapaxError
from capax.cells import Wiring
from capax.interop.torch import from_state_dict, to_state_dict
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.training.model import Model
from tests.interop import torch_layers as by_hand
from tests.interop.torch_layers import INPUTS, LENGTHS, OUTPUTS, STEPS, UNITS, kind_of, sequences, state_dict
from tests.networks.random_networks import randomise

CASES = [(case, depth, directions) for case in by_hand.BLOCKS for depth in (1, 2) for directions in (1, 2)]
TOLERANCE = 1e-6
"""Of the largest output. Float32 resolves 6e-8 of each number, and a few dozen operations add
up.
"""
PYTHON = Path(__file__).parents[2] / ".venv-torch" / "bin" / "python"


AS_USERS_HAVE_IT = {"in": from_state_dict.__wrapped__, "out": to_state_dict.__wrapped__}
"""Without the check of types at each call that the tests add."""


def read(case, state, **options):
    kind, nonlinearity = kind_of(case)
    return from_state_dict(state, kind, nonlinearity=nonlinearity, **options)


def outputs_of(net, x=None, lengths=LENGTHS):
    x = sequences() if x is None else x
    return np.asarray(eqx.filter_jit(type(net).__call__)(net, jnp.asarray(x), jnp.asarray(lengths)))


def assert_equal(found, expected):
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize(("case", "depth", "directions"), CASES)
def test_a_state_dict_becomes_a_network_with_pytorchs_outputs_on_ragged_batches(case, depth, directions):
    state = state_dict(case, depth, directions)
    assert_equal(outputs_of(read(case, state)), by_hand.outputs(case, state, depth, directions, sequences()))


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("case", by_hand.BLOCKS)
@pytest.mark.parametrize("directions", [1, 2])
def test_without_a_readout_outputs_are_those_of_the_top_layer(case, directions):
    state = {name: array for name, array in state_dict(case, 2, directions).items() if "head" not in name}
    bare = {name.removeprefix("rnn."): array for name, array in state.items()}  # of nn.GRU alone
    expected = by_hand.outputs(case, state, 2, directions, sequences(), head=None)
    assert_equal(outputs_of(read(case, bare)), expected)


def effective(state):
    """What PyTorch computes with: biases that are only ever added are one."""
    found = dict(state)
    for name in state:
        if "bias_ih" in name:
            other, rows = name.replace("_ih_", "_hh_"), len(state[name])
            units = state[name.replace("bias_ih", "weight_hh")].shape[1]
            added = slice(0, 2 * units if rows == 3 * units else rows)
            found[name], found[other] = np.array(state[name]), np.array(state[other])
            found[name][added] += state[other][added]
            found[other][added] = 0
    return found


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize(("case", "depth", "directions"), CASES)
def test_a_state_dict_comes_back_with_the_same_effective_weights_to_the_bit(case, depth, directions):
    state = state_dict(case, depth, directions)
    found = to_state_dict(read(case, state), readout="head")
    assert list(found) == list(state)
    for name, array in effective(state).items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    again = to_state_dict(read(case, found), readout="head")
    assert all((again[name] == found[name]).all() for name in found)


CELLS = {"rnn": "rnn", "relu": "irnn", "gru": "gru-reset-after", "lstm": "lstm"}


def ours(case, depth, directions, **wiring):
    """A network of our own, learned initial states and forget biases included."""
    kind, sizes = (Network, Bidirectional)[directions - 1], {"inputs": INPUTS, "outputs": OUTPUTS, "units": UNITS}
    key = jax.random.key(0)
    net = kind.create(CELLS[case], depth=depth, key=key, wiring=Wiring(**wiring) if wiring else None, **sizes)
    return randomise(net)


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize(("case", "depth", "directions"), CASES)
def test_a_network_goes_out_with_its_initial_states_and_forget_bias(case, depth, directions):
    net = ours(case, depth, directions)
    state = to_state_dict(net, readout="head")
    assert state["initial_h"].shape == (depth * directions, UNITS) and ("initial_c" in state) == (case == "lstm")
    found = outputs_of(net)
    assert_equal(by_hand.outputs(case, state, depth, directions, sequences()), found)
    back = read(case, state)
    assert type(back) is type(net)
    assert_equal(outputs_of(back), found)


def test_initial_states_may_have_the_shape_of_h_0():
    state = to_state_dict(ours("lstm", 2, 1))
    wide = {name: array[:, None] if "initial" in name else array for name, array in state.items()}
    np.testing.assert_array_equal(outputs_of(read("lstm", wide)), outputs_of(read("lstm", state)))


def test_initial_states_of_zero_are_left_out_so_that_a_plain_module_loads_it():
    net = Network.create("lstm", inputs=2, outputs=1, units=3, key=jax.random.key(0))
    names = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    assert set(to_state_dict(net, layer="", readout=None)) == names


@pytest.mark.parametrize("directions", [1, 2])
def test_an_embedding_goes_out_and_in_as_a_linear_map(directions):
    net = ours("gru", 2, directions, embedding=4)
    state = to_state_dict(net)
    assert state["entry.weight"].shape == (4, INPUTS)
    assert_equal(outputs_of(read("gru", state)), outputs_of(net))


def test_a_model_goes_out_as_its_network_does():
    net, model = ours("rnn", 1, 1), object.__new__(Model)
    object.__setattr__(model, "network", net)  # its card is not read
    state = to_state_dict(model)
    assert all((array == state[name]).all() for name, array in to_state_dict(net).items())


def test_layers_without_biases_have_biases_of_zero():
    state = state_dict("gru", 2, 2)
    without = {name: array for name, array in state.items() if "rnn.bias" not in name and name != "head.bias"}
    zero = {name: np.zeros_like(array) if "bias" in name else array for name, array in state.items()}
    np.testing.assert_array_equal(outputs_of(read("gru", without)), outputs_of(read("gru", zero)))


class Tensor:
    """What a tensor of another program shows of itself."""

    def __init__(self, array, error=None):
        self.held, self.error = array, error
        self.ndim, self.shape = array.ndim, array.shape

    def __array__(self, dtype=None, copy=None):
        if self.error:
            raise TypeError(self.error)
        return self.held


def test_tensors_are_taken_as_arrays_in_any_float_type_behind_any_prefix():
    state = state_dict("lstm", 2, 2)
    tensors = {f"module.{name}": Tensor(array.astype(np.float64)) for name, array in state.items()}
    net = read("lstm", tensors)
    assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(net, eqx.is_array))} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(outputs_of(net), outputs_of(read("lstm", state)))


def test_the_example_in_the_docstring_runs():
    example = (from_state_dict.__doc__ or "").rpartition("does not.\n\n")[2]
    names = {"np": np, "jax": jax, "capax": capax}
    exec(textwrap.dedent(example), names)
    assert names["net"](jax.numpy.zeros((7, 3))).shape == (7, 4)


def test_a_format_is_imported_when_it_is_first_used():
    script = (
        "import capax; print(callable(capax.interop.torch.to_state_dict), callable(capax.interop.keras.from_weights))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "True True\n"
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        capax.interop.nonsense  # noqa: B018


def changed(**arrays):
    return lambda state: state | {name.replace("__", "."): array for name, array in arrays.items()}


def without(*names):
    return lambda state: {name: array for name, array in state.items() if name not in names}


REFUSED = {
    "no layer": (
        lambda state: {"head.weight": state["head.weight"]},
        {},
        r"holds no recurrent layer: .* has head.weight",
    ),
    "empty": (lambda state: {}, {}, "holds no recurrent layer: .* has nothing"),
    "another kind": (
        lambda state: state,
        {"kind": "lstm"},
        r"rnn.weight_hh_l0 has shape \(15, 5\), but a lstm .*kind='gru'",
    ),
    "an unknown kind": (lambda state: state, {"kind": "grus"}, r"unknown kind 'grus' \(did you mean 'gru'\?\)"),
    "ReLU": (lambda state: state, {"nonlinearity": "relu"}, "PyTorch's gru has no nonlinearity 'relu', but tanh alone"),
    "a missing name": (without("rnn.bias_hh_l1"), {}, "no rnn.bias_hh_l1, of layer 1 of a gru with 5 units"),
    "no recurrent matrix": (without("rnn.weight_hh_l0"), {}, "no rnn.weight_hh_l0, of layer 0 of a gru"),
    "a layer left out": (
        lambda state: {name.replace("l1", "l2"): array for name, array in state.items()},
        {},
        "no rnn.weight_ih_l1, of layer 1",
    ),
    "one direction": (
        changed(rnn__weight_ih_l0_reverse=np.zeros((15, 3))),
        {},
        "no rnn.weight_hh_l0_reverse, of layer 0",
    ),
    "a wrong shape": (
        changed(rnn__weight_ih_l1=np.zeros((15, 4))),
        {},
        r"rnn.weight_ih_l1 has shape \(15, 4\);.*\(15, 5\)",
    ),
    "a wrong bias": (changed(rnn__bias_ih_l0=np.zeros(5)), {}, r"rnn.bias_ih_l0 has shape \(5,\);.*\(15,\)"),
    "a wrong readout": (changed(head__weight=np.zeros((2, 9))), {}, r"head.weight has shape \(2, 9\);.*\(any, 5\)"),
    "a wrong readout's bias": (
        changed(head__bias=np.zeros(3)),
        {},
        r"head.bias has shape \(3,\); the bias of the map behind",
    ),
    "a readout that is not there": (
        lambda state: state,
        {"readout": "out"},
        "no out.weight, the weight of the map behind",
    ),
    "several maps": (changed(other__weight=np.zeros((2, 2))), {}, "several linear maps, head, other: .* readout= and"),
    "several layers": (
        lambda state: state | {name.replace("rnn", "top"): array for name, array in state.items()},
        {},
        "several recurrent layers, rnn, top: name one by layer=",
    ),
    "a projection": (changed(rnn__weight_hr_l0=np.zeros((2, 5))), {}, r"rnn.weight_hr_l0: an nn.LSTM with projections"),
    "what belongs to none": (
        changed(norm__weight=np.ones(5)),
        {},
        "has norm.weight, which belongs to no recurrent layer",
    ),
    "whole numbers": (
        changed(head__bias=np.zeros(2, int)),
        {},
        "head.bias must be .* floating-point numbers, not of type int64",
    ),
    "not on the CPU": (
        changed(head__bias=Tensor(np.zeros(2), "can't convert cuda:0 device type tensor to numpy.")),
        {},
        "head.bias cannot be read as an array .can't convert cuda:0 .* tensor.float",
    ),
    "initial states": (changed(initial_h=np.zeros((1, 5))), {}, r"initial_h has shape \(1, 5\);.*\(2, 5\)"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_is_one_clear_line(fault):
    change, options, message = REFUSED[fault]
    with pytest.raises(CapaxError, match=message) as error:
        AS_USERS_HAVE_IT["in"](change(state_dict("gru", 2)), **({"kind": "gru"} | options))
    assert "\n" not in str(error.value)


def test_an_lstm_begins_with_both_states_or_with_neither():
    with pytest.raises(CapaxError, match="one of initial_h and initial_c"):
        read("lstm", state_dict("lstm") | {"initial_c": np.zeros((1, UNITS))})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: Network.create("gru", inputs=2, outputs=1, units=3, key=key), "of gru, .* train gru-reset-after"),
        (
            lambda key: Network.create("lru", inputs=2, outputs=1, units=3, key=key),
            "no layer with the equations of lru",
        ),
        (
            lambda key: Network.create("lstm", inputs=2, outputs=1, units=3, key=key, nonlinearity="relu"),
            "nn.LSTM has tanh alone, and this network relu",
        ),
        (
            lambda key: Network.create("lstm", inputs=2, outputs=1, units=3, key=key, wiring=Wiring(norm=True)),
            "layer norms or a direct part",
        ),
        (
            lambda key: EncoderDecoder.create("rnn", inputs=2, outputs=1, units=3, key=key),
            "cannot write a EncoderDecoder for PyTorch",
        ),
        (lambda key: SimpleNamespace(), "cannot write a SimpleNamespace for PyTorch"),
    ],
    ids=["gru", "lru", "relu", "norm", "encoder-decoder", "something else"],
)
def test_a_network_that_is_no_pytorch_layer_is_refused(make, message):
    with pytest.raises(CapaxError, match=message):
        AS_USERS_HAVE_IT["out"](make(jax.random.key(0)))


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """What PyTorch says of every case, of our own networks written out as state dicts."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode:
        pytest.skip(f"PyTorch is not in {PYTHON.parents[1]}: make .venv-torch/.installed")
    folder = tmp_path_factory.mktemp("torch")
    arrays = {"x": sequences(), "lengths": LENGTHS}
    for case, depth, directions in CASES:
        state = to_state_dict(ours(case, depth, directions), readout="head")
        arrays |= {f"{case} {depth} {directions}|{name}": array for name, array in state.items()}
    np.savez(folder / "given.npz", **arrays)
    command = [PYTHON, Path(__file__).with_name("torch_peer.py"), folder / "given.npz", folder / "found.npz"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    with np.load(folder / "found.npz") as found:
        return dict(found)


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize(("case", "depth", "directions"), CASES)
def test_pytorch_gives_our_outputs_with_the_state_dict_of_our_network(peer, case, depth, directions):
    assert_equal(peer[f"{case} {depth} {directions}|outputs"], outputs_of(ours(case, depth, directions)))


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize(("case", "depth", "directions"), CASES)
def test_our_network_gives_pytorchs_outputs_with_its_own_state_dict(peer, case, depth, directions):
    own = f"{case} {depth} {directions}|"
    named = {name.removeprefix(own): array for name, array in peer.items() if name.startswith(own)}
    expected, _ = named.pop("own outputs"), named.pop("outputs")
    assert_equal(outputs_of(read(case, named)), expected)


@pytest.mark.parametrize("case", by_hand.BLOCKS)
def test_the_equations_in_numpy_are_pytorchs(peer, case):
    own = f"{case} 2 2|"
    named = {name.removeprefix(own): array for name, array in peer.items() if name.startswith(own)}
    assert named["own outputs"].shape == (len(LENGTHS), STEPS, OUTPUTS)
    assert_equal(by_hand.outputs(case, named, 2, 2, sequences()), named["own outputs"])
